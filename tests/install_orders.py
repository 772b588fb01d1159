"""A program that installs and imports in every order, and prints what came of each as a JSON line."""

from __future__ import annotations

import itertools
import json
import os
import sys
import types
from typing import Any

import torch
from torch.utils import _pytree as pytree

import fastoutputs

OWN = """
from dataclasses import dataclass
from fastoutputs.modeling_outputs import CausalLMOutput

@dataclass
class Mine(CausalLMOutput):
    score: float = None
"""

STEPS = ("install", "own", "theirs", "model")


def step(name: str) -> None:
    if name == "install":
        fastoutputs.install()
    elif name == "own":  # a module of the user's, with one of our names and a class derived from it
        own = sys.modules["own"] = types.ModuleType("own")
        exec(OWN, vars(own))
    elif name == "theirs":
        __import__("transformers.modeling_outputs")
    elif name == "model":
        __import__("transformers.models.bert.modeling_bert")


def picture() -> dict[str, Any]:
    import own  # type: ignore[import-not-found]
    from transformers import BertConfig, BertModel
    from transformers import modeling_outputs as theirs
    from transformers.models.bert import modeling_bert

    from fastoutputs import modeling_outputs as ours
    from fastoutputs.models import bert

    sizes = {"hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}
    model = BertModel(BertConfig(vocab_size=9, num_hidden_layers=1, **sizes))
    classes = [c for c in vars(theirs).values() if hasattr(c, "__dataclass_fields__")]
    made = own.Mine(1, score=2)
    found = {
        "out": str(type(model(torch.tensor([[1]]))).__mro__),
        "same": [name for name in ours.__all__ if getattr(ours, name) is getattr(theirs, name, 0)],
        "bert": modeling_bert.BertForPreTrainingOutput is bert.BertForPreTrainingOutput,
        "compiled": all(issubclass(cls, fastoutputs.ModelOutput) for cls in classes),
        "own name": own.CausalLMOutput is theirs.CausalLMOutput,
        "own class": [isinstance(made, theirs.CausalLMOutput), str(own.Mine.__mro__)],
        "own values": [made.to_tuple(), repr(made)],
        "node": type(pytree.tree_map(lambda x: x, made)) is own.Mine,
    }
    fastoutputs.uninstall()
    found["after"] = [
        str(type(model(torch.tensor([[1]]))).__mro__),
        str(theirs.CausalLMOutput.__mro__),
        ours.CausalLMOutput.__module__,
    ]
    return found


def main() -> None:
    for order in itertools.permutations(STEPS):
        if os.fork() == 0:
            for name in order:
                step(name)
            print(json.dumps(["-".join(order), picture()]), flush=True)
            os._exit(0)
        if os.wait()[1]:
            sys.exit(f"{order} failed")


if __name__ == "__main__":
    main()
