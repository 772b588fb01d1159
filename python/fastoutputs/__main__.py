"""`python -m fastoutputs`: run a program with compiled outputs, or look at an installation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import __version__


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fastoutputs", description="Compiled model outputs under transformers."
    )
    parser.add_argument("--version", action="version", version=f"fastoutputs {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="start a script, or a module with -m, with fastoutputs.install() on",
        usage="python -m fastoutputs run [--slots-only] [--diffusers] (SCRIPT | -m MODULE) [ARGUMENT ...]",
    )
    run.add_argument(
        "--slots-only",
        action="store_true",
        help="outputs without dict storage: install(mirror_dict=False)",
    )
    run.add_argument(
        "--diffusers",
        action="store_true",
        help="those of diffusers, too: install(diffusers=True)",
    )
    run.add_argument("-m", dest="is_module", action="store_true", help="run a module by its name")
    run.add_argument("program", metavar="SCRIPT | MODULE")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT")
    commands.add_parser(
        "doctor", help="what is here, what install() would do, and how fast this machine is"
    )
    commands.add_parser("bench", help="what outputs cost here, beside what else there is")
    return parser


def main(arguments: Sequence[str] | None = None) -> int | None:
    parsed = _parser().parse_args(arguments)
    if parsed.command == "doctor":
        from .cli import doctor

        return doctor.main()
    if parsed.command == "bench":
        from .cli import bench

        return bench.main()
    from .cli import run

    return run.main(
        parsed.program,
        parsed.arguments,
        is_module=parsed.is_module,
        mirror_dict=not parsed.slots_only,
        diffusers=parsed.diffusers,
    )


if __name__ == "__main__":
    sys.exit(main())
