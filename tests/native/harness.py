"""Builds the evaluator with a door of its own and talks to it in another process.

Another process because the package under test must not take the place of the installed one here,
and because the sanitizers want to be loaded first.
"""

import os
import pickle
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tests.house.tree import NATIVE, ROOT

MODULES = ("candidates", "resolve", "evaluate", "redeem", "earn", "decide", "decide_harness")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


def build(folder: Path, flags: tuple[str, ...]) -> Path:
    """Compile the modules of the decision into `folder`/checklane; return `folder`."""
    package = folder / "checklane"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()

    def build_one(name: str) -> None:
        source = NATIVE / f"{name}.pyx"
        if name == "decide_harness":
            source = Path(__file__).with_name("decide_harness.pyx")
        generated = folder / f"{name}.c"
        command = [sys.executable, "-m", "cython", "-3", "-I", str(NATIVE.parent)]
        command += ["--module-name", f"checklane.{name}", "-o", str(generated), str(source)]
        subprocess.run(command, check=True)
        target = package / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
        command = ["cc", "-shared", "-fPIC", "-g", "-std=c11", "-D_GNU_SOURCE", "-UNDEBUG"]
        command += ["-ffp-contract=off", *flags, f"-I{NATIVE.parent}", f"-I{np.get_include()}"]
        command += [f"-I{sysconfig.get_path('include')}", str(generated), "-o", str(target)]
        subprocess.run(command, check=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build_one, MODULES))
    return folder


class Harness:
    """The evaluator in a process of its own. Use as a context manager.

    Parameters
    ----------
    folder : Path
        What `build` returned.
    is_sanitized : bool
        Whether it was built with the sanitizers.
    """

    def __init__(self, folder: Path, is_sanitized: bool = False) -> None:
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        if is_sanitized:
            library = subprocess.run(
                ["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
            )
            environment["LD_PRELOAD"] = library.stdout.strip()
            # The interpreter keeps what it allocates at start until its end.
            environment["ASAN_OPTIONS"] = "detect_leaks=0"
        server = Path(__file__).with_name("harness_server.py")
        self._process = subprocess.Popen(
            [sys.executable, str(server), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=ROOT,
        )

    def __enter__(self) -> "Harness":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def decide_all(self, calls: list[tuple[Any, ...]]) -> list[tuple[int, Any, int]]:
        """Decide (program, basket, facts[, repeats]) calls: status, decision, ns of one call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump(calls, self._process.stdin)
        self._process.stdin.flush()
        answers: list[tuple[int, Any, int]] = pickle.load(self._process.stdout)
        return answers
