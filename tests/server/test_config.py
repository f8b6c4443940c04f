"""Settings: one precedence, named sources, and no name that is silently ignored."""

import pytest
from click.testing import CliRunner

from checklane.cli import main
from checklane.config import Settings, address_of, load, to_toml
from checklane.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "checklane.toml"
    path.write_text('workers = 5\nlisten = "127.0.0.1:7001"\nlog_level = "error"\n')
    return path


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(file):
    environment = {"CHECKLANE_WORKERS": "6", "CHECKLANE_LISTEN": "127.0.0.1:7002", "HOME": "/"}
    found = load({"workers": 7, "node": None}, environment, file)
    assert (found.settings.workers, found.sources["workers"]) == (7, "flag")
    assert found.settings.listen == "127.0.0.1:7002"
    assert found.sources["listen"] == "environment CHECKLANE_LISTEN"
    assert (found.settings.log_level, found.sources["log_level"]) == ("error", f"file {file}")
    assert (found.settings.node, found.sources["node"]) == (0, "default")


def test_the_environment_may_name_the_file(file):
    assert load({}, {"CHECKLANE_CONFIG": str(file)}).settings.workers == 5


@pytest.mark.parametrize(
    ("flags", "environment", "content", "words"),
    [
        ({"worker": 1}, {}, "", "did you mean 'workers'"),
        ({}, {"CHECKLANE_LISTN": "x"}, "", "did you mean 'listen'"),
        ({}, {}, "log_fromat = 'json'", "did you mean 'log_format'"),
        ({}, {}, "[serve]\nworkers = 1", "'serve'"),
        ({}, {}, "workers = ", "can not read"),
        ({"workers": 0}, {}, "", "greater than or equal to 1 "),
        ({}, {"CHECKLANE_WORKERS": "many"}, "", "(environment CHECKLANE_WORKERS)"),
        ({"listen": "localhost"}, {}, "", "is no host:port"),
        ({"metrics_listen": "1:99999"}, {}, "", "is no host:port"),
        ({"log_format": "xml"}, {}, "", "'console' or 'json'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, flags, environment, content, words):
    path = tmp_path / "checklane.toml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load(flags, environment, path)
    assert words in f"{caught.value} "
    assert caught.value.exit_code == 78


def test_variables_of_somebody_else_are_left_alone():
    environment = {
        "CHECKLANE_SERVICE_HOST": "10.0.0.1",
        "CHECKLANE_PORT": "tcp://10.0.0.1:7071",
        "CHECKLANE_SANITIZE": "address",
    }
    assert load({}, environment).settings == Settings()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        load({}, {}, tmp_path / "gone.toml")


def test_the_printed_file_gives_the_same_settings(tmp_path):
    settings = Settings(data='odd "na\\me', listen="[::1]:0", workers=3, metrics_listen=":9100")
    path = tmp_path / "checklane.toml"
    path.write_text(to_toml(settings))
    assert load({}, {}, path).settings == settings


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7071", ("127.0.0.1", 7071)),
        ("[::1]:0", ("::1", 0)),
        (":80", ("0.0.0.0", 80)),
    ],
)
def test_addresses(text, address):
    assert address_of(text) == address


def test_config_shows_every_setting_and_its_source(monkeypatch):
    monkeypatch.setenv("CHECKLANE_NODE", "4")
    result = CliRunner(env={"COLUMNS": "200"}).invoke(main, ["config", "--workers", "3"])
    assert result.exit_code == 0, result.output
    rows = {line.split()[1]: line for line in result.output.splitlines() if line.startswith("│")}
    assert set(Settings.model_fields) <= set(rows)
    assert "flag" in rows["workers"]
    assert "environment CHECKLANE_NODE" in rows["node"]


def test_config_prints_a_file():
    result = CliRunner().invoke(main, ["config", "--format", "toml", "--workers", "3"])
    assert "workers = 3\n" in result.output
    assert to_toml(Settings(workers=3)) in result.output


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["config", "--workers", "0"], 78, "checklane: the value 0 is refused"),
        (["sevre"], 2, "Did you mean 'serve'?"),
        (["serve", "--config", "gone.toml"], 78, "there is no file at gone.toml"),
    ],
)
def test_refusals_are_one_line_and_an_exit_code(arguments, exit_code, words):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == exit_code
    assert words in result.output
    assert "Traceback" not in result.output


def test_help_imports_no_verb():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for verb in ("config", "demo", "offers", "serve", "snapshot"):
        assert verb in result.output
