"""A wheel for each Python found: built, repaired, checked, and tested away from the source tree.

python tools/wheels.py [VERSION ...]     into dist/; every version found if none is named

The first one is built from the source distribution, without a network, and once more from the tree: the
bytes must be the same.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import venvs

# The date of every file in an archive, or no two builds would give the same bytes: the first that zip knows.
os.environ.setdefault("SOURCE_DATE_EPOCH", "315532800")

# What the container's tests read; they need neither torch nor the rest of the tree.
TEST_FILES = ["tests", "docs", "pyproject.toml"]


def compiled(builder: Path, source: Path, into: Path) -> Path:
    """A wheel as the build backend makes it. Its requirements are there, and nothing is fetched."""
    settings = [
        "--config-settings=build-dir=build/wheel-{wheel_tag}",
        "--config-settings=cmake.define.FASTOUTPUTS_WERROR=ON",
    ]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    venvs.run(builder, "-m", "pip", "wheel", *offline, *settings, "-w", into, source)
    (wheel,) = into.glob("*.whl")
    return wheel


def build(version: str, dist: Path) -> Path:
    """The repaired and checked wheel for one Python."""
    builder = venvs.prepare(f"build-{version}", "--python", version, "--group", "build")
    auditor = venvs.prepare("wheels", "--python", venvs.CURRENT, "--group", "wheels")
    with tempfile.TemporaryDirectory() as raw, tempfile.TemporaryDirectory() as repaired:
        wheel = compiled(builder, venvs.ROOT, Path(raw))
        if sys.platform == "linux":
            # It renames the wheel for the oldest system that has all the symbols it needs, and
            # refuses one that needs what no such system promises.
            venvs.run(auditor, "-m", "auditwheel", "repair", "-w", repaired, wheel)
            (wheel,) = Path(repaired).glob("*linux_*.whl")
            venvs.run(auditor, "-m", "auditwheel", "show", wheel)
        venvs.run(auditor, "-m", "twine", "check", "--strict", wheel)
        venvs.run(auditor, "-m", "check_wheel_contents", wheel)
        check_symbols(wheel)
        for older in dist.glob(f"*-{'-'.join(wheel.name.split('-')[2:4])}-*.whl"):
            older.unlink()
        return Path(shutil.copy(wheel, dist))


def check_symbols(wheel: Path) -> None:
    """An extension shows the interpreter its one entry, and nothing else that another could bind to."""
    if not shutil.which("nm"):
        return
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        command = ["nm", "--dynamic", "--defined-only", archive.extract(name, folder)]
        shown = re.findall(r" [TtDBRW] (\S+)", subprocess.check_output(command, text=True))
    if shown != ["PyInit__core"]:
        raise venvs.Failed(f"{wheel.name} shows other symbols than PyInit__core: {' '.join(shown)}")


def build_from_sdist(version: str, dist: Path) -> None:
    """The source distribution into dist; what is built from it must be what is built from the tree."""
    builder = venvs.prepare(f"build-{version}", "--python", version, "--group", "build")
    auditor = venvs.prepare("wheels", "--python", venvs.CURRENT, "--group", "wheels")
    for older in dist.glob("*.tar.gz"):
        older.unlink()
    make = "import sys, scikit_build_core.build as backend; backend.build_sdist(sys.argv[1])"
    venvs.run(builder, "-c", make, dist)
    (archive,) = dist.glob("*.tar.gz")
    venvs.run(auditor, "-m", "twine", "check", "--strict", archive)
    digests = set()
    with tempfile.TemporaryDirectory() as folder:
        for place, source in (("sdist", archive), ("tree", venvs.ROOT)):
            into = Path(folder, place)
            wheel = compiled(builder, source, into)
            digests.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    if len(digests) != 1:
        raise venvs.Failed(f"Python {version}: the sdist and the tree give different wheels")
    print(f"dist/{archive.name}: gives the wheel of the tree, to the last byte", flush=True)


def test(version: str, wheel: Path) -> bool:
    """Whether the container's tests pass from the wheel, far from the sources."""
    options = ["--python", version, "--group", "test", "--fresh", "--wheel", str(wheel)]
    python = venvs.prepare(f"wheel-{version}", *options)
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
    try:
        build_from_sdist(versions[0], dist)
    except venvs.Failed as failure:
        print(failure, file=sys.stderr)
        failed.append("sdist")
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
    print(f"wheels: {len(versions) + 1 - len(failed)} good, {len(failed)} bad", *failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
