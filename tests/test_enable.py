"""`fastoutputs enable` and `disable`, in a fresh environment: what they write, what it does and costs, and refusals."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

import fastoutputs
from fastoutputs import _core
from fastoutputs.cli.enable import NAME


class Environment:
    """With fastoutputs in it, and a library named transformers that is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.EnvBuilder(with_pip=False, symlinks=os.name == "posix").create(folder)
        scripts = "Scripts" if os.name == "nt" else "bin"
        self.python = folder / scripts / ("python.exe" if os.name == "nt" else "python")
        self.site = Path(
            self.run("-c", "import site; print(site.getsitepackages()[0])").stdout.strip()
        )
        home = self.site
        for source in fastoutputs.__path__:
            if (Path(source) / "__init__.py").exists():
                ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
                shutil.copytree(source, home / "fastoutputs", ignore=ignored)
        shutil.copy(_core.__file__, home / "fastoutputs")
        self.package = home / "fastoutputs"
        self._dist_info(home, "fastoutputs", fastoutputs.__version__)
        (self.site / "transformers.py").write_text('__version__ = "5.24.0"\n')
        self._dist_info(self.site, "transformers", "5.24.0")
        self.file = self.site / NAME

    def _dist_info(self, home: Path, name: str, version: str) -> None:
        folder = home / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "FASTOUTPUTS")
        }
        return subprocess.run(
            [str(self.python), *arguments],
            env={**environment, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def command(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """Exit status, and all that it says."""
        done = self.run("-m", "fastoutputs", *arguments, **variables)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("an env, größer"))


PROBE = (
    "import sys, transformers; "
    "m = sys.modules.get('fastoutputs.integrations.install'); print(bool(m and m._active))"
)


def test_the_variable_works_from_enable_to_disable(environment: Environment) -> None:
    def reached(*options: str, **variables: str) -> bool:
        done = environment.run(*options, "-c", PROBE, **variables)
        assert (done.returncode, done.stderr) == (0, "")
        return ast.literal_eval(done.stdout)

    assert environment.command("disable") == (0, "was not enabled\n")
    assert not reached(FASTOUTPUTS="1")
    for _ in range(2):  # a second time does no harm
        status, said = environment.command("enable")
        assert status == 0 and str(environment.file) in said and said.count("\n") == 1
    assert reached(FASTOUTPUTS="1") and reached("-I", FASTOUTPUTS="1")
    assert not reached() and not reached(FASTOUTPUTS="0")
    _, said = environment.command("doctor", FASTOUTPUTS="1")
    assert "enabled; FASTOUTPUTS is set to '1'" in said
    _, said = environment.command("doctor")
    assert "enabled; FASTOUTPUTS is not set" in said
    status, said = environment.command("disable")
    assert status == 0 and not environment.file.exists() and said.count("\n") == 1
    assert "not enabled" in environment.command("doctor")[1]
    assert not reached(FASTOUTPUTS="1")


def test_without_the_variable_start_up_imports_nothing_more(environment: Environment) -> None:
    def start_up() -> tuple[set[str], str]:
        done = environment.run("-X", "importtime", "-c", "import sys; print(*sys.modules)")
        return set(done.stdout.split()), done.stderr

    before, _ = start_up()
    environment.command("enable")
    try:
        after, times = start_up()
        # From 3.13 on, Python reads any .pth file by this codec.
        assert after - before <= {"encodings.utf_8_sig"} and "fastoutputs" not in times
        assert len(environment.file.read_text().splitlines()) == 1
    finally:
        environment.command("disable")


def test_a_file_that_pip_leaves_behind_does_nothing(environment: Environment) -> None:
    environment.command("enable")
    away = environment.package.with_name("away")
    environment.package.rename(away)
    try:
        done = environment.run("-c", PROBE, FASTOUTPUTS="1")
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "False", "")
    finally:
        away.rename(environment.package)
    environment.file.write_text("import os  # another version's\n")
    assert "run `fastoutputs enable` again" in environment.command("doctor")[1]
    assert environment.command("enable")[0] == 0
    assert "enabled; FASTOUTPUTS is not set" in environment.command("doctor")[1]
    environment.command("disable")


def test_what_cannot_be_written_or_removed_is_one_line(environment: Environment) -> None:
    environment.file.mkdir()  # as root may write into any folder
    try:
        for command, beginning in (("enable", "cannot write"), ("disable", "cannot remove")):
            status, said = environment.command(command)
            assert status == 1 and said.count("\n") == 1
            assert said.startswith(
                f"python -m fastoutputs {command}: {beginning} {environment.file}"
            )
    finally:
        environment.file.rmdir()


def test_refused_where_python_would_not_see_it(environment: Environment, tmp_path: Path) -> None:
    """As by `pip install --target`, with and without what pip notes."""
    info = environment.site / f"fastoutputs-{fastoutputs.__version__}.dist-info"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = {"PYTHONPATH": str(elsewhere)}
    shutil.move(info, elsewhere)
    try:
        status, said = environment.command("enable", **path)
        assert status == 1 and "reads no .pth files" in said and said.count("\n") == 1
        status, said = environment.command("enable")
        assert status == 1 and "is not installed in this environment" in said
        assert said.count("\n") == 1 and not environment.file.exists()
    finally:
        shutil.move(elsewhere / info.name, info)
