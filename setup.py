"""Builds what is not committed: the Python layout, the protobuf modules and the extensions.

The rest of the project's description is in pyproject.toml. Everything here works from file times,
so a second build does only what changed.
"""

import os
import platform
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
os.chdir(ROOT)

NATIVE = Path("native/checklane")
PACKAGE = Path("src/checklane")
# Cython writes its C here, so that native/ holds sources only.
GENERATED = Path("build/cython")

# The only door between Python and the engine: the one module that the engine's C is linked into.
DOOR = "_engine"
# The load generator of `checklane bench`: a client, with a door of its own and none of the engine.
GENERATOR = Path("native/generator")

CYTHON_DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
}

C_ARGS = [
    "-std=c11",
    "-D_GNU_SOURCE",
    "-O3",
    "-g",
    # Python's own flags switch assertions off. INVARIANT does not depend on it; a library might.
    "-UNDEBUG",
    # The same bytes must come out of every machine: no fused multiply-add that another lacks.
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-Wall",
    # `make lint` turns every warning into an error. A wheel may be built by a compiler that nobody
    # here has seen, so the build itself stops only at what is certainly wrong.
    "-Werror=implicit-function-declaration",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
    "-Werror=return-type",
    # Cython's C keeps helpers that a module does not call.
    "-Wno-unused-function",
]


def machine_args() -> list[str]:
    """Return the flags for this kind of processor: x86-64-v2 has the CRC-32C instruction."""
    if platform.machine().lower() in {"x86_64", "amd64"}:
        return ["-march=x86-64-v2"]
    if platform.machine().lower() in {"aarch64", "arm64"}:
        return ["-march=armv8-a+crc"]
    return []


def sanitizer_args() -> list[str]:
    """Return the flags that CHECKLANE_SANITIZE asks for: "address,undefined" or "thread"."""
    names = os.environ.get("CHECKLANE_SANITIZE", "")
    if not names:
        return []
    allowed = {"address", "leak", "thread", "undefined"}
    unknown = set(names.split(",")) - allowed
    if unknown:
        raise SystemExit(
            f"CHECKLANE_SANITIZE: unknown {', '.join(sorted(unknown))};"
            f" choose from {', '.join(sorted(allowed))}"
        )
    return [f"-fsanitize={names}", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]


def is_older(target: Path, sources: list[Path]) -> bool:
    """Tell whether `target` is missing or older than one of `sources`."""
    if not target.exists():
        return True
    built_time_ns = target.stat().st_mtime_ns
    return any(source.stat().st_mtime_ns > built_time_ns for source in sources)


def generate_layout() -> None:
    """Write `_layout.py`: the structs, ceilings and statuses of native/ as Python names."""
    script = Path("native/layout_to_python.py")
    target = PACKAGE / "_layout.py"
    if is_older(target, [script, *NATIVE.glob("*.h")]):
        subprocess.run([sys.executable, script, NATIVE, target], check=True)


def generate_protobuf() -> None:
    """Write the messages, their types and the service stubs of proto/ into the package."""
    protos = sorted(Path("proto").rglob("*.proto"))
    stamp = Path("build/protobuf.stamp")
    modules = [Path("src", *proto.parts[1:]).with_suffix("") for proto in protos]
    missing = [module for module in modules if not Path(f"{module}_pb2.py").exists()]
    if not missing and not is_older(stamp, protos):
        return
    command = [sys.executable, "-m", "grpc_tools.protoc", "-Iproto"]
    command.append(f"-I{files('grpc_tools') / '_proto'}")
    command += ["--python_out=src", "--grpc_python_out=src", "--pyi_out=src"]
    subprocess.run([*command, *map(str, protos)], check=True)
    stamp.parent.mkdir(exist_ok=True)
    stamp.touch()


def extension(pyx: Path) -> Extension:
    """Describe the module `checklane.<stem>` that is built from `pyx`."""
    is_door = pyx.stem == DOOR
    c_sources = sorted(NATIVE.glob("*.c")) if is_door else []
    # A struct's change must rebuild whoever holds one, however many headers lie between.
    depends = sorted([*NATIVE.glob("*.h"), *NATIVE.glob("*.pxd")])
    return Extension(
        f"checklane.{pyx.stem}",
        sources=[str(path) for path in (pyx, *c_sources)],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        libraries=["lmdb", "nghttp2", "ssl", "crypto", "z", "pthread"] if is_door else [],
        extra_compile_args=C_ARGS + machine_args() + sanitizer_args(),
        extra_link_args=sanitizer_args(),
        depends=[str(path) for path in depends],
    )


def generator() -> Extension:
    """Describe the module of the load generator."""
    return Extension(
        "checklane._generator",
        sources=[str(GENERATOR / "_generator.pyx"), *map(str, sorted(GENERATOR.glob("*.c")))],
        libraries=["nghttp2", "ssl", "crypto"],
        extra_compile_args=C_ARGS + machine_args() + sanitizer_args(),
        extra_link_args=sanitizer_args(),
        depends=[str(path) for path in sorted(GENERATOR.glob("*.h"))],
    )


def link_headers() -> None:
    """Show our headers to Cython's C beside it: on a search path, limits.h hides the system's."""
    folder = GENERATED / NATIVE
    folder.mkdir(parents=True, exist_ok=True)
    for header in NATIVE.glob("*.h"):
        link = folder / header.name
        if not link.exists():
            link.symlink_to(os.path.relpath(header, folder))


def extensions() -> list[Extension]:
    """Return every compiled module, its Cython already turned into C."""
    link_headers()
    modules = cythonize(
        [generator(), *(extension(pyx) for pyx in sorted(NATIVE.glob("*.pyx")))],
        build_dir=str(GENERATED),
        include_path=["native"],
        compiler_directives=CYTHON_DIRECTIVES,
        quiet=True,
    )
    for module in modules:
        # Cython adds the folder of each header that it finds: see link_headers.
        module.include_dirs = ["native", np.get_include()]
    return modules


generate_layout()
generate_protobuf()
setup(ext_modules=extensions(), options={"build_ext": {"parallel": os.cpu_count() or 1}})
