"""What the pages show is so: README.md, CONTRIBUTING.md, SECURITY.md, CHANGELOG.md and docs/.

- A `python` block runs. The blocks of a page run in order, as one module. What a block prints stands in a block
  marked `text` right after it, where `...` is anything. A page is run as far as what its blocks import is
  installed; what needs a library that few have stands at its end, and another target of the Makefile runs it.
- A line of an `sh` block, of an indented block, and a command between backticks is tried: run where that is quick
  and changes nothing, and otherwise looked at, whether the target, file, module or option is there.
- A `text` block that no code prints has a test of its own.
- Code in another language or too wide for the site, and a link within the repository that leads nowhere, is an error.
"""

from __future__ import annotations

import ast
import doctest
import fnmatch
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest

import fastoutputs

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LANGUAGES = {"python", "sh", "text"}
DIRECTIVES = {
    "{toctree}",
    "{include}",
    "{eval-rst}",
    "{before-after}",
}  # of the site; no code in them
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n+```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)

in_repository = pytest.mark.skipif(
    not (ROOT / ".ci").exists(), reason="in the repository only: wheels are tested without it"
)
pages = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix().removeprefix("docs/")
)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    fastoutputs.uninstall()


def read(page: Path) -> str:
    if not page.exists():
        pytest.skip("in the repository only")
    return page.read_text(encoding="utf-8")


def blocks_of(text: str) -> Iterator[tuple[str, str]]:
    """The language and the code of every block, an indented one as `sh`."""
    fence = language = ""
    code: list[str] = []
    before = ""
    for line in [*text.splitlines(), ""]:
        mark = re.match(r" *(`{3,}|~{3,})(.*)", line)
        if fence:
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                yield language, "\n".join(code)
                fence, code = "", []
            else:
                code.append(line)
        elif mark:
            fence, language = mark[1], (mark[2].split() or ["none"])[0]
        elif re.match(r" {4}|\t", line) and (code or not before.strip()):
            code.append(line.strip())
        elif code and line.strip():
            yield "sh", "\n".join(code)
            code = []
        before = line
    assert not fence, "a block has no end"
    if code:
        yield "sh", "\n".join(code)


def run(name: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the python blocks of a page, up to the first one that imports what is not here."""
    languages = [language for language, _ in blocks_of(text)]
    assert set(languages) <= LANGUAGES | DIRECTIVES, f"{name} has code that nobody runs"
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == languages.count("python"), f"{name} has a block that was not recognised"
    page = ModuleType(f"page_{Path(name).stem}")  # not that of a library: docs/api/torch.md
    sys.modules[page.__name__] = page  # where a dataclass looks its annotations up
    try:
        for block in blocks:
            line = text.count("\n", 0, block.start(1))
            for needed in imported(block[1]):
                if find_spec(needed) is None:
                    pytest.skip(f"{name} has run up to line {line}, where it needs {needed}")
            exec(compile("\n" * line + block[1], name, "exec"), vars(page))
            said, shown = capsys.readouterr().out, block[2] or ""
            assert doctest.OutputChecker().check_output(shown, said, doctest.ELLIPSIS), (
                f"{name}, the block at line {line + 1} printed\n{said}\nand not\n{shown}"
            )
    finally:
        del sys.modules[page.__name__]


def imported(code: str) -> Iterator[str]:
    """The packages that code imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]


@pages
def test_page(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(page.name, as_of_the_installed(read(page)), capsys)


def as_of_the_installed(text: str) -> str:
    """A page names the cache as transformers 5.24 does; `make suite-5.23` runs it, too."""
    if "cache=start.cache" in text and find_spec("transformers") is not None:
        import transformers

        if tuple(map(int, transformers.__version__.split(".")[:2])) < (5, 24):
            return text.replace("cache=start.cache", "past_key_values=start.past_key_values")
    return text


@pytest.mark.parametrize(
    "page",
    [
        "```python\nassert 1 == 2\n```\n",
        "```python\nprint('one')\n```\n",
        "```python\nprint('one')\n```\n\n```text\ntwo\n```\n",
        "```python\n```\n\n```text\none\n```\n",
        "```python\none = 1\n```\n\n```python\nassert one == 2\n```\n",
        "```python\nassert False\n```\n\n```python\nimport there_is_no_such_library\n```\n",
        "- in a list\n\n  ```python\n  one = 1\n  ```\n",
        "```py\none = 1\n```\n",
        "```\none = 1\n```\n",
        "```console\n$ make test\n```\n",
        "```{code-block} python\none = 1\n```\n",
        "~~~python\none = 1\n~~~\n",
        "````python\none = 1\n````\n",
        "```python\none = 1\n",
    ],
)
def test_a_page_that_is_wrong_fails(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError):
        run("page.md", page, capsys)


def test_a_page_runs_as_far_as_its_libraries_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    page = "\n```python\nimport there_is_no_such_library\n```\n"
    with pytest.raises(pytest.skip.Exception, match="line 2, where it needs there_is_no_such"):
        run("page.md", page, capsys)


FRAMEWORKS = r"^frameworks:.*\n(\t.*\n)*\t.*tests/test_docs\.py::test_page\[frameworks\.md\]"
# What .venv lacks and pages import, each with where the Makefile runs the whole of such a page.
ELSEWHERE = {
    "diffusers": r"^libraries:.*\n(\t.*\n)*\t.* tests/test_docs\.py::test_page ",
    "tensorflow": FRAMEWORKS,
    "jax": FRAMEWORKS,
    "flax": FRAMEWORKS,
}


@in_repository
def test_what_is_skipped_here_runs_elsewhere() -> None:
    found = set()
    for page in PAGES:
        for block in BLOCK.finditer(read(page)):
            for needed in set(imported(block[1])) - sys.stdlib_module_names:
                if needed in ("fastoutputs", "torch", "transformers", "cloudpickle"):
                    continue
                found.add(needed)
                assert needed == "diffusers" or page.name == "frameworks.md", (page, needed)
    assert found == set(ELSEWHERE)
    makefile = read(ROOT / "Makefile")
    for where in ELSEWHERE.values():
        assert re.search(where, makefile, re.MULTILINE), where


# Commands


def commands_of(text: str) -> Iterator[str]:
    """Lines for a shell, and what stands between backticks and looks like one."""
    for language, code in blocks_of(text):
        if language == "sh":
            yield from (line for line in code.splitlines() if shlex.split(line, comments=True))
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    start = (
        r"(?:make |pip install |pytest |cmake |\.venv/bin/|python -m |fastoutputs (?=[a-z])|\.ci/)"
    )
    yield from re.findall(rf"`({start}[^`]+)`", text)


def wrong_with(command: str, folder: Path) -> str | None:
    """Why a command would not do what a page says."""
    words = shlex.split(command, comments=True)
    tool = Path(words[0]).name
    if words == ["make"]:
        return None
    if tool == "make":
        return wrong_with_make(words[1:])
    if tool == "pip" and words[1] == "install":
        # Not run: it changes the environment. `make test` does the same, and `make wheels` from the sdist.
        named = [word for word in words[2:] if re.match(r"[a-z]", word) and "=" not in word]
        pins = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        return next((f"{name} is not pinned" for name in named if f'"{name}==' not in pins), None)
    if tool == "cmake":  # not run: it takes a compiler and a minute
        options = re.findall(r"-D(FASTOUTPUTS_\w+)", command)
        known = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
        return next((f"no option {name}" for name in options if name not in known), None)
    if words in ([".ci/run"], [".ci/nightly"]):  # not run: they run these tests
        return None if os.access(ROOT / words[0], os.X_OK) else "it is not there"
    if tool == "python" and len(words) == 2 and words[1].startswith("tools/"):
        # Not run: it writes into the repository.
        return None if (ROOT / words[1]).is_file() else f"there is no {words[1]}"
    if tool == "python" and words[1] == "tools/base_parts.py":  # it only prints
        return failure([sys.executable, *words[1:]], ROOT)
    if tool == "pytest" or words[1:3] == ["-m", "pytest"]:
        chosen = words[1:] if tool == "pytest" else words[3:]
        for word in chosen:
            if word.startswith("tests/") and not (ROOT / word).exists():
                return f"there is no {word}"
        if "-k" not in chosen:
            return None
        return failure([sys.executable, "-m", "pytest", "--collect-only", "-q", *chosen], ROOT)
    if tool == "fastoutputs":  # the console script
        tool, words = "python", ["python", "-m", *words]
    if tool == "python" and words[1:3] == ["-m", "fastoutputs"]:
        if words[3:4] != ["run"]:  # the rest take seconds; tests/test_install.py runs them
            return failure([sys.executable, *words[1:], "--help"], folder)
        if "diffusers" in command and find_spec("diffusers") is None:
            return None  # `make libraries` has it
        if words[4:5] == ["torchrun"]:
            return None  # tests/test_run.py starts one process with it
        (folder / "train.py").write_text("import transformers.utils\n")
        script = [] if "train.py" in words else ["train.py"]
        return failure([sys.executable, *words[1:], *script], folder)
    if tool == "python" and words[1] == "-m" and words[2].startswith("bench"):
        # Not run: it measures for minutes. All that is asked for is that its options are there.
        if find_spec("pyperf") is None:
            return None
        done = tried([sys.executable, "-m", words[2], "--help"], ROOT)
        options = [word for word in words[3:] if word.startswith("--")]
        if done.returncode:
            return done.stderr
        return next((f"no {option}" for option in options if option not in done.stdout), None)
    return "nobody knows how to try it"


def wrong_with_make(words: list[str]) -> str | None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z0-9%-]+):(?!=)", makefile, re.MULTILINE)
    for word in words:
        name, given, _ = word.partition("=")
        if given and f"$({name})" not in makefile:
            return f"the Makefile has no {name}"
        if not given and not any(
            re.fullmatch(target.replace("%", stands_for(target)), word) for target in targets
        ):
            return f"the Makefile has no target {word}"
    return None


def stands_for(target: str) -> str:
    """What `%` in a target may be: a Python, or for `suite-%` a transformers that pyproject.toml pins."""
    if target != "suite-%":
        return r"3\.\d+t?"
    pins = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    names = re.findall(r'^"transformers-(.+?)" =', pins, re.MULTILINE)
    return f"(?:{'|'.join(map(re.escape, names))})"


def tried(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def failure(command: list[str], folder: Path) -> str | None:
    done = tried(command, folder)
    return done.stdout + done.stderr if done.returncode else None


@in_repository
@pytest.mark.needs_torch
def test_commands(tmp_path: Path) -> None:
    found = {command: page.name for page in PAGES for command in commands_of(read(page))}
    assert len(found) > 20
    wrong = {f"{found[one]}: {one}": wrong_with(one, tmp_path) for one in found}
    assert {command: why for command, why in wrong.items() if why} == {}


@in_repository
@pytest.mark.parametrize(
    "page",
    [
        "```sh\nmake no-such-target\n```\n",
        "so:\n\n    make tests    # with a word\n",
        "Say `make test NO_SUCH=1`.",
        "Say `make test-2.7`.",
        "Say `make suite-3.13`.",
        "Say `make suite-5.99`.",
        "Say `.ci/no_such`.",
        "Say `.venv/bin/python tools/no_such.py`.",
        "Say `pytest tests/no_such_file.py`.",
        "Say `pytest tests/test_views.py -k no_such_test`.",
        "Say `python -m fastoutputs walk`.",
        "Say `python -m fastoutputs run --no-such train.py`.",
        "Say `pip install no-such-library`.",
        "```sh\nrm -r build\n```\n",
    ],
)
def test_a_command_that_is_wrong_is_found(page: str, tmp_path: Path) -> None:
    (command,) = commands_of(page)
    assert wrong_with(command, tmp_path)


@pages
def test_code_fits_the_column_of_the_site(page: Path) -> None:
    for language, code in blocks_of(read(page)):
        if language == "sh":  # the comment beside a command may be cut
            code = re.sub(r" +# .*", "", code)
        assert [line for line in code.splitlines() if len(line) > 92] == []


# Text that no block prints


def alone(text: str) -> list[str]:
    """The `text` blocks that do not follow a python block."""
    printed = {block[2].rstrip("\n") for block in BLOCK.finditer(text) if block[2]}
    return [
        code for language, code in blocks_of(text) if language == "text" and code not in printed
    ]


def test_text_that_no_block_prints_has_a_test_below() -> None:
    having = [page.name for page in PAGES if page.exists() and alone(read(page))]
    assert having in ([], ["frameworks.md", "install.md", "tracing.md"])


@in_repository
def test_frameworks_page_names_the_pinned_versions() -> None:
    tomllib = pytest.importorskip("tomllib")
    (text,) = alone(read(ROOT / "docs/frameworks.md"))
    groups = tomllib.loads(read(ROOT / "pyproject.toml"))["dependency-groups"]
    pinned = {
        *groups["frameworks"][1:],
        *groups["tensorflow-addons"],
    }  # the first is the group `test`
    assert {word for word in text.split() if "==" in word} == pinned


@in_repository
@pytest.mark.needs_torch
def test_install_page_shows_what_doctor_prints(tmp_path: Path) -> None:
    def lines(text: str) -> set[str]:
        return {
            " ".join(re.sub(r"\d[\d.]*(\+\w+)?", "#", line).split()) for line in text.splitlines()
        }

    report, text = alone(read(ROOT / "docs/install.md"))
    text += f"\n{report}"
    done = tried([sys.executable, "-m", "fastoutputs", "doctor"], tmp_path)
    printed = lines(done.stdout)
    missing = {
        line
        for line in lines(text)
        if not any(fnmatch.fnmatchcase(one, line.replace("...", "*")) for one in printed)
    }
    if find_spec("diffusers") is None:  # `make libraries` has it
        missing = {line for line in missing if "diffusers" not in line}
    assert missing == {line for line in missing if line.startswith("python #")}  # another system


def test_tracing_page_shows_the_warning() -> None:
    """That it is given, and when, is in tests/test_dynamo_pieces.py."""
    (text,) = alone(read(ROOT / "docs/tracing.md"))
    source = Path(fastoutputs.__file__).parent / "integrations" / "dynamo.py"
    warnings = [
        "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr)
    ]
    assert " ".join(text.split()) in warnings


# Links and paths


def anchors_of(text: str) -> Iterator[str]:
    """As a forge makes them of headings."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def broken_links(page: Path, text: str) -> Iterator[str]:
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "`", text, flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists():
            yield f"{link} leads nowhere"
        elif anchor and anchor not in anchors_of(target.read_text(encoding="utf-8")):
            yield f"{link} has no such heading"


@in_repository
@pages
def test_links(page: Path) -> None:
    """`make docs` follows those of the site; these are followed as they stand in the repository."""
    assert list(broken_links(page, read(page))) == []


@in_repository
def test_a_broken_link_is_found() -> None:
    text = "[a](docs/none.md) [b](docs/start.md#none) ![c](none.svg) [d](http://x.org) [e](#none)"
    assert len(list(broken_links(ROOT / "README.md", text))) == 5
    text = "[a](docs/start.md) [b](docs/start.md#an-output-class) [d](https://x.org) `[e](none)`"
    assert list(broken_links(ROOT / "README.md", text)) == []


@in_repository
def test_the_check_of_the_site_finds_what_is_wrong(tmp_path: Path) -> None:
    spec = spec_from_file_location("check_site", ROOT / "tools/check_site.py")
    assert spec and spec.loader
    check_site = module_from_spec(spec)
    spec.loader.exec_module(check_site)
    assert list(check_site.wrong_with(tmp_path)) == [f"{tmp_path}: no pages"]

    (tmp_path / "api").mkdir()
    (tmp_path / "picture.svg").touch()
    (tmp_path / "index.html").write_text("<a href='api/a.html#here'>a</a> <img src='picture.svg'>")
    (tmp_path / "api/a.html").write_text(
        "<p id=here> <a href='../index.html'>b</a> <a href='#'>c</a>"
    )
    assert list(check_site.wrong_with(tmp_path)) == []
    for wrong in (
        "<a href='none.html'>",
        "<a href='a.html#none'>",
        "<a href='#none'>",
        "<a href='http://example.org'>",
        "<img src='none.svg'>",
        "<img src='https://example.org/x.svg'>",
        "<script src='//example.org/x.js'>",
        "<link rel=stylesheet href='https://example.org/x.css'>",
    ):
        (tmp_path / "api/b.html").write_text(wrong)
        assert list(check_site.wrong_with(tmp_path)), wrong
    (tmp_path / "api/b.html").unlink()
    (tmp_path / "x.css").write_text("a { background: url(https://example.org/x.png) }")
    assert len(list(check_site.wrong_with(tmp_path))) == 1


@in_repository
def test_files_that_pages_name_are_there() -> None:
    folders = "csrc|python|tests|tools|bench|docs|demo"
    for page in PAGES:
        for name in re.findall(rf"`((?:{folders})/[\w./*-]+)`", read(page)):
            assert list(ROOT.glob(name.rstrip("/"))), f"{page.name} names {name}"


@in_repository
def test_house_map_has_every_room() -> None:
    rooms = re.findall(r"^\| (`.*?) \|", read(ROOT / "docs/contributing.md"), re.MULTILINE)
    patterns = []
    for room in rooms:
        folder = ""
        for name in re.findall(r"`(.*?)`", room):
            if "/" in name.rstrip("/"):
                folder = name.rstrip("/").rpartition("/")[0] + "/"
            patterns.append(name if name.startswith(folder) else folder + name)
    there = [
        path.relative_to(ROOT).as_posix() + ("/" if path.is_dir() else "")
        for path in chain((ROOT / "csrc").iterdir(), (ROOT / "python/fastoutputs").iterdir())
        if path.name != "__pycache__"
    ]
    shown = {path for path in there for pattern in patterns if fnmatch.fnmatch(path, pattern)}
    assert sorted(set(there) - shown) == []
    for pattern in patterns:
        assert list(ROOT.glob(pattern.rstrip("/"))), pattern
