"""The parts of the base of a library's output classes, with their fingerprints, for `libraries/<library>.py`.

    python tools/base_parts.py transformers        run by an environment that has it and fastoutputs

A part with ? before it is in no tested release: read what it does, and see that the container does the same.
"""

from __future__ import annotations

import importlib
import sys

from fastoutputs.integrations.known_base import parts_of
from fastoutputs.integrations.library import find_library


def main(name: str) -> None:
    library = find_library(name)
    base = getattr(importlib.import_module(library.home), library.base)
    known = [generation.parts for generation in library.generations]
    print(f"{name} {library.version()}, {library.home}.{library.base}")
    for part, fingerprint in parts_of(library, base).items():
        is_known = any(fingerprint in parts.get(part, ()) for parts in known)
        print(f"{' ' if is_known else '?'} {fingerprint}  {part}")


if __name__ == "__main__":
    main(*sys.argv[1:])
