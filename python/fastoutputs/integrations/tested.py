"""The versions of other libraries that the tests run, newest first: the only place in the package that says so.

`tests/test_project.py` compares them with the pins in pyproject.toml, the Makefile, README.md and docs/.
"""

from __future__ import annotations

__all__ = ["TESTED"]

TESTED: dict[str, tuple[tuple[int, int], ...]] = {
    "transformers": ((5, 24), (5, 23), (5, 10), (5, 0), (4, 57), (4, 51), (4, 45)),
    "diffusers": ((0, 42),),
    "torch": ((2, 15), (2, 14), (2, 13)),
}
