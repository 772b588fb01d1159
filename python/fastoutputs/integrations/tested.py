"""The versions of torch that the tests run, newest first: the only place in the package that says so.

Those of a library that install() knows stand in its own file, below `libraries`. `tests/test_project.py` compares
both with the pins in pyproject.toml, the Makefile, README.md and docs/.
"""

from __future__ import annotations

__all__ = ["TORCH"]

TORCH: tuple[tuple[int, int], ...] = ((2, 15), (2, 14), (2, 13))
