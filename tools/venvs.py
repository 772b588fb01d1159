"""Virtual environments for the Makefile: interpreters found, pinned groups, this package.

    python tools/venvs.py list                 the versions found, one a line
    python tools/venvs.py ensure DIR [...]     create or refresh DIR; returns at once if nothing changed

A stamp in each environment says what it was made from: the interpreter, the pins of its groups in
pyproject.toml, the sources and options of the package. Only what differs is done again.
pip speaks only when it fails. Standard library only, since this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = [f"3.{minor}{kind}" for minor in range(10, 16) for kind in ("", "t")]
CURRENT = "{}.{}".format(*sys.version_info)  # this Python, for the tools themselves
FETCHED = ROOT / "build" / "python"  # by debian_python.py, a folder a version

# Fails unless extensions can be built for the interpreter: some come without headers or pip.
PROBE = """
import ensurepip, os, sys, sysconfig, venv
assert sys.implementation.name == "cpython"
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
kind = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
kind += "d" if hasattr(sys, "gettotalrefcount") else ""
print("%d.%d" % sys.version_info[:2] + kind)
"""

# pip repeats this for every package that one of several local indexes does not have.
NOISE = re.compile(
    r"^WARNING: Location '.*' is ignored: it is neither a file nor a directory\.\n", re.M
)

# Groups whose packages ask for more than is called here, or for what must not be there.
ALONE = {"weights", "tensorflow-addons"}

STAMP = "fastoutputs-stamp.json"

# What the installed package is made of.
SOURCES = ["CMakeLists.txt", "pyproject.toml", "csrc", "python"]


class Failed(Exception):
    """A command failed; its output is the message."""


def run(python: str | Path, *arguments: str | Path) -> None:
    """Run a Python whose output matters only if it fails, with its folder first on PATH."""
    command = [str(part) for part in (python, *arguments)]
    path = f"{Path(python).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    if done.returncode:
        # pip names every version of a project when none fits.
        lines = [line[:300] for line in NOISE.sub("", done.stdout).splitlines()]
        lines.append(f"{' '.join(command)}: exit status {done.returncode}")
        raise Failed("\n".join(lines))


def version_of(executable: str | Path) -> str | None:
    """Such as 3.13, 3.14t if free-threaded, 3.14d for a debug build; None for what cannot be used."""
    try:
        done = subprocess.run([executable, "-c", PROBE], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def patch_of(installed: Path) -> list[int]:
    """Sorts .../versions/3.12.10/bin/python3.12 after 3.12.9."""
    return [int(number) for number in re.findall(r"\d+", installed.parts[-3])]


def find(version: str) -> str | None:
    """A working interpreter of this version: on PATH, else the newest that pyenv has, else fetched.

    Each is tried: pyenv puts a name on PATH also for versions that are not selected.
    """
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    installed = sorted(pyenv.glob(f"*/bin/{name}"), key=patch_of, reverse=True)
    for candidate in (shutil.which(name), *installed, FETCHED / version / "usr" / "bin" / name):
        if candidate and version_of(candidate) == version:
            return str(candidate)
    return None


@functools.cache
def dependency_groups() -> dict[str, list[Any]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]


def pins(group: str) -> list[str]:
    """The requirements of a dependency group, included groups first. (pip reads groups from 25.1 on.)"""
    found = []
    for entry in dependency_groups()[group]:
        found += pins(entry["include-group"]) if isinstance(entry, dict) else [entry]
    return found


def digest(options: list[str]) -> str:
    """Of the sources and options that the installed package is built from."""
    total = hashlib.sha256(repr(options).encode())
    for name in SOURCES:
        path = ROOT / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and file.suffix not in {".so", ".pyd", ".pyc"}:
                total.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return total.hexdigest()


def python_in(directory: Path) -> Path:
    return directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def build_options(args: argparse.Namespace) -> list[str]:
    """Settings for scikit-build-core. A folder for each way to build, so that none undoes another."""
    options = {}
    if args.sanitize:
        options = {
            "build-dir": f"build/{'fuzz' if args.fuzz else args.sanitize.partition(',')[0]}-{{wheel_tag}}",
            "cmake.build-type": "Debug",  # with assertions
            "cmake.define.FASTOUTPUTS_SANITIZE": args.sanitize,
            "cmake.define.FASTOUTPUTS_LTO": "OFF",
        }
        if args.fuzz:
            options["cmake.define.FASTOUTPUTS_FUZZ"] = "ON"
    elif args.debug:
        options = {
            "build-dir": "build/debug-{wheel_tag}",
            "cmake.build-type": "Debug",
            "cmake.define.FASTOUTPUTS_LTO": "OFF",
        }
    elif args.symbols:
        options = {
            "build-dir": "build/symbols-{wheel_tag}",
            "cmake.build-type": "RelWithDebInfo",
            "install.strip": "false",
        }
    elif args.werror:
        options = {"build-dir": "build/werror-{wheel_tag}"}
    if args.werror:
        options["cmake.define.FASTOUTPUTS_WERROR"] = "ON"
    if args.editable:
        options |= {"build-dir": "build/editable-{wheel_tag}"}
        options |= {"editable.rebuild": "true", "editable.verbose": "false"}
    # In the long form, which the pip that comes with Python 3.10 has.
    return [f"--config-settings={key}={value}" for key, value in options.items()]


def lay_over(base: Path, directory: Path) -> None:
    """Let an environment find the packages of another behind its own: it holds only what differs."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    above, below = (
        subprocess.check_output([python_in(ROOT / each), "-c", ask], text=True).strip()
        for each in (directory, base)
    )
    line = f"import site; site.addsitedir({below!r})\n"
    Path(above, "fastoutputs-base.pth").write_text(line, encoding="utf-8")


def ensure(args: argparse.Namespace) -> None:
    started = time.monotonic()
    directory: Path = args.directory
    python = python_in(directory)
    stamp_file = directory / STAMP
    options = build_options(args)
    try:
        made: dict[str, Any] = json.loads(stamp_file.read_text())
    except (OSError, ValueError):
        made = {}
    if not python.exists():
        made = {}

    def record(**facts: Any) -> None:
        made.update(facts)
        stamp_file.write_text(json.dumps(made, indent=1))

    def say(what: str) -> None:
        print(f"{directory}: {what}", flush=True)

    interpreter = find(args.python)
    if not interpreter:
        raise Failed(f"no Python {args.python} with headers and pip was found on PATH or in pyenv")
    base: list[Any] = [str(interpreter), args.python]
    if args.over:
        # What pip has to install depends on what the other environment has.
        under = json.loads((args.over / STAMP).read_text())
        base += [str(args.over), under["base"], under["groups"]]
    groups = {group: pins(group) for group in args.group}
    package = digest([*options, str(args.editable)]) if args.package else None
    wanted = {"base": base, "groups": groups, "package": package}
    if not (args.fresh or args.upgrade) and all(
        made.get(key) == value for key, value in wanted.items()
    ):
        return

    if args.fresh or made.get("base") != base:
        run(interpreter, "-m", "venv", "--clear", directory)
        made.clear()
        if args.over:
            lay_over(args.over, directory)
        record(base=base)
    pip = [python, "-m", "pip", "install", "--progress-bar=off"]
    newest = ["--upgrade", *(["--pre"] if args.pre else [])] if args.upgrade else []
    for group, requirements in groups.items():
        if newest or made.get("groups", {}).get(group) != requirements:
            say(f"installing the {group} group")
            run(*pip, *newest, *(["--no-deps"] if group in ALONE else []), *requirements)
    if made.get("groups") != groups:
        record(groups=groups)
    if package and made.get("package") != package:
        say("building and installing fastoutputs")
        editable = ["-e"] if args.editable else []
        run(
            *pip, "--no-deps", "--no-build-isolation", "--force-reinstall", *options, *editable, "."
        )
        record(package=package)
    if args.wheel:
        run(*pip, "--no-deps", args.wheel)
    say(f"ready after {time.monotonic() - started:.0f} s")


def prepare(name: str, *arguments: str) -> Path:
    """The interpreter of an environment under build/venv, refreshed."""
    directory = Path("build", "venv", name)
    command = [sys.executable, __file__, "ensure", str(directory), *arguments]
    if subprocess.run(command, cwd=ROOT).returncode:
        raise Failed(f"no environment {directory}")
    return python_in(ROOT / directory)


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="versions of Python found on this machine")
    one = commands.add_parser("ensure", help="create or refresh one environment")
    one.add_argument("directory", type=Path)
    one.add_argument("--python", required=True, help="a version such as 3.12")
    one.add_argument("--group", action="append", default=[], help="one of pyproject.toml")
    one.add_argument("--fresh", action="store_true", help="start from an empty environment")
    one.add_argument("--package", action="store_true", help="build and install this package")
    one.add_argument("--over", type=Path, help="find the packages of this environment, too")
    one.add_argument("--upgrade", action="store_true", help="take the newest that the groups allow")
    one.add_argument("--pre", action="store_true", help="with --upgrade: pre-releases count")
    one.add_argument("--wheel", type=Path, help="install this wheel")
    one.add_argument("--werror", action="store_true", help="compiler warnings are errors")
    one.add_argument("--sanitize", help="with sanitizers: address,undefined or thread")
    one.add_argument("--symbols", action="store_true", help="optimised, with names for a debugger")
    one.add_argument("--debug", action="store_true", help="not optimised, with assertions")
    one.add_argument("--fuzz", action="store_true", help="and with edges counted")
    one.add_argument(
        "--editable", action="store_true", help="use python/ in place; rebuild csrc/ on import"
    )
    args = parser.parse_args()
    try:
        if args.command == "list":
            # What was fetched is for the targets that ask for it by name.
            found = ((version, find(version)) for version in VERSIONS)
            print("\n".join(v for v, path in found if path and FETCHED not in Path(path).parents))
        else:
            ensure(args)
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
