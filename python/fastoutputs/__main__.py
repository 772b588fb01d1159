"""`fastoutputs`, or `python -m fastoutputs`: run a program with compiled outputs, or check an installation."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import __version__
from .integrations.library import DEFAULT, known_libraries

_COMMANDS = {
    "run": (
        "start a program with compiled outputs, its child processes included",
        "run train.py --epochs 3\n  {prog} run -m package.module\n  {prog} run torchrun --nproc-per-node 2 train.py",
    ),
    "doctor": ("show what is installed, what install() would do, and the speed here", "doctor"),
    "bench": ("measure what outputs cost here, beside other records", "bench"),
    "enable": (
        "let FASTOUTPUTS=1 do the same for every program of this environment",
        "enable\n  FASTOUTPUTS=1 python train.py",
    ),
    "disable": ("undo enable", "disable"),
}


def _prog() -> str:
    name = os.path.basename(sys.argv[0])
    return "python -m fastoutputs" if name == "__main__.py" else "fastoutputs"


def _parsers(prog: str) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Compiled model outputs for transformers.",
        epilog=f"`{prog} COMMAND --help` says more, with an example.",
    )
    parser.add_argument("--version", action="version", version=f"fastoutputs {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    found: dict[str, argparse.ArgumentParser] = {}
    for name, (what, example) in _COMMANDS.items():
        found[name] = commands.add_parser(
            name,
            allow_abbrev=False,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"example:\n  {prog} {example.format(prog=prog)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    run = found["run"]
    run.usage = f"{prog} run [--slots-only] [--libraries NAMES] (SCRIPT | -m MODULE) [ARGUMENT ...]"
    run.add_argument(
        "--slots-only",
        action="store_true",
        help="outputs without the inner dict: install(mirror_dict=False)",
    )
    run.add_argument(
        "--libraries",
        metavar="NAMES",
        default=DEFAULT,
        help="whose outputs, with commas between: install(NAME, ...). Known: "
        f"{', '.join(known_libraries())}; without it {DEFAULT}",
    )
    for name in ("doctor", "bench"):
        found[name].add_argument("--json", action="store_true", help="print JSON instead")
    return parser, found


def main(arguments: Sequence[str] | None = None) -> int | None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(given)
    except KeyboardInterrupt:
        from .cli.run import quietly_interrupted

        quietly_interrupted()
        raise


def _main(given: list[str]) -> int | None:
    prog = _prog()
    parser, commands = _parsers(prog)
    if not given or given[0] not in commands:
        parser.parse_args(given)  # answers --help and --version, and refuses all else
        return 2
    name, rest = given[0], given[1:]
    if name == "run":
        from .cli import run
        from .cli.wish import Wish, words_of

        before, script, module, after = run.split(rest)
        options = commands["run"].parse_args(before)
        if not script and not module:
            commands["run"].error("which program? Name a script, or -m and a module")
        libraries = tuple(words_of(options.libraries))
        if not libraries:
            commands["run"].error("--libraries needs a name")
        wish = Wish(libraries, mirror_dict=not options.slots_only)
        return run.main(f"{prog} run", script, module, after, wish)
    options = commands[name].parse_args(rest)
    if name == "doctor":
        from .cli import doctor

        return doctor.main(as_json=options.json)
    if name == "bench":
        from .cli import bench

        return bench.main(as_json=options.json)
    from .cli import enable

    return enable.main(name, f"{prog} {name}")


if __name__ == "__main__":
    sys.exit(main())
