"""Code that needs an interpreter of its own, as install() changes the whole process."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def program(code: str, *arguments: str, timeout: int = 120) -> str:
    """Output of code in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
