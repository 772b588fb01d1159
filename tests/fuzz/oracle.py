"""The state machine of tests/test_oracle.py, with new seeds each time, until it has made so many steps.

python tests/fuzz/oracle.py 100_000
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import invariant, run_state_machine_as_test

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import conftest  # noqa: F401  # for the settings
from test_oracle import LAYOUTS, OURS, Twins


class Counted(Twins):
    steps = 0

    @invariant()
    def count(self) -> None:  # once after every step
        Counted.steps += 1


def main(wanted: int) -> None:
    started = time.monotonic()
    # Longer sequences than in the ordinary run: what one step leaves behind may matter much later.
    options = settings(database=None, max_examples=20, stateful_step_count=200)
    for mode, layout in itertools.cycle(itertools.product(OURS, LAYOUTS)):
        machine = type(f"Twins_{mode}_{layout}", (Counted,), {"mode": mode, "layout": layout})
        run_state_machine_as_test(machine, settings=options)
        if Counted.steps >= wanted:
            break
    took = time.monotonic() - started
    print(f"oracle: {Counted.steps:,} steps beside the original, no difference, {took:.0f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]))
