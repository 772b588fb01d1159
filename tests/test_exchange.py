"""What one process writes, another reads: with the original alone, and with install(), early or late.

Each world is a process of its own that writes every kind of file, and then one that reads all files of all worlds.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from containers import KINDS, ORIGINAL_MAJOR

pytest.importorskip("torch")
pytestmark = [
    pytest.mark.needs_torch,
    pytest.mark.skipif("original" not in KINDS, reason="transformers is not installed here"),
]

WORLDS = {
    "original": "sys.modules['fastoutputs'] = None",
    "early": "import fastoutputs; fastoutputs.install()",
    "late": "import fastoutputs, outputs_of_a_user; fastoutputs.install()",
}

OUTPUTS_OF_A_USER = """
import dataclasses
from typing import Any
from transformers.utils import ModelOutput

@dataclasses.dataclass
class Plain(ModelOutput):
    loss: Any = None
    logits: Any = None

@dataclasses.dataclass
class Required(ModelOutput):
    loss: Any
    logits: Any = None

@dataclasses.dataclass(frozen=True)
class Frozen(ModelOutput):
    loss: Any = None
    logits: Any = None

@dataclasses.dataclass
class Checked(ModelOutput):
    loss: Any = None
    logits: Any = None

    def __post_init__(self):
        assert self.logits is not None
        super().__post_init__()
        self.checked = True

@dataclasses.dataclass
class Started(ModelOutput):
    loss: Any = None
    logits: Any = None

    def __init__(self, both):
        super().__init__()
        self.loss = self.logits = both

@dataclasses.dataclass
class Derived(ModelOutput):
    loss: Any = None
    logits: Any = dataclasses.field(default=None, kw_only=True)
    size: Any = dataclasses.field(default=None, init=False)

@dataclasses.dataclass
class Stateful(ModelOutput):
    loss: Any = None
    logits: Any = None

    def __getstate__(self):
        return {"kept": self.logits}

    def __setstate__(self, state):
        self.kept = state["kept"]
"""

SHARED = """
import collections, io, pathlib, pickle, sys, warnings
warnings.simplefilter("ignore")

WORLD

import outputs_of_a_user as users
import torch, transformers
from torch.utils import _pytree as trees
from transformers import modeling_outputs as theirs
from transformers.models.clip.modeling_clip import CLIPOutput
from transformers.models.gpt2.modeling_gpt2 import GPT2DoubleHeadsModelOutput
from transformers.utils import ModelOutput

WITH_OURS = sys.modules["fastoutputs"] is not None
assert issubclass(ModelOutput, collections.OrderedDict) is not WITH_OURS
# The original of 4 gives torch no flatten_with_keys_fn: a program that takes an output is neither made nor run.
EXPORTS = WITH_OURS or ORIGINAL_MAJOR > 4

def set_late(out, **values):
    for name, value in values.items():
        setattr(out, name, value)
    return out

def with_key(out, key, value):
    out[key] = value
    return out

def with_itself(out):
    out.attentions = [out]
    return out

MADE = {
    "usual": lambda: theirs.CausalLMOutput(logits=1, hidden_states=(2, 3)),
    "first alone": lambda: theirs.CausalLMOutput(1),
    "none": lambda: theirs.CausalLMOutput(),
    "long": lambda: theirs.Seq2SeqLMOutput(loss=1, logits=[2, {"a": 3}]),
    "own module": lambda: GPT2DoubleHeadsModelOutput(loss=1, mc_logits=2),
    "nested": lambda: CLIPOutput(text_model_output=theirs.BaseModelOutputWithPooling(1, 2)),
    "extra key": lambda: with_key(theirs.CausalLMOutput(logits=1), "size", (2, 3)),
    "attribute": lambda: set_late(theirs.CausalLMOutput(logits=1), note="n"),
    "key and attribute": lambda: set_late(with_key(theirs.CausalLMOutput(1), "size", 2), note="n"),
    "base": lambda: ModelOutput({"a": 1, "b": {"c": 2}}),
    "empty base": lambda: ModelOutput(),
    "plain": lambda: users.Plain(logits=1),
    "required": lambda: users.Required(1, logits=2),
    "checked": lambda: users.Checked(1, 2),
    "stateful": lambda: set_late(users.Stateful(1, 2), kept=2),
}
# The original's own pickles do not give these back.
ONLY_COMPILED = {
    "first is pairs": lambda: set_late(theirs.CausalLMOutput(), loss=[("logits", 1)]),
    "first is a dict": lambda: set_late(theirs.CausalLMOutput(), loss={"logits": 1}),
    "first is empty": lambda: set_late(theirs.CausalLMOutput(), loss=[]),
    "none by key": lambda: with_key(theirs.CausalLMOutput(logits=1), "size", None),
    "required alone": lambda: set_late(users.Required(1), loss=[]),
    "frozen": lambda: users.Frozen(1, 2),
    "started": lambda: users.Started(1),
    "derived": lambda: set_late(users.Derived(1, logits=2), size=3),
}

def outputs():
    return {**MADE, **(ONLY_COMPILED if WITH_OURS else {})}

def picture(value):
    if isinstance(value, collections.abc.Mapping) and type(value) is not dict:
        cls = type(value)
        assert isinstance(value, ModelOutput) and cls is getattr(sys.modules[cls.__module__], cls.__qualname__)
        names = {f for f in getattr(cls, "__dataclass_fields__", ())}
        return (
            cls.__module__, cls.__qualname__, picture(dict(value.items())),
            [(name, picture(getattr(value, name))) for name in sorted(names)],
            picture({name: at for name, at in sorted(vars(value).items()) if name not in names}),
        )
    if isinstance(value, dict):
        return {key: picture(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(picture, value))
    return value.tolist() if isinstance(value, torch.Tensor) else value

class Model(torch.nn.Module):
    def forward(self, given):
        return theirs.CausalLMOutput(logits=given["last_hidden_state"] + 1, attentions=(given.pooler_output,))

def given():
    return theirs.BaseModelOutputWithPooling(torch.ones(2), torch.zeros(2))

files, world = pathlib.Path(sys.argv[1]), sys.argv[2]
"""

WRITE = """
folder = files / world
folder.mkdir()
pictures = {}
for name, make in outputs().items():
    pictures[name] = picture(make())
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (folder / f"{name}.{protocol}.pickle").write_bytes(pickle.dumps(make(), protocol))
    torch.save(make(), folder / f"{name}.pt")
torch.save([given(), theirs.CausalLMOutput(logits=torch.ones(1))], folder / "tensors.pt")
(folder / "itself.pickle").write_bytes(pickle.dumps(with_itself(theirs.CausalLMOutput(1))))
(folder / "tree").write_text(trees.treespec_dumps(trees.tree_structure({"a": [given(), users.Plain(1), ModelOutput(b=2)]})))
if EXPORTS:
    torch.export.save(torch.export.export(Model(), (given(),), strict=False), folder / "program.pt2")
(folder / "structure").write_text(str(trees.treespec_dumps(trees.tree_structure(Model()(given())))))
print(pictures)
"""

READ = """
def read(folder):
    pictures = {}
    for file in sorted(folder.glob("*.pickle")):
        if file.name != "itself.pickle":
            pictures[file.name] = picture(pickle.loads(file.read_bytes()))
    for file in sorted(folder.glob("*.pt")):
        pictures[file.name] = picture(torch.load(file, weights_only=False))
    if folder.name != "original":  # torch.load refuses what the original writes
        with torch.serialization.safe_globals([theirs.BaseModelOutputWithPooling, theirs.CausalLMOutput]):
            safe = torch.load(folder / "tensors.pt", weights_only=True)
        assert picture(safe) == pictures["tensors.pt"]
    out = pickle.loads((folder / "itself.pickle").read_bytes())
    assert type(out) is theirs.CausalLMOutput and out.attentions[0] is out and list(out) == ["loss", "attentions"]

    names, structure = (folder / "tree").read_text(), (folder / "structure").read_text()
    assert names == trees.treespec_dumps(trees.tree_structure({"a": [given(), users.Plain(1), ModelOutput(b=2)]}))
    assert structure == trees.treespec_dumps(trees.tree_structure(Model()(given())))
    read = trees.tree_unflatten([1, 2, 3, 4], trees.treespec_loads(names))
    pictures["tree"] = picture(read)
    assert trees.tree_structure(read) == trees.treespec_loads(names)

    if (folder / "program.pt2").exists():
        program = torch.export.load(folder / "program.pt2")
        pictures["example"] = picture(program.example_inputs[0][0])
        if EXPORTS:
            pictures["program"] = picture(program.module()(given()))
    return pictures

print({world.name: read(world) for world in files.iterdir()})
"""


def run(world: str, code: str, files: Path) -> dict[str, Any]:
    """What the code prints last, in this world."""
    path = os.pathsep.join([str(files.parent), os.environ.get("PYTHONPATH", "")])
    shared = SHARED.replace("WORLD", WORLDS[world])
    shared = shared.replace("ORIGINAL_MAJOR", str(ORIGINAL_MAJOR))
    done = subprocess.run(
        [sys.executable, "-c", shared + code, str(files), world],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "TRANSFORMERS_VERBOSITY": "error"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = ast.literal_eval(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A folder with one of files for each world, and what each wrote there."""
    top = tmp_path_factory.mktemp("written")
    (top / "outputs_of_a_user.py").write_text(OUTPUTS_OF_A_USER)
    files = top / "files"
    files.mkdir()
    return files, {world: run(world, WRITE, files) for world in WORLDS}


@pytest.mark.parametrize("reader", WORLDS)
def test_one_writes_and_another_reads(
    written: tuple[Path, dict[str, dict[str, Any]]], reader: str
) -> None:
    files, made = written
    found = run(reader, READ, files)
    assert found.keys() == made.keys()
    for writer, read in found.items():
        # The original of transformers 4 writes no program that takes an output, and runs none.
        written_by_4 = ORIGINAL_MAJOR == 4 and writer == "original"
        read_by_4 = ORIGINAL_MAJOR == 4 and reader == "original"
        assert ("example" in read) == (not written_by_4)
        assert ("program" in read) == (not written_by_4 and not read_by_4)
        others = [name for name in read if name not in ("example", "program")]
        assert len(others) == 7 * len(made[writer]) + 2
        for file, picture in read.items():
            name = file.split(".")[0]
            if name in made[writer]:
                assert picture == made[writer][name], (writer, file)
        [example, logits] = read["tensors.pt"]
        assert example[:3] == (
            "transformers.modeling_outputs",
            "BaseModelOutputWithPooling",
            {"last_hidden_state": [1, 1], "pooler_output": [0, 0]},
        )
        assert example[:3] == read.get("example", example)[:3]
        assert logits[1:3] == ("CausalLMOutput", {"logits": [1]})
        result = (
            "transformers.modeling_outputs",
            "CausalLMOutput",
            {"logits": [2, 2], "attentions": ([0, 0],)},
        )
        assert read.get("program", result)[:3] == result
        assert [out[1] for out in read["tree"]["a"]] == [
            "BaseModelOutputWithPooling",
            "Plain",
            "ModelOutput",
        ]
