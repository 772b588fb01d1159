"""`fastoutputs run`: what a program and its children see, and how the program ends."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from fastoutputs.cli import wish
from fastoutputs.cli.run import split
from fastoutputs.cli.wish import AT_START, Wish

pytest.importorskip("transformers")

POSIX = os.name == "posix"


def python(
    *arguments: str, folder: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **variables}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def run(*arguments: str, folder: Path | None = None, **variables: str) -> Any:
    return python("-m", "fastoutputs", "run", *arguments, folder=folder, **variables)


def at_start(**variables: str) -> dict[str, str]:
    """The environment of a child of `run`."""
    environment = dict(os.environ)
    wish.pass_on(Wish(), environment)
    return {**environment, **variables}


def write(file: Path, code: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(code), encoding="utf-8")
    return file


# --- what a program and its children see ----------------------------------------------------------

SEEN = """
import dataclasses, os, sys

def seen(_=None):
    import transformers.utils.generic as home

    @dataclasses.dataclass
    class Output(home.ModelOutput):
        a: object = None

    is_ours = type(home.ModelOutput.to_tuple).__name__ == "method_descriptor"
    return is_ours and dict.__len__(Output(1)), getattr(sys, "users_own", None)

if __name__ == "__main__":
    import json
    print(json.dumps(seen()))
"""

PROGRAM = """
import json, multiprocessing, os, subprocess, sys
from seen import seen

if __name__ == "__main__":
    here = {"file": __file__, "argv": sys.argv, "path": sys.path[0], "cached": __cached__}
    os.chdir(os.path.dirname(sys.executable))
    found = {"here": here, "itself": seen()}
    alone = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "FASTOUTPUTS")}
    started = {
        "subprocess": ([], None),
        "a child without PYTHON* variables": (["-E"], None),
        "an empty environment": ([], alone),
        "run in run": (["-m", "fastoutputs", "run", "--slots-only"], None),
    }
    for name, (options, environment) in started.items():
        command = [sys.executable, *options, os.path.join(here["path"], "seen.py")]
        started[name] = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    for method in ("spawn", "forkserver", "fork"):
        if method in multiprocessing.get_all_start_methods():
            with multiprocessing.get_context(method).Pool(1) as pool:
                found[method] = pool.map(seen, [0])[0]
    for name, process in started.items():
        found[name] = json.loads(process.communicate()[0])
    print(json.dumps(found))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a space, and with a name that not every encoding has."""
    return tmp_path / "a folder, größer"


def test_children_have_it_too(folder: Path) -> None:
    write(folder / "seen.py", SEEN)
    program = write(folder / "program.py", PROGRAM)
    write(folder / "own" / "sitecustomize.py", "import sys; sys.users_own = 'here'")
    before = os.environ.get("PYTHONPATH")
    path = str(folder / "own") + (f"{os.pathsep}{before}" if before else "")
    done = run("program.py", "--flag", "-m", "x", folder=folder, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("here") == {
        "file": str(program),
        "argv": ["program.py", "--flag", "-m", "x"],
        "path": str(folder.resolve()),
        "cached": None,
    }
    expected = {name: [1, "here"] for name in found}
    expected["run in run"] = [0, "here"]
    expected["an empty environment"] = [False, None]
    expected["a child without PYTHON* variables"] = [False, None]
    assert len(found) >= 6 and found == expected


@pytest.mark.needs_torch
@pytest.mark.slow
def test_torchrun_and_workers_of_a_data_loader(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write(tmp_path / "seen.py", SEEN)
    script = write(
        tmp_path / "train.py",
        """
        import json
        from seen import seen

        class Data:
            def __len__(self):
                return 1

            def __getitem__(self, place):
                return seen()

        if __name__ == "__main__":
            import os
            import torch
            loader = torch.utils.data.DataLoader(
                Data(), num_workers=1, batch_size=None, multiprocessing_context="spawn"
            )
            print(os.environ["LOCAL_RANK"], json.dumps([seen(), *loader]))
        """,
    )
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    done = run(*launcher, str(script))
    assert (done.returncode, done.stdout.strip()) == (0, "0 [[1, null], [1, null]]"), done.stderr


@pytest.mark.skipif(not POSIX, reason="a command is a script on POSIX")
def test_a_command_on_path(tmp_path: Path) -> None:
    """Such as torchrun or accelerate."""
    for name, start in (("launch", f"#!{sys.executable}\n"), ("other", "#!/bin/sh\n")):
        write(
            tmp_path / name, f"{start}import sys; print(sys.argv, 'fastoutputs' in sys.modules)\n"
        )
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    assert run("launch", "-x", PATH=path).stdout == "['launch', '-x'] True\n"
    done = run("other", PATH=path)
    assert done.returncode == 2 and "is no Python script" in done.stderr


# --- our sitecustomize.py -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "own",
    [
        None,
        "import sys; sys.own = __file__, __name__, sys.modules[__name__].own_name; own_name = 1",
        "import sys; own_name = 1; print(sys.path == list(dict.fromkeys(sys.path)), sys.path)",
        "1 / 0",
        "import no_such_module",
        "raise ImportError('by itself')",
        "raise SystemExit(3)",
        "x = (",
    ],
)
def test_the_users_own_runs_as_if_ours_were_not_there(tmp_path: Path, own: str | None) -> None:
    code = (
        "import sys; found = sys.modules.get('sitecustomize'); "
        "print(found and (found.__file__, sorted(vars(found))), sys.path)"
    )
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    if own is not None:
        write(tmp_path / "sitecustomize.py", own)
    plain, ours = (
        python("-c", code, **variables)
        for variables in (environment, at_start(PYTHONPATH=f"{AT_START}{os.pathsep}{tmp_path}"))
    )
    assert plain.args == ours.args
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    if own == "raise SystemExit(3)":  # ends Python, with the frames on the way
        assert ours.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1]
    else:
        assert ours.stderr == plain.stderr


def test_any_python_can_read_it() -> None:
    source = (AT_START / "sitecustomize.py").read_text(encoding="ascii")
    ast.parse(source, feature_version=(3, 4))
    assert "print" not in source and 'f"' not in source


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.8", "3.9"])
def test_an_older_python_among_the_children(version: str) -> None:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    places = [shutil.which(f"python{version}"), *pyenv.glob(f"*/bin/python{version}")]
    found = [
        place
        for place in places
        if place and not subprocess.run([place, "-c", ""], capture_output=True).returncode
    ]
    if not found:
        pytest.skip(f"there is no Python {version}")
    environment = {**at_start(PYTHONPATH=str(AT_START)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(found[0]), "-c", "import sys; print('sitecustomize' in sys.modules)"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "False", "")


@pytest.mark.parametrize(
    ("before", "value", "works", "said"),
    [
        ("", "1", True, ""),
        ("sys.modules['fastoutputs'] = None", "1", False, ""),
        ("sys.modules['fastoutputs._core'] = None", "1", False, ""),
        ("import importlib.util as u; u.find_spec = lambda *_: None", "1", False, ""),
        (
            "",
            "fast",
            False,
            "fastoutputs: not installed into this program: FASTOUTPUTS=fast: 'fast' means",
        ),
        ("", "off", False, ""),
    ],
    ids=["works", "no package", "another ABI", "no transformers", "a typo", "off"],
)
def test_a_program_never_fails_by_it(
    tmp_path: Path, before: str, value: str, works: bool, said: str
) -> None:
    write(tmp_path / "transformers.py", "imported = True")
    code = (
        f"import sys; assert 'fastoutputs' not in sys.modules\n{before}\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import transformers\nassert transformers.imported\n"
        "print(bool(getattr(sys.modules.get('fastoutputs.integrations.install'), '_active', None)))"
    )
    done = python("-c", code, **at_start(FASTOUTPUTS=value))
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(said) and done.stderr.count("\n") == bool(said)
    assert done.stdout.strip() == str(works)


def test_nothing_is_imported_before_a_library_is() -> None:
    code = "import sys; print(sorted(name for name in sys.modules if 'fastoutputs' in name))"
    loaded = ast.literal_eval(python("-c", code, **at_start()).stdout)
    assert [name for name in loaded if not name.startswith(("_", "__editable"))] == [
        "fastoutputs_at_start"
    ]


def test_install_and_uninstall_of_the_program_itself_count_after_it() -> None:
    code = """
        import fastoutputs, fastoutputs_at_start
        from fastoutputs.integrations.install import _active, _mirror_dict
        with fastoutputs.installed(mirror_dict=False):
            assert list(_active) == ["transformers"] and not _mirror_dict()
        assert list(_active) == ["transformers"] and _mirror_dict()
        fastoutputs.uninstall()
        import transformers
        assert not _active
        """
    done = python("-c", textwrap.dedent(code), **at_start())
    assert done.returncode == 0, done.stderr


# --- its options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("x.py -m y", ([], "x.py", "", ["-m", "y"])),
        ("--slots-only x.py --flag", (["--slots-only"], "x.py", "", ["--flag"])),
        ("--libraries a,b x.py", (["--libraries", "a,b"], "x.py", "", [])),
        ("--libraries=a x.py --libraries b", (["--libraries=a"], "x.py", "", ["--libraries", "b"])),
        ("--libraries -m x", (["--libraries", "-m"], "x", "", [])),  # argparse refuses it
        ("--libraries", (["--libraries"], "", "", [])),
        ("-m x -- y", ([], "", "x", ["--", "y"])),
        ("-mx y", ([], "", "x", ["y"])),
        ("--slots-only -- -x.py y", (["--slots-only"], "-x.py", "", ["y"])),
        ("-m", ([], "", "", [])),
        ("--", ([], "", "", [])),
        ("", ([], "", "", [])),
    ],
)
def test_what_follows_the_program_is_its_own(arguments: str, parts: Any) -> None:
    assert split(arguments.split()) == parts


@pytest.mark.parametrize("mirror_dict", [True, False])
@pytest.mark.parametrize("libraries", ["transformers", "diffusers", "transformers diffusers"])
def test_options_reach_the_children(mirror_dict: bool, libraries: str) -> None:
    options = Wish(tuple(libraries.split()), mirror_dict)
    assert wish.read(wish.write(options)) == options


def test_values_of_the_variable() -> None:
    for value in ("", "0", "off", "No", "false"):
        assert wish.read(value) is None
    for value in ("1", "ON", "yes", "transformers"):
        assert wish.read(value) == Wish()
    assert wish.read("Slots-Only, diffusers") == Wish(("diffusers",), mirror_dict=False)
    assert wish.read("diffusers,1,transformers") == Wish(("diffusers", "transformers"))
    for value in ("2", "1,slots_only", "0,1", "1,__init__"):
        with pytest.raises(ValueError, match=r"means nothing.*slots-only, transformers, diffusers"):
            wish.read(value)


def test_the_folder_is_put_on_the_path_once() -> None:
    environment = {"PYTHONPATH": "a"}
    for _ in range(2):
        wish.pass_on(Wish(), environment)
    assert environment == {"PYTHONPATH": f"{AT_START}{os.pathsep}a", "FASTOUTPUTS": "1"}
    environment = {"PYTHONPATH": ""}
    wish.pass_on(Wish(mirror_dict=False), environment)
    assert environment == {"PYTHONPATH": str(AT_START), "FASTOUTPUTS": "1,slots-only"}


# --- how a program ends ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    write(folder / "failing.py", "def fail():\n    1 / 0\n\n\nfail()\n")
    write(folder / "package" / "__init__.py", "")
    write(folder / "package" / "__main__.py", "import sys\nsys.exit(__spec__.name)\n")
    write(folder / "broken" / "__init__.py", "import no_such_part\n")
    write(folder / "broken" / "__main__.py", "")
    write(folder / "empty" / "data.txt", "")
    write(folder / "folder" / "__main__.py", "import sys, beside; print(sys.path[0], sys.argv[0])")
    write(folder / "folder" / "beside.py", "")
    write(folder / "syntax.py", "x = (\n")
    write(
        folder / "interrupted.py",
        "import atexit\natexit.register(print, 'end')\nraise KeyboardInterrupt\n",
    )
    write(
        folder / "hook.py",
        "import sys\nsys.excepthook = lambda kind, error, tb: print(kind.__name__, tb.tb_frame.f_code.co_filename)\n1 / 0\n",
    )
    write(
        folder / "main.py",
        "import __main__, pickle, sys, threading\nclass Own: pass\n"
        "assert __main__.Own is Own and __name__ == '__main__' and __spec__ is None\n"
        "assert isinstance(pickle.loads(pickle.dumps(Own())), Own)\n"
        "def later():\n    threading.main_thread().join(); print(pickle.dumps(Own())[:1])\n"
        "threading.Thread(target=later).start()\nsys.argv[1:] = ['changed']\nsys.exit(4)\n",
    )
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["failing.py"],
        ["syntax.py"],
        ["hook.py"],
        ["main.py"],
        ["folder"],
        ["-m", "package", "x"],
    ],
    ids=" ".join,
)
def test_it_ends_as_with_plain_python(programs: Path, arguments: list[str]) -> None:
    plain, ours = python(*arguments, folder=programs), run(*arguments, folder=programs)
    assert plain.returncode != 0 or arguments == ["folder"]
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        plain.returncode,
        plain.stdout,
        plain.stderr,
    )


def test_a_failing_module_shows_its_own_frames(programs: Path) -> None:
    for arguments in (["-m", "failing"], ["-m", "broken"]):
        done = run(*arguments, folder=programs)
        frames = [line for line in done.stderr.splitlines() if line.startswith("  File ")]
        assert done.returncode == 1 and frames
        assert all(str(programs) in line for line in frames), done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-m", "nosuch"], "No module named nosuch"),
        (["-m", "empty"], "No module named empty.__main__"),
        (["empty"], "can't find '__main__' module in "),
        (["nosuch.py"], "there is no file 'nosuch.py'"),
    ],
)
def test_one_line_where_there_is_no_program(
    programs: Path, arguments: list[str], said: str
) -> None:
    done = run(*arguments, folder=programs)
    assert done.returncode == 2 and done.stderr.startswith(f"python -m fastoutputs run: {said}")
    assert done.stderr.count("\n") == 1 and done.stdout == ""


@pytest.mark.parametrize("arguments", [["--no-such", "failing.py"], [], ["-m"], ["--slots-only"]])
def test_a_wrong_option_names_its_own_usage(programs: Path, arguments: list[str]) -> None:
    done = run(*arguments, folder=programs)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m fastoutputs run [--slots-only]")


def test_ctrl_c_is_quiet(programs: Path) -> None:
    plain, ours = (one("interrupted.py", folder=programs) for one in (python, run))
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, "end\n", "")
    if POSIX:
        assert ours.returncode == -signal.SIGINT


@pytest.mark.parametrize("command", ["run", "doctor", "bench", "enable", "disable"])
def test_help_has_an_example(command: str) -> None:
    done = python("-m", "fastoutputs", command, "--help")
    assert done.returncode == 0
    assert f"example:\n  python -m fastoutputs {command}" in done.stdout
