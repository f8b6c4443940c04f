"""The settings of a service, and where each came from.

One precedence: a flag, else the environment (``CHECKLANE_<NAME>``), else the TOML file, else the
default. A name that is not known is refused with the nearest one that is.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from checklane._layout import SESSIONS_MAX
from checklane.errors import ConfigError

__all__ = ["Configuration", "Settings", "address_of", "lane_addresses", "load", "to_toml"]

ENVIRONMENT_PREFIX = "CHECKLANE_"
#: How near the name of a variable must come to a setting to count as a slip of the pen. Others with
#: our prefix belong to somebody else, such as the service links that orchestrators set.
SLIP_RATIO = 0.8


class Settings(BaseModel):
    """Every setting of ``checklane serve``, with its default and range."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    data: Path = Field(Path("checklane-data"), description="The data directory.")
    listen: str = Field("127.0.0.1:7071", description="host:port of the gRPC service.")
    lane_listen: str = Field(
        "127.0.0.1:7072",
        description="host:port and unix:path of the lane port, commas between; or empty: none.",
    )
    lane_tls_listen: str = Field(
        "", description="The same, where lanes speak TLS 1.3; or empty: nowhere."
    )
    lane_tls_certificate: str = Field(
        "", description="PEM file of the lane port's certificate and its chain; read on SIGHUP too."
    )
    lane_tls_key: str = Field("", description="PEM file of its key.")
    lane_tls_client_ca: str = Field(
        "", description="PEM file of the authority whose certificates lanes must show; or empty."
    )
    lane_threads: int = Field(
        2, ge=1, le=16, description="Threads that serve lanes; one core each is what they use."
    )
    lane_changes: int = Field(
        32, ge=1, le=128, description="Changes of one lane thread that may wait for the disk."
    )
    lane_connections: int = Field(
        1024, ge=1, le=4096, description="Connections that the lane port holds open."
    )
    lane_calls: int = Field(
        128, ge=1, le=256, description="Calls that one connection of a lane may have open."
    )
    lane_idle_seconds: int = Field(
        1800, ge=1, le=86_400, description="A lane without calls is asked to go after it."
    )
    lane_receive_seconds: int = Field(
        10, ge=1, le=3600, description="A lane's request that has begun must be whole after it."
    )
    lane_stall_seconds: int = Field(
        20, ge=1, le=3600, description="A lane that takes no answers for so long is cut off."
    )
    lane_keepalive_seconds: int = Field(
        60, ge=1, le=3600, description="Silence after which a ping asks whether the lane is there."
    )
    lane_public_offers_us: int = Field(
        20_000,
        ge=0,
        le=10_000_000,
        description="Waited so long, a quote is decided with offers for everyone only; 0: never.",
    )
    lane_shelf_price_us: int = Field(
        50_000,
        ge=0,
        le=10_000_000,
        description="Waited so long, a quote is answered at the lane's own prices; 0: never.",
    )
    lane_refuse_us: int = Field(
        200_000,
        ge=0,
        le=10_000_000,
        description="Waited so long, a quote is refused with LANES_BUSY; 0: never.",
    )
    # Sixteen tills of one lane thread bring the dearest basket at once, and the last of them is
    # decided in full: 20 ms, lane_public_offers_us, are 16 * 1,250 us.
    program_decision_us: int = Field(
        1250,
        ge=1,
        le=10_000_000,
        description="A program whose dearest decision may take longer is not published.",
    )
    # Two programs are mapped at once while one follows another: 2 GiB of a store's server.
    program_mib: int = Field(
        1024, ge=1, le=65_536, description="A program with larger tables is not published."
    )
    workers: int = Field(
        16, ge=1, le=64, description="Calls that are worked on at once; commits wait for the disk."
    )
    streams: int = Field(
        64, ge=1, le=512, description="Streams that may be open at once, two threads each."
    )
    stream_window: int = Field(
        32, ge=1, le=1024, description="Requests of one stream that may be open at once."
    )
    calls_waiting: int = Field(
        1024, ge=1, le=65536, description="Calls that may wait for a worker before refusal."
    )
    message_bytes: int = Field(
        4 * 1024 * 1024,
        ge=512 * 1024,
        le=64 * 1024 * 1024,
        description="The largest message that is read, program files included.",
    )
    drain_seconds: int = Field(
        20, ge=0, le=600, description="How long a drain waits for calls under way."
    )
    node: int = Field(0, ge=0, le=65535, description="The number of this node in the program.")
    partition: int = Field(0, ge=0, le=65535, description="The partition that it writes.")
    checkpoint_pause_ms: int = Field(
        5, ge=0, le=10_000, description="Pause between two small transactions of a checkpoint."
    )
    metrics_listen: str = Field("", description="host:port of the Prometheus endpoint; or empty.")
    log_format: Literal["console", "json"] = Field("console", description="How logs look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least grave level that is logged."
    )

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, value: str) -> str:
        address_of(value)
        return value

    @field_validator("lane_listen", "lane_tls_listen")
    @classmethod
    def _check_lane_listen(cls, value: str) -> str:
        lane_addresses(value)
        return value

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.lane_tls_listen and not (self.lane_tls_certificate and self.lane_tls_key):
            raise ValueError("lane_tls_listen needs lane_tls_certificate and lane_tls_key")
        return self

    @model_validator(mode="after")
    def _check_sessions(self) -> Self:
        if self.sessions > SESSIONS_MAX:
            raise ValueError(
                f"workers and lane_threads * (lane_changes + 1) need {self.sessions} sessions;"
                f" there are {SESSIONS_MAX}"
            )
        return self

    @property
    def has_lanes(self) -> bool:
        """Whether there is a lane port."""
        return bool(self.lane_listen or self.lane_tls_listen)

    @property
    def sessions(self) -> int:
        """How many sessions the engine needs: one a worker, one more, and the lane threads'."""
        lanes = self.lane_threads * (self.lane_changes + 1) if self.has_lanes else 0
        return self.workers + 1 + lanes

    @field_validator("metrics_listen")
    @classmethod
    def _check_metrics_listen(cls, value: str) -> str:
        if value:
            address_of(value)
        return value


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings and their sources.

    Attributes
    ----------
    settings : Settings
    sources : Mapping of str to str
        For each setting "flag", "environment CHECKLANE_X", "file PATH" or "default".
    """

    settings: Settings
    sources: Mapping[str, str]


def address_of(text: str) -> tuple[str, int]:
    """Split "host:port", "[ipv6]:port" or ":port" (every interface); port 0 lets the system choose.

    Raises
    ------
    ValueError
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is no host:port, for example 127.0.0.1:7071")
    return host.strip("[]") or "0.0.0.0", int(port)


def lane_addresses(text: str) -> list[str | tuple[str, int]]:
    """Split the addresses of the lane port: a path for each "unix:path", else host and port.

    Raises
    ------
    ValueError
    """
    found: list[str | tuple[str, int]] = []
    for address in filter(None, (part.strip() for part in text.split(","))):
        if not address.startswith("unix:"):
            found.append(address_of(address))
        elif len(path := address.removeprefix("unix:")) in range(1, 100):
            found.append(path)
        else:
            raise ValueError(f"{address!r} needs a path of 1 to 99 characters")
    return found


def load(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Path | None = None,
) -> Configuration:
    """Join flags, environment and file into one valid set of settings.

    Parameters
    ----------
    flags : Mapping of str to Any
        Settings by name; None stands for a flag that was not given.
    environment : Mapping of str to str
        The whole environment of the process. CHECKLANE_CONFIG names the file when `file` does not.
    file : Path, optional

    Raises
    ------
    ConfigError
        An unknown name, a file that can not be read, a value out of its range.
    """
    values: dict[str, Any] = {}
    sources = dict.fromkeys(Settings.model_fields, "default")
    path = file or _file_of(environment)
    if path is not None:
        for name, value in _read_file(path).items():
            values[name], sources[name] = value, f"file {path}"
    for name, value in _read_environment(environment).items():
        values[name] = value
        sources[name] = f"environment {ENVIRONMENT_PREFIX}{name.upper()}"
    for name, value in flags.items():
        if value is not None:
            _check_name(name, "a flag")
            values[name], sources[name] = value, "flag"
    try:
        settings = Settings.model_validate(values)
    except ValidationError as failure:
        raise _config_error(failure, sources) from None
    return Configuration(settings, sources)


def to_toml(settings: Settings) -> str:
    """Write settings as a TOML file that gives the same settings when it is loaded."""
    lines = ["# checklane serve --config FILE", ""]
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if not isinstance(value, int):
            value = _quoted(str(value))
        lines += [f"# {field.description}", f"{name} = {value}", ""]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _file_of(environment: Mapping[str, str]) -> Path | None:
    named = environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    return Path(named) if named else None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no file at {path}: name the configuration file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as failure:
        raise ConfigError(f"can not read {path}: {failure}", str(path)) from None
    for name in content:
        _check_name(name, str(path))
    return content


def _read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for variable in sorted(environment):
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if not variable.startswith(ENVIRONMENT_PREFIX) or name == "config":
            continue
        if name in Settings.model_fields:
            found[name] = environment[variable]
        elif _nearest(name, SLIP_RATIO):
            _check_name(name, f"environment {variable}")
    return found


def _nearest(name: str, ratio: float) -> str | None:
    near = difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=ratio)
    return near[0] if near else None


def _check_name(name: str, place: str) -> None:
    if name in Settings.model_fields:
        return
    near = _nearest(name, 0.5)
    remedy = f"did you mean {near!r}?" if near else "see checklane config for every name"
    raise ConfigError(f"there is no setting {name!r} at {place}: {remedy}", place)


def _config_error(failure: ValidationError, sources: Mapping[str, str]) -> ConfigError:
    """Tell the first fault of a validation, with the source of the value."""
    first = failure.errors()[0]
    if not first["loc"]:
        # The settings by themselves are right and do not fit together.
        return ConfigError(
            f"the settings are refused: {first['msg'].removeprefix('Value error, ')}"
        )
    name = str(first["loc"][0])
    words = first["msg"].removeprefix("Value error, ")
    place = f"{name} ({sources[name]})"
    given = first["input"]
    return ConfigError(f"the value {given!r} is refused at {place}: {words}", place)
