"""Loops that make outputs by the way.

What is a compiled output worth where something else is done, too? The same loop runs with each kind of
result, all of them taking turns in one process, and must yield the same tokens with each:

- the *bare loop*, which only makes and reads an output; a plain tuple is what it is held against;
- greedy decoding by transformers' own `generate`. It asks its model for `return_dict=True`, whatever
  the config says, so there is no `generate` with `return_dict=False` to be held against;
- therefore also an *own loop*, which calls the model a token at a time and takes the best token:
  once with each kind of output, and once with `return_dict=False`;
- the same *compiled*: the own loop on Llama, and the toy decoder of `bench.compiled`, which can return
  a plain tuple without ever having made an output;
- a *batch pipeline*: an encoder with `output_hidden_states=True`, all of which are read.

With `return_dict=False` transformers 5 makes the same outputs and turns the last one into a tuple in
the end. So it is no floor, and is measured twice: with the original's classes and with ours.

Two shares are given. One is *measured*, as a difference: what a kind takes beyond the base of its loop
in the same round, the median of all rounds with its interval of 95 %. The other is *computed*: how many
outputs are made and read for one token (counted in a pass of its own, with the original) times what
each of these operations costs alone (measured in this process), by the best time of the token. Alone,
all that an operation needs is in the caches, so the computed share is the least that it can be.

install() is called once, as it takes too long to be called every turn: what it has bound in the modules
of transformers is put back and forth between turns, and a loop in which the other kind still comes up
is an error. Slots only is a switch at the base of all outputs, after which the interpreter looks up
everything about their classes anew. That would fall on ours in every turn, so slots only is measured
where its classes are declared so, and computed elsewhere.
"""

from __future__ import annotations

import itertools
import operator
import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any, NamedTuple

import torch
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    StaticCache,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.utils import generic

import fastoutputs
from fastoutputs.cli.timing import Entry, Loop, readable, statement_loop

from . import compiled
from .compiled import TUPLE, Rows
from .contenders import ORIGINAL, SLOTS, STEP
from .report import markdown_table, times

SUMMARY = "Generation loops with each kind of result: time per token, and what outputs take of it."

TOKENS = 32
VOCABULARY, WIDTH, HEADS, LAYERS = 64, 32, 2, 2
BATCHES, BATCH, LENGTH = 4, 2, 8

PLAIN, PLAIN_STEP = "return_dict=False", "return_dict=False, in step"
KINDS = (ORIGINAL, STEP, PLAIN, PLAIN_STEP)
OUTPUTS = (ORIGINAL, STEP)

LIMIT = 0.01  # of the toy Llama's time, beyond return_dict=False
TARGET_LOOP = "own loop, Llama"
STATED_MS = (10, 30)  # a token of a large model on a GPU: assumed, not measured

COMPILED = "own loop compiled, Llama"
STAGES = (
    "bare loop",
    *(f"{how}, {model}" for model in ("GPT-2", "Llama", "T5") for how in ("own loop", "generate")),
    "batch pipeline, BERT",
    COMPILED,
    "decoder compiled",
)

Switch = Callable[[str], None]


# --- which classes transformers returns ----------------------------------------------------------


@contextmanager
def switching() -> Iterator[tuple[Switch, dict[type, type]]]:
    """install() for the time of a block. Gives a function by which a kind takes over in microseconds,
    and what each class of the original becomes."""

    def names() -> tuple[tuple[dict[str, Any], str, type], ...]:
        return tuple(
            (vars(module), name, value)
            for module in list(sys.modules.values())
            if getattr(module, "__name__", "").partition(".")[0] == "transformers"
            for name, value in list(vars(module).items())
            if isinstance(value, type)
        )

    before = names()  # install() would look into a list or a dict, and replace what is there, too
    with fastoutputs.installed():
        changed = [
            (scope, name, original, scope[name])
            for scope, name, original in before
            if scope[name] is not original
        ]
        if not changed:
            raise RuntimeError("install() has been called before: there is no original to measure")
        ours = {original: replaced for _, _, original, replaced in changed}

        def switch(kind: str) -> None:
            is_ours = kind in (STEP, PLAIN_STEP)
            for scope, name, original, replaced in changed:
                scope[name] = replaced if is_ours else original

        try:
            yield switch, ours
        finally:
            switch(STEP)  # or leaving the block would not find what it has put there


def check(kind: str, out: Any) -> None:
    """Raises if that is not what `kind` says."""
    is_ours = isinstance(out, fastoutputs.ModelOutput)
    right = {
        ORIGINAL: hasattr(out, "to_tuple") and not is_ours,
        STEP: is_ours and dict.__len__(out) > 0,
        SLOTS: is_ours and dict.__len__(out) == 0,
    }
    if not right.get(kind, type(out) is tuple):
        raise RuntimeError(f"{kind} gave a {type(out)}")


def same_tokens(tokens: dict[str, list[int]]) -> None:
    """Raises if one kind decodes other tokens than the first."""
    (_, expected), *others = tokens.items()
    for name, found in others:
        if found != expected:
            raise RuntimeError(f"{name} decodes other tokens")


# --- the loops -----------------------------------------------------------------------------------


class Work:
    """What one kind of result is asked to do, a call at a time."""

    kind: str
    period = 1
    """Calls until it begins anew."""
    tokens_per_call = 1

    def __call__(self) -> Any:
        raise NotImplementedError

    def tokens(self) -> list[int]:
        """A whole period, looked at: raises if it is not of the kind that it says."""
        raise NotImplementedError

    @property
    def is_plain(self) -> bool:
        return self.kind in (PLAIN, PLAIN_STEP)


class Steps(Work):
    """Greedy decoding in single steps, so that the kinds take turns token by token."""

    period = TOKENS

    def __init__(self, kind: str, forward: Callable[..., Any], cache: Any = None) -> None:
        self.kind, self.forward, self.static = kind, forward, cache
        self.asked = {"return_dict": False} if self.is_plain else {}
        self.start = torch.tensor([[1]])
        self.place = TOKENS

    def __call__(self) -> Any:
        if self.place == TOKENS:
            self.place, self.token, self.cache = 0, self.start, self.static
            if self.static is not None:
                self.static.reset()
        out = self.forward(self.token, self.cache, **self.asked)
        if self.asked:
            logits, self.cache = out[0], out[1]
        else:
            logits, self.cache = out.logits, out.past_key_values
        self.token = logits[:, -1].argmax(-1, keepdim=True)
        self.place += 1
        return out

    def tokens(self) -> list[int]:
        found = []
        for _ in range(TOKENS):
            check(self.kind, self())
            found.append(int(self.token))
        return found


class Generate(Work):
    """One call of transformers' own loop."""

    tokens_per_call = TOKENS

    def __init__(self, kind: str, model: Any) -> None:
        self.kind, self.model, self.start = kind, model, torch.tensor([[1]])

    def __call__(self) -> Any:
        return self.model.generate(
            self.start,
            attention_mask=torch.ones_like(self.start),
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
            do_sample=False,
            pad_token_id=0,
        )

    def tokens(self) -> list[int]:
        check(self.kind, self.model(self.start, **second_input(self.model, self.start)))
        return self()[0, -TOKENS:].tolist()


class Pipeline(Work):
    """Batches through an encoder, and all of its hidden states read."""

    period = BATCHES

    def __init__(self, kind: str, model: Any, batches: list[torch.Tensor]) -> None:
        self.kind, self.model, self.batches, self.place = kind, model, batches, -1
        self.best: list[int] = []

    def __call__(self) -> Any:
        self.place = (self.place + 1) % BATCHES
        ids = self.batches[self.place]
        if self.is_plain:
            out = self.model(ids, output_hidden_states=True, return_dict=False)
            first, states, every = out[0], out[2], out
        else:
            out = self.model(ids, output_hidden_states=True)
            first, states, every = out[0], out.hidden_states, out.to_tuple()
        mixed = first + states[-1] + sum(state.mean() for state in states)
        self.best = [len(every), *mixed.argmax(-1).flatten().tolist()]
        return out

    def tokens(self) -> list[int]:
        found: list[int] = []
        for _ in self.batches:
            check(self.kind, self())
            found += self.best
        return found


def second_input(model: Any, start: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"decoder_input_ids": start} if model.config.is_encoder_decoder else {}


def gpt2() -> Any:
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=2 * TOKENS,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=1,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config)


def llama() -> Any:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=2 * TOKENS,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config)


def t5() -> Any:
    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=WIDTH,
        d_kv=WIDTH // HEADS,
        d_ff=2 * WIDTH,
        num_layers=LAYERS,
        num_heads=HEADS,
        decoder_start_token_id=1,
        eos_token_id=0,
    )
    return T5ForConditionalGeneration(config)


def bert() -> Any:
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=2 * WIDTH,
    )
    return BertModel(config)


MODELS = {"GPT-2": gpt2, "Llama": llama, "T5": t5}


def seeded(make: Callable[[], Any]) -> Any:
    torch.manual_seed(0)
    return make().eval()


def own_loop(kind: str, model: Any) -> Steps:
    def forward(token: torch.Tensor, cache: Any, **asked: Any) -> Any:
        return model(token, past_key_values=cache, use_cache=True, **asked)

    if not model.config.is_encoder_decoder:
        return Steps(kind, forward)
    encoded = model.get_encoder()(torch.tensor([[1]]))

    def decode(token: torch.Tensor, cache: Any, **asked: Any) -> Any:
        return model(
            encoder_outputs=encoded,
            decoder_input_ids=token,
            past_key_values=cache,
            use_cache=True,
            **asked,
        )

    return Steps(kind, decode)


def compiled_loop(kind: str, model: Any, backend: str = "inductor") -> Steps:
    # Code of its own for every kind: torch keeps what it has compiled beside the code, and looks
    # through all of it at every call.
    scope = {"model": model}
    source = """
def forward(token, cache, **asked):
    return model(token, past_key_values=cache, use_cache=True, **asked)
"""
    exec(compile(source, f"<{kind}>", "exec"), scope)
    cache = StaticCache(config=model.config, max_cache_len=TOKENS)
    return Steps(kind, torch.compile(scope["forward"], backend=backend, fullgraph=True), cache)


# --- timing --------------------------------------------------------------------------------------


def timed(work: Work, switch: Switch) -> Loop:
    def loop(loops: int) -> int:
        switch(work.kind)
        start = perf_counter_ns()
        for _ in range(loops):
            work()
        return perf_counter_ns() - start

    return loop


def by_turns(works: list[Work], rounds: int, switch: Switch, shuffle: random.Random) -> Rows:
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


# --- figures -------------------------------------------------------------------------------------


def best(values: list[float], period: int) -> float:
    """Each place of a period has a best time of its own."""
    return statistics.fmean(min(values[place::period]) for place in range(period))


def beyond(values: list[float], base: list[float]) -> dict[str, float]:
    """What one takes more than the other in the same round, as a share of the other: the median,
    and between which bounds it lies with 95 %."""
    differences = sorted(own - other for own, other in zip(values, base, strict=True))
    last, reach = len(differences) - 1, 0.98 * len(differences) ** 0.5
    middle = last / 2
    places = {"share": middle, "low": middle - reach, "high": middle + reach}
    usual = statistics.median(base)
    return {
        name: differences[min(max(round(place), 0), last)] / usual for name, place in places.items()
    }


def figures(rows: Rows, base: str, period: int = 1, unit: str = "token") -> dict[str, Any]:
    kinds = {
        kind: {
            "best": best(values, period),
            "median": statistics.median(values),
            "beyond": None if kind == base else beyond(values, rows[base]),
        }
        for kind, values in rows.items()
    }
    return {"unit": unit, "base": base, "kinds": kinds}


# --- what is done with outputs, and what that costs alone ----------------------------------------


class Operation(NamedTuple):
    what: str
    cls: type
    """Of the original."""
    given: tuple[str, ...]
    """Its fields that are there."""

    def statement(self) -> str:
        reads = "; ".join(f"out.{name}" for name in self.given)
        return {
            "make": f"out = make({', '.join(f'{name}=value' for name in self.given)}); {reads}",
            "index": "out[0]",
            "key": f"out[{self.given[-1]!r}]",
            "set": f"out[{self.given[-1]!r}] = value",
            "to_tuple": "out.to_tuple()",
        }[self.what]


Counts = dict[Operation, float]
WATCHED = {
    "__post_init__": "make",
    "__getitem__": "index",
    "__setitem__": "set",
    "to_tuple": "to_tuple",
}


def counted(work: Work, original: type) -> Counts:
    """What is done with the original's outputs for one token, other than by themselves. Reading an
    attribute leaves no trace: `make` reads each field once."""
    found: Counter[Operation] = Counter()
    methods = {name: vars(original)[name] for name in WATCHED}
    inside = False

    def watch(name: str) -> Callable[..., Any]:
        def watched(out: Any, *args: Any) -> Any:
            nonlocal inside
            if inside:
                return methods[name](out, *args)
            inside = True
            try:
                return methods[name](out, *args)
            finally:
                inside = False
                what = "key" if name == "__getitem__" and args[0] in out.keys() else WATCHED[name]
                found[Operation(what, type(out), tuple(out.keys()))] += 1

        return watched

    try:
        for name in WATCHED:
            setattr(original, name, watch(name))
        for _ in range(work.period):
            work()
    finally:
        for name, method in methods.items():
            setattr(original, name, method)
    return {operation: n / (work.period * work.tokens_per_call) for operation, n in found.items()}


def costs(
    operations: Iterable[Operation], rounds: int, ours: dict[type, type], shuffle: random.Random
) -> dict[Operation, dict[str, float]]:
    """What an operation costs alone, with each kind of output."""
    value = torch.zeros(1)
    operations = list(operations)
    found: dict[Operation, dict[str, float]] = {operation: {} for operation in operations}
    for kinds in (OUTPUTS, (SLOTS,)):
        fastoutputs.install(mirror_dict=SLOTS not in kinds)
        asked = {}
        for operation, kind in itertools.product(operations, kinds):
            make = operation.cls if kind == ORIGINAL else ours[operation.cls]
            out = make(**dict.fromkeys(operation.given, value))
            check(kind, out)
            names = {"make": make, "value": value, "out": out}
            loop = statement_loop(operation.statement(), names)
            asked[f"{operation}, {kind}"] = operation, kind, loop
        entries = [Entry(name, loop) for name, (_, _, loop) in asked.items()]
        for name, cost in compiled.best(compiled.by_turns(entries, rounds, 0.5e6, shuffle)).items():
            operation, kind, _ = asked[name]
            found[operation][kind] = cost
    fastoutputs.install()
    return found


def computed(
    found: dict[str, Any],
    outputs: Counts,
    plain: Counts,
    each: dict[Operation, dict[str, float]],
) -> dict[str, Any]:
    """How many outputs a token makes, and what is spent in them. Slots only has no time of its own:
    its share is of the time that ours take in step."""

    def spent(counts: Counts, cost_of: str) -> float:
        return sum(n * each[operation][cost_of] for operation, n in counts.items())

    nanoseconds = {kind: spent(outputs, kind) for kind in (*OUTPUTS, SLOTS)}
    nanoseconds |= {PLAIN: spent(plain, ORIGINAL), PLAIN_STEP: spent(plain, STEP)}
    took = {kind: figure["best"] for kind, figure in found["kinds"].items()}
    return {
        "outputs": sum(n for operation, n in outputs.items() if operation.what == "make"),
        "kinds": {
            kind: {"spent": ns, "share": ns / took.get(kind, took[STEP])}
            for kind, ns in nanoseconds.items()
            if kind in (*took, SLOTS)
        },
    }


# --- all of it -----------------------------------------------------------------------------------


def bare_loop(rounds: int, shuffle: random.Random) -> Rows:
    follow = [(7 * token + 3) % VOCABULARY for token in range(VOCABULARY)]
    made = "make(logits=follow[token], past_key_values=cache)"
    entries: list[Entry] = []
    tokens: dict[str, list[int]] = {}
    for kind, make in compiled.kinds().items():
        statement = (
            "out = (follow[token], cache); token = out[0]; cache = out[1]"
            if kind == TUPLE
            else f"out = {made}; token = out.logits; cache = out.past_key_values"
        )
        names: dict[str, Any] = {"make": make, "follow": follow, "token": 1, "cache": object()}
        entries.append(Entry(kind, statement_loop(statement, names)))
        tokens[kind] = []
        for _ in range(TOKENS):
            exec(statement, names)
            tokens[kind].append(names["token"])
    same_tokens(tokens)
    return compiled.by_turns(entries, rounds, 2e6, shuffle)


def steps(quick: bool) -> int:
    return len(STAGES) - quick  # one is left out


def measure(
    rounds: int | None = None,
    quick: bool = False,
    advance: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """All loops. `rounds` are whole decodings; `advance` is told each of STAGES as it begins."""
    rounds = rounds or (10 if quick else 100)
    advance = advance or (lambda stage: None)
    shuffle, threads = random.Random(0), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure(rounds, quick, advance, shuffle)
    finally:
        torch.set_num_threads(threads)


def _measure(
    rounds: int, quick: bool, advance: Callable[[str], None], shuffle: random.Random
) -> dict[str, Any]:
    loops: dict[str, Any] = {}
    counts: dict[str, tuple[Counts, Counts]] = {}
    target: Rows = {}

    with torch.inference_mode(), switching() as (switch, ours):
        switch(ORIGINAL)
        original = generic.ModelOutput

        def run(
            stage: str, make: Callable[[str], Work], kinds: tuple[str, ...], periods: int
        ) -> None:
            advance(stage)
            works = {}
            for kind in kinds:
                switch(kind)
                works[kind] = make(kind)
            first = works[kinds[0]]
            rows = by_turns(list(works.values()), periods, switch, shuffle)
            unit = "batch" if isinstance(first, Pipeline) else "token"
            base = PLAIN if PLAIN in works else ORIGINAL
            loops[stage] = figures(rows, base, first.period, unit)
            if stage == TARGET_LOOP:
                target.update(rows)
            if stage == COMPILED:  # its outputs are not made by calls
                return
            found = []
            for kind, work in works.items():
                switch(kind)
                seen = counted(work, original)
                if kind in (ORIGINAL, PLAIN):
                    found.append(seen)
                elif seen:
                    raise RuntimeError(f"{kind}: {stage} makes outputs of the original, too")
            counts[stage] = found[0], found[-1]

        for name, build in MODELS.items():
            model = seeded(build)
            own = f"own loop, {name}"
            # The decodings of the target are the more, as a difference of 1 % is to be seen.
            decodings = 4 * rounds if own == TARGET_LOOP else rounds
            run(own, partial(own_loop, model=model), KINDS, decodings)
            run(f"generate, {name}", partial(Generate, model=model), OUTPUTS, rounds)
        model = seeded(bert)
        batches = list(torch.randint(VOCABULARY, (BATCHES, BATCH, LENGTH)))
        pipeline = partial(Pipeline, model=model, batches=batches)
        run("batch pipeline, BERT", pipeline, KINDS, 4 * rounds)
        if not quick:  # it is compiled for each kind: most of the time of it all
            make = partial(compiled_loop, model=seeded(llama))
            run(COMPILED, make, (*OUTPUTS, PLAIN), rounds)
        operations = {operation for pair in counts.values() for part in pair for operation in part}
        each = costs(sorted(operations, key=str), min(rounds, 40), ours, shuffle)
    for stage, (outputs, plain) in counts.items():
        loops[stage]["computed"] = computed(loops[stage], outputs, plain, each)

    advance("bare loop")
    loops["bare loop"] = figures(bare_loop(rounds, shuffle), TUPLE)
    advance("decoder compiled")
    loops["decoder compiled"] = figures(
        compiled.tokens(rounds, torch.device("cpu"), shuffle), TUPLE
    )
    found = loops["decoder compiled"]
    calls = compiled.calls(min(rounds, 40), shuffle)
    found["computed"] = {"outputs": 1, "kinds": {}}
    for kind, figure in found["kinds"].items():
        if kind != TUPLE:  # a compiled function makes an output in a way of its own
            spent = statistics.median(map(operator.sub, calls[kind], calls[TUPLE]))
            found["computed"]["kinds"][kind] = {"spent": spent, "share": spent / figure["best"]}
    return {
        "tokens": TOKENS,
        "rounds": rounds,
        "loops": {stage: loops[stage] for stage in STAGES if stage in loops},
        "operations": [
            {"what": o.what, "class": o.cls.__name__, "fields": list(o.given), "ns": each[o]}
            for o in each
        ],
        "target": judged(target),
        "large": large(loops["generate, Llama"]),
    }


def judged(rows: Rows) -> dict[str, Any]:
    """Ours against `return_dict=False`, with the original's classes and with ours."""
    against = {}
    for base in (PLAIN, PLAIN_STEP):
        of_the_best = best(rows[STEP], TOKENS) / best(rows[base], TOKENS) - 1
        against[base] = {**beyond(rows[STEP], rows[base]), "of_the_best": of_the_best}
    met = all(figure["share"] <= LIMIT for figure in against.values())
    return {"loop": TARGET_LOOP, "limit": LIMIT, "against": against, "met": met}


def large(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A large model makes as many outputs for a token as a small one."""
    return [
        {"stated_ms": ms, "kind": kind, "share": spent["spent"] / (ms * 1e6)}
        for ms in STATED_MS
        for kind, spent in found["computed"]["kinds"].items()
    ]


# --- what was found ------------------------------------------------------------------------------


def percent(share: float, sign: str = "") -> str:
    """Two figures of a share; where it is more than all, how many times as much."""
    return f"{sign}{times(share)}" if share >= 1 else f"{100 * share:{sign}.2g} %"


def difference(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    bounds = " to ".join(percent(found[name], "+") for name in ("low", "high"))
    return f"{percent(found['share'], '+')} ({bounds})"


def tables(results: dict[str, Any]) -> dict[str, tuple[list[str], list[list[str]]]]:
    """title -> heading and rows, for any form."""
    loops = results["loops"].items()
    columns = (ORIGINAL, STEP, SLOTS, PLAIN, PLAIN_STEP)

    def cells(kinds: dict[str, Any], show: Callable[[Any], str]) -> list[str]:
        kinds = {PLAIN: kinds.get(TUPLE), **kinds}
        return [show(kinds[kind]) if kinds.get(kind) else "" for kind in columns]

    took = [
        [f"{stage}, a {found['unit']}", *cells(found["kinds"], lambda kind: readable(kind["best"]))]
        for stage, found in loops
    ]
    differ = [
        [
            stage,
            found["base"],
            *(difference(found["kinds"].get(k, {}).get("beyond")) for k in (*OUTPUTS, SLOTS)),
        ]
        for stage, found in loops
    ]
    shares = [
        [
            stage,
            f"{found['computed']['outputs']:.3g}",
            *cells(
                found["computed"]["kinds"],
                lambda kind: f"{readable(kind['spent'])}, {percent(kind['share'])}",
            ),
        ]
        for stage, found in loops
        if "computed" in found
    ]
    target = results["target"]
    held = [
        [base, difference(found), percent(found["of_the_best"], "+")]
        for base, found in target["against"].items()
    ]
    stated: dict[int, list[str]] = {}
    for row in results["large"]:
        stated.setdefault(row["stated_ms"], []).append(percent(row["share"]))
    kinds = list(dict.fromkeys(row["kind"] for row in results["large"]))
    verdict = "met" if target["met"] else "missed"
    return {
        "Best time": (["", *columns], took),
        "Measured: beyond the base, median of the differences within a round": (
            ["", "base", *OUTPUTS, SLOTS],
            differ,
        ),
        "Computed: spent in outputs, and its share of the best time": (
            ["", "outputs", *columns],
            shares,
        ),
        f"Target: ours in step, {target['loop']}, beyond at most {percent(target['limit'])}: "
        f"{verdict}": (["against", "median of the differences", "of the best times"], held),
        "Computed: the share of what `generate` spends in outputs, if a token takes as long as stated": (
            ["stated, not measured", *kinds],
            [[f"{ms} ms", *row] for ms, row in stated.items()],
        ),
    }


def markdown(results: dict[str, Any]) -> str:
    parts = [
        "## Loops",
        "Original, ours and `return_dict=False` by turns in one process, token for token the same. "
        f"Models have {LAYERS} layers of width {WIDTH} and random weights, on one thread; a decoding "
        f"has {results['tokens']} tokens. Against a large model, outputs of any kind do not matter: "
        "the last table.",
        "`generate` always asks for outputs, so the own loop is what `return_dict=False` can be "
        "compared in. There, transformers 5 still makes every output, and a tuple of the last. In "
        "the bare loop and the compiled decoder a plain tuple stands in its place. "
        "Slots only cannot be switched on and off in turns without a cost that is not its own: where "
        "it has no time, its computed share is of the time in step.",
        "A computed share is the least that it can be: alone, all that an operation needs is in the "
        "caches. The measured differences are larger.",
    ]
    for title, (heading, rows) in tables(results).items():
        parts += [f"### {title}", markdown_table(heading, rows)]
    return "\n\n".join(parts) + "\n"
