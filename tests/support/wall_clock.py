"""A wall clock that a test turns or sets for processes that it starts (clock.c)."""

import struct
import subprocess
from pathlib import Path

#: Names the file of a clock to a process.
VARIABLE = "WALL_CLOCK"


class WallClock:
    """What processes take for the wall clock. One writer; it may be such a process itself.

    Parameters
    ----------
    path : Path
        Two numbers of 8 bytes: milliseconds to add, and the time where it stands, or 0.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.touch()
        self.turn(0)

    def turn(self, offset_ms: int) -> None:
        """Let it run, so far from where it is."""
        self._write(offset_ms, 0)

    def stand(self, unix_ms: int) -> None:
        """Make it a time, and let it stand there."""
        self._write(0, unix_ms)

    def _write(self, *numbers: int) -> None:
        # In place: the processes have the file mapped.
        with self.path.open("r+b") as file:
            file.write(struct.pack("<qq", *numbers))

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the variables of a process that shall take this for the wall clock."""
        library = folder / "clock.so"
        source = Path(__file__).with_name("clock.c")
        flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]
        subprocess.run(["cc", *flags, source, "-o", library], check=True)
        return {"LD_PRELOAD": str(library), VARIABLE: str(self.path)}
