"""A wheel for each Python found: built, repaired, shown, and tested away from the source tree.

python tools/wheels.py [VERSION ...]     into dist/; every version found if none is named
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import venvs

# What the container's tests read; they need neither torch nor the rest of the tree.
TEST_FILES = ["tests", "docs", "pyproject.toml"]


def prepare(name: str, *arguments: str) -> Path:
    """The interpreter of an environment under build/venv, refreshed."""
    directory = Path("build", "venv", name)
    command = [sys.executable, venvs.__file__, "ensure", str(directory), *arguments]
    if subprocess.run(command, cwd=venvs.ROOT).returncode:
        raise venvs.Failed(f"no environment {directory}")
    return venvs.python_in(venvs.ROOT / directory)


def build(version: str, dist: Path) -> Path:
    """The repaired wheel for one Python."""
    builder = prepare(f"build-{version}", "--python", version, "--group", "build")
    auditor = prepare("wheels", "--python", "3.11", "--group", "wheels")
    with tempfile.TemporaryDirectory() as raw, tempfile.TemporaryDirectory() as repaired:
        settings = [
            "--config-settings=build-dir=build/wheel-{wheel_tag}",
            "--config-settings=cmake.define.FASTOUTPUTS_WERROR=ON",
        ]
        pip_wheel = [builder, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
        venvs.run(*pip_wheel, *settings, "-w", raw, ".")
        (wheel,) = Path(raw).glob("*.whl")
        if sys.platform == "linux":
            # It renames the wheel for the oldest system that has all the symbols it needs, and
            # refuses one that needs what no such system promises.
            venvs.run(auditor, "-m", "auditwheel", "repair", "-w", repaired, wheel)
            (wheel,) = Path(repaired).glob("*linux_*.whl")
            venvs.run(auditor, "-m", "auditwheel", "show", wheel)
        for older in dist.glob(f"*-{'-'.join(wheel.name.split('-')[2:4])}-*.whl"):
            older.unlink()
        return Path(shutil.copy(wheel, dist))


def test(version: str, wheel: Path) -> bool:
    """Whether the container's tests pass from the wheel, far from the sources."""
    options = ["--python", version, "--group", "test", "--fresh", "--wheel", str(wheel)]
    python = prepare(f"wheel-{version}", *options)
    with tempfile.TemporaryDirectory() as away:
        for name in TEST_FILES:
            source = venvs.ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, Path(away) / name)
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
        return subprocess.run(command, cwd=away).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("versions", nargs="*", metavar="VERSION")
    versions = parser.parse_args().versions or [v for v in venvs.VERSIONS if venvs.find(v)]
    dist = venvs.ROOT / "dist"
    dist.mkdir(exist_ok=True)
    failed = []
    for version in versions:
        try:
            wheel = build(version, dist)
            print(f"dist/{wheel.name}: {wheel.stat().st_size / 1024:.0f} KiB", flush=True)
            good = test(version, wheel)
        except venvs.Failed as failure:
            print(failure, file=sys.stderr)
            good = False
        if not good:
            failed.append(version)
    print(f"wheels: {len(versions) - len(failed)} good, {len(failed)} bad", *failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
