"""Turns every module of ours into C and fails on a warning or performance hint of Cython.

`make lint` runs this file. A hint says that a line does more than it seems to: it takes the lock,
checks for an exception after each call, or goes through Python objects.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

COMPLAINT = re.compile(r"^(?:performance hint|warning): .*", re.MULTILINE)


def complaints(pyx: Path, include: Path) -> list[str]:
    """Return what Cython has against one module.

    Parameters
    ----------
    pyx : Path
        The module's source.
    include : Path
        The folder of the package `checklane`, in which .pxd files are looked for.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cython", "-3", "--warning-extra", "-I", str(include)]
        command += ["-X", "show_performance_hints=True", "-o", str(Path(folder, "out.c")), str(pyx)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    found = COMPLAINT.findall(said)
    if done.returncode != 0 and not found:
        found = [f"{pyx}: Cython failed\n{said}"]
    return found


def main() -> int:
    """Check the modules of native/checklane; return the exit status."""
    native = Path(__file__).resolve().parents[2] / "native"
    modules = sorted((native / "checklane").glob("*.pyx"))
    found = [complaint for pyx in modules for complaint in complaints(pyx, native)]
    print("\n".join([*found, f"cython: {len(found)} hints in {len(modules)} modules"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
