"""Every loop with every kind of result, and what is found of it."""

from __future__ import annotations

import operator
import random
import statistics
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import Any

import torch
from transformers.utils import generic

from fastoutputs.cli.timing import Entry, Loop, statement_loop

from .. import compiled
from ..compiled import TUPLE, Rows
from ..contenders import ORIGINAL
from .kinds import KINDS, OUTPUTS, PLAIN, Switch, switching
from .models import MODELS, TOKENS, VOCABULARY, bert, llama, seeded
from .operations import Counts, costs, counted
from .shares import computed, figures, judged, large
from .work import BATCHES, Generate, Pipeline, Work, compiled_loop, own_loop

BATCH, LENGTH = 2, 8

BARE, COMPILED, DECODER = "bare loop", "own loop compiled, Llama", "decoder compiled"
PIPELINE = "batch pipeline, BERT"
STAGES = (
    BARE,
    *(f"{how}, {model}" for model in MODELS for how in ("own loop", "generate")),
    PIPELINE,
    COMPILED,
    DECODER,
)
TARGET_LOOP = "own loop, Llama"


def steps(quick: bool) -> int:
    return len(STAGES) - (1 if quick else 0)  # COMPILED is left out


def measure(
    rounds: int | None = None,
    quick: bool = False,
    advance: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """All loops. `rounds` are whole decodings; `advance` is told each of STAGES as it begins."""
    rounds = rounds or (10 if quick else 100)
    advance = advance or (lambda _: None)
    shuffle, threads = random.Random(0), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(), switching() as (switch, ours):
            models = _ModelLoops(switch, advance, shuffle)
            models.run_all(rounds, quick)
            operations = {
                operation for pair in models.counts.values() for part in pair for operation in part
            }
            each = costs(sorted(operations, key=str), min(rounds, 40), ours, shuffle)
        loops = models.loops
        for stage, (outputs, plain) in models.counts.items():
            loops[stage]["computed"] = computed(loops[stage], outputs, plain, each)
        advance(BARE)
        loops[BARE] = figures(bare_loop(rounds, shuffle), TUPLE)
        advance(DECODER)
        loops[DECODER] = compiled_decoder(rounds, shuffle)
    finally:
        torch.set_num_threads(threads)
    return {
        "tokens": TOKENS,
        "rounds": rounds,
        "loops": {stage: loops[stage] for stage in STAGES if stage in loops},
        "operations": [
            {"what": o.what, "class": o.cls.__name__, "fields": list(o.given), "ns": each[o]}
            for o in each
        ],
        "target": {"loop": TARGET_LOOP, **judged(models.target_rows)},
        "large": large(loops["generate, Llama"]),
    }


class _ModelLoops:
    """The loops of transformers' models, in which the kinds are switched."""

    def __init__(
        self, switch: Switch, advance: Callable[[str], None], shuffle: random.Random
    ) -> None:
        self.switch, self.advance, self.shuffle = switch, advance, shuffle
        self.loops: dict[str, Any] = {}
        self.counts: dict[str, tuple[Counts, Counts]] = {}
        """stage -> what is done with outputs, and what with return_dict=False."""
        self.target_rows: Rows = {}
        switch(ORIGINAL)
        self.original = generic.ModelOutput

    def run_all(self, rounds: int, quick: bool) -> None:
        for name, build in MODELS.items():
            model = seeded(build)
            own = f"own loop, {name}"
            # The decodings of the target are the more, as a difference of 1 % is to be seen.
            decodings = 4 * rounds if own == TARGET_LOOP else rounds
            self.run(own, partial(own_loop, model=model), KINDS, decodings)
            self.run(f"generate, {name}", partial(Generate, model=model), OUTPUTS, rounds)
        model = seeded(bert)
        batches = list(torch.randint(VOCABULARY, (BATCHES, BATCH, LENGTH)))
        self.run(PIPELINE, partial(Pipeline, model=model, batches=batches), KINDS, 4 * rounds)
        if not quick:  # it is compiled for each kind: most of the time of it all
            make = partial(compiled_loop, model=seeded(llama))
            self.run(COMPILED, make, (*OUTPUTS, PLAIN), rounds)

    def run(
        self, stage: str, make: Callable[[str], Work], kinds: tuple[str, ...], periods: int
    ) -> None:
        self.advance(stage)
        works = {}
        for kind in kinds:
            self.switch(kind)
            works[kind] = make(kind)
        first = works[kinds[0]]
        rows = works_by_turns(list(works.values()), periods, self.switch, self.shuffle)
        unit = "batch" if isinstance(first, Pipeline) else "token"
        base = PLAIN if PLAIN in works else ORIGINAL
        self.loops[stage] = figures(rows, base, first.period, unit)
        if stage == TARGET_LOOP:
            self.target_rows = rows
        if stage != COMPILED:  # its outputs are not made by calls
            self.counts[stage] = self._counted(stage, works)

    def _counted(self, stage: str, works: dict[str, Work]) -> tuple[Counts, Counts]:
        found = []
        for kind, work in works.items():
            self.switch(kind)
            seen = counted(work, self.original)
            if kind in (ORIGINAL, PLAIN):
                found.append(seen)
            elif seen:
                raise RuntimeError(f"{kind}: {stage} makes outputs of the original, too")
        return found[0], found[-1]


def works_by_turns(works: list[Work], rounds: int, switch: Switch, shuffle: random.Random) -> Rows:
    """Nanoseconds a token: one call of each in every round. `rounds` are of whole periods."""
    tokens = {}
    for work in works:
        switch(work.kind)
        tokens[work.kind] = work.tokens()
    same_tokens(tokens)
    entries = [
        Entry(work.kind, timed(work, switch), statements=work.tokens_per_call) for work in works
    ]
    one_call = 1  # ns: no round has time for a second
    return compiled.by_turns(entries, rounds * works[0].period, one_call, shuffle)


def timed(work: Work, switch: Switch) -> Loop:
    def loop(loops: int) -> int:
        switch(work.kind)
        start = perf_counter_ns()
        for _ in range(loops):
            work()
        return perf_counter_ns() - start

    return loop


def same_tokens(tokens: dict[str, list[int]]) -> None:
    """Raises if one kind decodes other tokens than the first."""
    (_, expected), *others = tokens.items()
    for name, found in others:
        if found != expected:
            raise RuntimeError(f"{name} decodes other tokens")


def bare_loop(rounds: int, shuffle: random.Random) -> Rows:
    follow = [(7 * token + 3) % VOCABULARY for token in range(VOCABULARY)]
    made = "make(logits=follow[token], cache=cache)"
    entries: list[Entry] = []
    tokens: dict[str, list[int]] = {}
    for kind, make in compiled.kinds().items():
        statement = (
            "out = (follow[token], cache); token = out[0]; cache = out[1]"
            if kind == TUPLE
            else f"out = {made}; token = out.logits; cache = out.cache"
        )
        names: dict[str, Any] = {"make": make, "follow": follow, "token": 1, "cache": object()}
        entries.append(Entry(kind, statement_loop(statement, names)))
        tokens[kind] = []
        for _ in range(TOKENS):
            exec(statement, names)
            tokens[kind].append(names["token"])
    same_tokens(tokens)
    return compiled.by_turns(entries, rounds, 2e6, shuffle)


def compiled_decoder(rounds: int, shuffle: random.Random) -> dict[str, Any]:
    found = figures(compiled.tokens(rounds, torch.device("cpu"), shuffle), TUPLE)
    calls = compiled.calls(min(rounds, 40), shuffle)
    found["computed"] = {"outputs": 1, "kinds": {}}
    for kind, figure in found["kinds"].items():
        if kind != TUPLE:  # a compiled function makes an output in a way of its own
            spent = statistics.median(map(operator.sub, calls[kind], calls[TUPLE]))
            found["computed"]["kinds"][kind] = {"spent": spent, "share": spent / figure["best"]}
    return found
