"""Start a program as `python SCRIPT` or `python -m MODULE` would, with compiled outputs."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence

from .. import install

__all__ = ["main"]


def main(
    program: str,
    arguments: Sequence[str],
    *,
    is_module: bool,
    mirror_dict: bool = True,
    diffusers: bool = False,
) -> int | None:
    """Run it to its end, in this process; what it raises comes through."""
    if not is_module and not os.path.exists(program):
        print(f"python -m fastoutputs run: there is no file {program!r}", file=sys.stderr)
        return 2
    try:
        install(mirror_dict=mirror_dict, diffusers=diffusers)
    except RuntimeError as error:
        print(f"python -m fastoutputs run: {error}", file=sys.stderr)
        return 2
    sys.argv = [program, *arguments]
    if is_module:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        if not getattr(sys.flags, "safe_path", False):
            sys.path[0] = os.path.dirname(os.path.abspath(program))
        runpy.run_path(program, run_name="__main__")
    return None
