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

from .stages import measure, steps
from .tables import markdown

__all__ = ["markdown", "measure", "steps"]
