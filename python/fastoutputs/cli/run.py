"""Start a program as `python SCRIPT` or `python -m MODULE` would, with compiled outputs in it and its children."""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import pkgutil
import runpy
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import NamedTuple

from .wish import Wish, pass_on

__all__ = ["main", "quietly_interrupted", "split"]


# Private, but the standard library's pdb uses them, too.
_Details = tuple[str, ModuleSpec, CodeType]
_details: Callable[[str, type[Exception]], _Details] = getattr(runpy, "_get_module_details")  # noqa: B009
_main_details: Callable[[type[Exception]], _Details] = getattr(runpy, "_get_main_module_details")  # noqa: B009


class _CannotStartError(Exception):
    """There is no such program; the message is for the user."""


class _Program(NamedTuple):
    code: CodeType
    module: ModuleType
    """Its `__main__`."""
    argv0: str


def split(arguments: Sequence[str]) -> tuple[list[str], str, str, list[str]]:
    """Options of `run`, SCRIPT or "", MODULE or "", and all that is the program's."""
    for place, argument in _not_values(arguments):
        before, after = list(arguments[:place]), list(arguments[place + 1 :])
        first = after[0] if after else ""
        if argument == "--":
            return before, first, "", after[1:]
        if argument == "-m":
            return before, "", first, after[1:]
        if argument.startswith("-m"):
            return before, "", argument[2:], after
        if not argument.startswith("-"):
            return before, argument, "", after
    return list(arguments), "", "", []


def _not_values(arguments: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Each with its place, but for what is the value of an option of `run`."""
    former = ""
    for place, argument in enumerate(arguments):
        if former != "--libraries":
            yield place, argument
        former = argument


def main(prog: str, script: str, module: str, arguments: Sequence[str], wish: Wish) -> int | None:
    """Run it to its end, in this process. What it raises comes through, and is shown without our frames."""
    try:
        wish.install()
    except RuntimeError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    pass_on(wish, os.environ)
    try:
        program = _module(module, arguments) if module else _script(script, arguments)
        sys.argv[0] = program.argv0
        sys.modules["__main__"] = program.module  # for good: threads may outlive the main one
        exec(program.code, vars(program.module))
    except _CannotStartError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except SystemExit:
        raise
    except BaseException as error:
        _show_without_our_frames(error)
        raise
    return None


# --- what to run ---------------------------------------------------------------------------------


def _module(name: str, arguments: Sequence[str]) -> _Program:
    try:
        _put_on_path(os.getcwd())
    except FileNotFoundError:  # it has been removed
        _put_on_path("")
    sys.argv = ["-m", *arguments]
    _, spec, code = _details(name, _CannotStartError)
    return _of_spec(spec, code, spec.origin)


def _script(given: str, arguments: Sequence[str]) -> _Program:
    path = _find(given)
    sys.argv = [given, *arguments]
    if pkgutil.get_importer(path) is not None:  # a folder, or an archive
        _put_on_path(os.path.abspath(path), always=True)
        _, spec, code = _main_details(_CannotStartError)
        return _of_spec(spec, code, given)
    absolute = os.path.abspath(path)
    resolved = absolute if sys.platform == "win32" else os.path.realpath(absolute)
    _put_on_path(os.path.dirname(resolved))
    try:
        with io.open_code(absolute) as file:
            code = pkgutil.read_code(file)
        if code is None:
            with io.open_code(absolute) as file:
                code = compile(file.read(), absolute, "exec", dont_inherit=True)
    except OSError as error:
        raise _CannotStartError(f"cannot read {path!r}: {error.strerror}") from None
    loader = SourceFileLoader("__main__", absolute)
    return _Program(code, _main(absolute, None, None, loader, None), given)


def _find(given: str) -> str:
    """The script itself, or a command that is one, of this environment or on PATH: torchrun, accelerate."""
    if os.path.exists(given):
        return given
    folders = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    command = None if os.path.dirname(given) else shutil.which(given, path=folders)
    if command is None:
        raise _CannotStartError(f"there is no file {given!r}")
    with open(command, "rb") as file:
        start = file.read(512)
    if pkgutil.get_importer(command) is None and not (start[:2] == b"#!" and b"python" in start):
        raise _CannotStartError(f"{command!r} is no Python script")
    return command


def _of_spec(spec: ModuleSpec, code: CodeType, argv0: str | None) -> _Program:
    file = spec.origin if spec.has_location else None
    main = _main(file, spec.cached, spec.parent, spec.loader, spec)
    return _Program(code, main, argv0 or "-m")


def _main(
    file: str | None, cached: str | None, package: str | None, loader: object, spec: object
) -> ModuleType:
    """A `__main__` as Python makes it."""
    module = ModuleType("__main__")
    names = {"__file__": file, "__cached__": cached, "__package__": package}
    vars(module).update(names, __loader__=loader, __spec__=spec, __builtins__=builtins)
    if file is None:
        del module.__file__
    return module


def _put_on_path(folder: str, *, always: bool = False) -> None:
    """Where Python has put the folder of `fastoutputs` itself; by -P and -I it puts none there."""
    if not getattr(sys.flags, "safe_path", sys.flags.isolated):
        sys.path[0] = folder
    elif always:
        sys.path.insert(0, folder)


# --- how it ends ---------------------------------------------------------------------------------


_OUR_FILES = {
    function.__code__.co_filename for function in (split, runpy.run_path, importlib.util.find_spec)
}


def _is_ours(traceback: TracebackType) -> bool:
    file = traceback.tb_frame.f_code.co_filename
    return file in _OUR_FILES or file.startswith("<frozen ")


def _show_without_our_frames(error: BaseException) -> None:
    """Python shows the error once it has left all frames, so the hook that it calls then drops ours."""
    traceback = error.__traceback__
    while traceback is not None and _is_ours(traceback):
        traceback = traceback.tb_next
    hook = sys.excepthook  # the program may have set its own
    if hook is sys.__excepthook__ and isinstance(error, KeyboardInterrupt):
        quietly_interrupted()
        return
    sys.excepthook = lambda kind, value, _: hook(kind, value.with_traceback(traceback), traceback)


def quietly_interrupted() -> None:
    """Have Python end without a word, and with the exit status that it gives Ctrl-C."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = lambda kind, value, traceback: None
