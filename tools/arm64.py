"""The container's tests on an arm64 Python, which qemu runs: Apple's machines and Graviton are arm64.

    python tools/arm64.py [ARGUMENTS OF PYTEST]

For Debian and what derives from it; needs no root. Python and qemu come from Debian, as in debian_python.py.
The core is compiled by zig, which brings clang and the libraries of the target in one package.
"""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import debian_python
import venvs

VERSION = "3.14"
FOLDER = venvs.ROOT / "build" / "arm64"
SYSTEM = FOLDER / "system"  # Python, and the libraries below it
QEMU = FOLDER / "qemu"
PACKAGES = FOLDER / f"venv/lib/python{VERSION}/site-packages"
PYTHON = FOLDER / "venv/bin/python"
# Under qemu it takes over ten minutes to come to the end of the stack.
TOO_DEEP = [
    "--deselect=tests/test_hostile.py::test_a_deep_nest_is_too_deep_to_repr_or_compare",
]
LAUNCHER = f"""\
#!/bin/sh
exec {QEMU}/usr/bin/qemu-aarch64 -L {SYSTEM} -0 "$0" {SYSTEM}/usr/bin/python{VERSION} "$@"
"""


def fetch() -> None:
    python = [package.format(VERSION) for package in debian_python.PACKAGES]
    for folder, packages, architecture in (
        (SYSTEM, python, "arm64"),
        (QEMU, ["qemu-user"], None),
    ):
        if not folder.exists():
            print(f"{folder}: fetching {', '.join(packages)}", flush=True)
            debian_python.unpack(packages, folder, architecture)
            (folder / "lib").symlink_to("usr/lib")  # as on an installed system


def compile_core(tools: Path) -> None:
    """Into a copy of the package, with warnings as errors."""
    package, objects = PACKAGES / "fastoutputs", FOLDER / "objects"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(venvs.ROOT / "python/fastoutputs", package)
    objects.mkdir(exist_ok=True)
    include = debian_python.output_of(tools, "-c", "import pybind11; print(pybind11.get_include())")
    zig = [tools, "-m", "ziglang", "c++", "-target", "aarch64-linux-gnu.2.36", "-O2"]
    flags = ["-c", "-std=c++17", "-fPIC", "-fvisibility=hidden", "-DNDEBUG"]
    flags += ["-Wall", "-Wextra", "-Werror"]
    headers = SYSTEM / "usr/include"
    for folder in (include.strip(), headers / f"python{VERSION}", headers):
        flags += ["-isystem", str(folder)]
    project = tomllib.loads((venvs.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["version"]
    flags += [f'-DFASTOUTPUTS_VERSION="{version}"', '-DFASTOUTPUTS_BUILD_TYPE="Release"']

    def compiled(source: Path) -> Path:
        made = objects / f"{source.stem}.o"
        debian_python.output_of(*zig, *flags, source, "-o", made)
        return made

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        made = list(pool.map(compiled, sorted((venvs.ROOT / "csrc").glob("*.cpp"))))
    name = f"_core.cpython-{VERSION.replace('.', '')}-aarch64-linux-gnu.so"
    debian_python.output_of(*zig, "-shared", *made, "-o", package / name)


def make_environment(tools: Path) -> None:
    PYTHON.parent.mkdir(parents=True, exist_ok=True)
    PYTHON.write_text(LAUNCHER)
    PYTHON.chmod(0o755)
    (FOLDER / "venv/pyvenv.cfg").write_text(f"home = {SYSTEM}/usr/bin\nversion = {VERSION}\n")
    target = ["--target", PACKAGES, "--upgrade", "--python-version", VERSION]
    target += ["--platform", "manylinux2014_aarch64", "--only-binary=:all:"]
    venvs.run(tools, "-m", "pip", "install", *target, *venvs.pins("test"))


def main() -> int:
    try:
        fetch()
        tools = venvs.prepare(
            "arm64", "--python", venvs.CURRENT, "--group", "build", "--group", "arm64"
        )
        make_environment(tools)
        compile_core(tools)
    except venvs.Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    print(f"--- tests on Debian's arm64 Python {VERSION}, under qemu", flush=True)
    tests = [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "tests", *TOO_DEEP, *sys.argv[1:]]
    return subprocess.run(tests, cwd=venvs.ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
