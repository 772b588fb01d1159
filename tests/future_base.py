"""A program that uses a library whose base of outputs was changed as a later release might change it.

    python tests/future_base.py FOLDER transformers|diffusers [CHANGE ...]

For each change, and for install() called before the import, after it, and not at all, a child process writes what
outputs do, a line each, to FOLDER/CHANGE.MODE.out, and its warnings to FOLDER/CHANGE.MODE.err. The source of the
module that defines the base is changed on its way in, by a copy in FOLDER.
"""

from __future__ import annotations

import copy  # noqa: F401  # this and pickle are for READS
import importlib.util
import os
import pickle  # noqa: F401
import re
import subprocess
import sys
import traceback
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, NamedTuple


class Library(NamedTuple):
    home: str
    base: str
    classes: tuple[tuple[str, str], ...]
    """Each with its module; the first one is derived from."""


LIBRARIES = {
    "transformers": Library(
        "transformers.utils.generic",
        "ModelOutput",
        (
            ("transformers.modeling_outputs", "CausalLMOutput"),
            ("transformers.modeling_outputs", "BaseModelOutput"),
        ),
    ),
    "diffusers": Library(
        "diffusers.utils.outputs",
        "BaseOutput",
        (
            ("diffusers.schedulers.scheduling_ddim", "DDIMSchedulerOutput"),
            ("diffusers.models.unets.unet_2d", "UNet2DOutput"),
        ),
    ),
}
CLASS = r"class (ModelOutput|BaseOutput)\(OrderedDict(?:, metaclass=(\w+))?\):"
BODY = "    def __init_subclass__(cls) -> None:\n"
END = re.compile(r"\n\n(?=\n\S)|\Z")  # before what follows the class, or that of the file


def add(text: str) -> Any:
    """To the end of the body of the class."""

    def change(source: str) -> str:
        match = END.search(source, found(source).end())
        assert match
        at = match.start()
        return source[:at] + "\n\n" + text.rstrip() + source[at:]

    return change


def replace(old: str, new: str) -> Any:
    def change(source: str) -> str:
        at = found(source).start()
        assert old in source[at:], f"{old!r} is not in the base"
        return source[:at] + source[at:].replace(old, new, 1)

    return change


def found(source: str) -> re.Match[str]:
    match = re.search(CLASS, source)
    assert match
    return match


def header(bases: str, before: str = "") -> Any:
    """Other bases, and what stands before the class; a metaclass is kept."""

    def change(source: str) -> str:
        base, metaclass = found(source).groups()
        keyword = f", metaclass={metaclass}" if metaclass else ""
        return re.sub(CLASS, f"{before}class {base}({bases}{keyword}):", source)

    return change


def extend_init_subclass(source: str) -> str:
    """It takes an option, and calls super()."""
    at = source.index(BODY)
    end = source.index("\n    def ", at + 1)
    body = source[at:end].replace("(cls) -> None:", "(cls, note='none') -> None:").rstrip()
    return (
        source[:at]
        + body
        + ("\n        super().__init_subclass__()\n        cls.note = note\n" + source[end:])
    )


META = """class CountingMeta({metaclass}):
    made = 0

    def __call__(cls, *args, **kwargs):
        CountingMeta.made += 1
        return super().__call__(*args, **kwargs)


"""


def counting_metaclass(source: str) -> str:
    base, metaclass = found(source).groups()
    before = META.format(metaclass=metaclass or "type")
    return re.sub(CLASS, f"{before}class {base}(OrderedDict, metaclass=CountingMeta):", source)


SETATTR = "            super().__setitem__(name, value)\n        super().__setattr__(name, value)\n"

CHANGES = {
    "nothing": lambda source: source,
    "property": add("    @property\n    def first(self):\n        return self[0]\n\n"),
    "method with super": add(
        "    def shouted(self):\n        return [key.upper() for key in super().keys()]\n\n"
    ),
    "class constant": add("    schema_version = 7\n\n"),
    "getitem": replace(
        "        if isinstance(k, str):\n",
        "        if isinstance(k, str) and k.startswith('any:'):\n"
        "            return super().__getitem__(k[4:])\n"
        "        if isinstance(k, str):\n",
    ),
    "setattr": replace(SETATTR, SETATTR + "        self.__dict__['last_set'] = name\n"),
    "setitem": replace(
        "        # Will raise a KeyException if needed\n",
        "        value = 2.5 if isinstance(value, float) and value == 2.75 else value\n",
    ),
    "contains": add(
        "    def __contains__(self, key):\n        return super().__contains__(str(key).lower())\n\n"
    ),
    "to_tuple": replace(
        "return tuple(self[k] for k in self.keys())",
        "return ('marked', *(self[k] for k in self.keys()))",
    ),
    "post_init": replace(
        "        # Safety and consistency checks\n",
        "        self.checked = len(class_fields)\n",
    ),
    "reduce": replace(
        "        return callable, args, *remaining\n",
        "        remaining[0] = {**(remaining[0] or {}), 'pickled': True}\n"
        "        return callable, args, *remaining\n",
    ),
    "update works": replace(
        '        raise Exception(f"You cannot use ``update`` on a {self.__class__.__name__} instance.")\n',
        "        return super().update(*args, **kwargs)\n",
    ),
    "init_subclass": extend_init_subclass,
    "metaclass": counting_metaclass,
    "slots": add('    __slots__ = ("_note",)\n\n'),
    "mixin": header(
        "OrderedDict, Named",
        "class Named:\n    def name(self):\n        return type(self).__name__\n\n\n",
    ),
    "all that can be carried": lambda source: all_of(source),
    # What cannot be carried:
    "renamed": lambda source: source.replace(found(source)[1], "RenamedOutput"),
    "no OrderedDict": header("types.SimpleNamespace", "import types\n\n\n"),
    "own fields": header("OrderedDict", "import dataclasses\n\n\n@dataclasses.dataclass\n"),
    "pop works": replace(
        '        raise Exception(f"You cannot use ``pop`` on a {self.__class__.__name__} instance.")\n',
        "        return super().pop(*args, **kwargs)\n",
    ),
    "pop is gone": replace("    def pop(self", "    def _pop(self"),
}


IMPOSSIBLE = ("renamed", "no OrderedDict", "own fields", "pop works", "pop is gone")


def all_of(source: str) -> str:
    for name, change in CHANGES.items():
        if name not in (*IMPOSSIBLE, "all that can be carried", "metaclass", "slots"):
            source = change(source)
    return source


class Changed:
    """Loads the module that defines the base from the changed copy."""

    def __init__(self, library: Library, change: str, folder: Path) -> None:
        self.library, self.change, self.folder = library, CHANGES[change], folder

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != self.library.home:
            return None
        file = f"{name.rpartition('.')[2]}.py"
        source = (Path(path[0]) / file).read_text(encoding="utf-8")
        copied = self.folder / file
        copied.write_text(self.change(source), encoding="utf-8")
        return importlib.util.spec_from_file_location(name, copied)


def show(title: str, read: Any) -> None:
    """Its result, or how it ends."""
    try:
        result = read()
    except Exception as error:
        # Where the original refuses a change by a bare Exception, ours says what to do instead.
        refused = type(error) is Exception or type(error).__name__ == "OutputMutationError"
        result = "refused" if refused else f"{type(error).__name__}: {error}"
    print(f"{title}: {result}")


def use(library: Library, with_model: bool) -> None:
    """What outputs do."""
    from dataclasses import dataclass

    from torch.utils import _pytree as pytree

    base = getattr(importlib.import_module(library.home), library.base)
    first, second = (
        getattr(importlib.import_module(module), name) for module, name in library.classes
    )

    @dataclass
    class Mine(first):  # type: ignore[misc, valid-type]
        score: Any = None

        def __getitem__(self, key: Any) -> Any:
            return super().__getitem__(key)

    @dataclass
    class Direct(base):  # type: ignore[misc, valid-type]
        a: Any = None
        b: Any = None

    for cls in (first, Mine, second, Direct):
        names = list(cls.__dataclass_fields__)
        values = {name: 0.25 + i for i, name in enumerate(names) if i != 1}
        changes: dict[str, Any] = {
            "nothing": lambda out: None,
            "attribute": lambda out: setattr(out, names[0], 1.75),
            "key": lambda out: out.__setitem__(names[0], 2.75),
            "extra key": lambda out: out.__setitem__("extra", 3.75),
            "plain attribute": lambda out: setattr(out, "plain", 5),
            "slot": lambda out: setattr(out, "_note", 6),
            "pop": lambda out: out.pop(names[0]),
            "update": lambda out: out.update(extra=1),
            "setdefault": lambda out: out.setdefault(names[0], 1),
            "del": lambda out: out.__delitem__(names[0]),
        }
        for title, change in changes.items():
            print(f"--- {cls.__name__}, {title}")
            out = cls(**values)
            show("change", lambda change=change, out=out: change(out))
            for read in READS:
                show(
                    read, lambda read=read, out=out: eval(read, {**globals(), "o": out, "n": names})
                )
            leaves, spec = pytree.tree_flatten(out)
            print("leaves", leaves, spec)
            if "extra" not in list(out):  # which the original's constructor refuses
                show("tree", lambda a=leaves, s=spec: list(pytree.tree_unflatten(a, s).items()))
        show("by position", lambda cls=cls: list(cls(1.25, 2.25).items()))
        show("pairs", lambda cls=cls, n=names: list(cls([(n[0], 1.25), (n[1], 2.25)]).items()))
        show("mapping", lambda cls=cls, n=names: list(cls({n[0]: 1.25}).items()))
        show("base", lambda: [list(base(a=1).items()), base({"b": 2})["b"]])
        show("unpaired", lambda cls=cls, n=names: cls([(n[0], 1.25), 2]))
        try:
            print("subclassed with an option:", type("Sub", (cls,), {}, note="given").note)
        except Exception as error:  # which class the text names is not the point
            print("subclassed with an option:", type(error))
    if with_model:
        show("model", run_model)
    meta = getattr(sys.modules[library.home], "CountingMeta", None)
    print("made through the metaclass:", meta and meta.made > 0)


def run_model() -> Any:
    import torch
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=9, num_hidden_layers=1, **sizes)).eval()
    with torch.no_grad():
        out = model(torch.tensor([[1, 2]]), output_hidden_states=True)
    tensors = [item for item in out.to_tuple() if isinstance(item, torch.Tensor)]
    return list(out), [tensor.sum().item() for tensor in tensors]


READS = [
    "list(o.items())",
    "list(o.keys()), list(o.values()), len(o), list(o), list(reversed(o))",
    "o[n[0]]",
    "o['any:' + n[0]]",
    "o['missing']",
    "o[0]",
    "o[-1]",
    "o[:2]",
    "o[9]",
    "n[0] in o, n[0].upper() in o, 'extra' in o, 3 in o",
    "o.get(n[0]), o.get('missing'), o.get('extra', 8)",
    "o.to_tuple()",
    "repr(o)",
    "o == o, o == dict(o)",
    "dict(o), {**o}",
    "[getattr(o, name) for name in n]",
    "getattr(o, 'plain', None), getattr(o, '_note', None), getattr(o, 'last_set', None)",
    "getattr(o, 'checked', None), getattr(o, 'pickled', None), getattr(o, 'schema_version', None)",
    "o.first",
    "o.shouted()",
    "o.name()",
    "type(o).note",
    "list(copy.copy(o).items())",
    "list(copy.deepcopy(o).items())",
    "list(pickle.loads(pickle.dumps(o)).items())",
    "pickle.loads(pickle.dumps(o)) == o",
    "pickle.loads(pickle.dumps(o)).pickled",
]


MODES = ("original", "before", "after")
WITH_MODEL = ("nothing", "post_init", "init_subclass", "metaclass", "all that can be carried")


def one(name: str, change: str, mode: str, folder: Path) -> None:
    """Written to standard output, by a process that does nothing else."""
    library = LIBRARIES[name]
    sys.meta_path.insert(0, Changed(library, change, folder))
    warnings.simplefilter("ignore" if mode == "original" else "default")
    if mode == "before":
        print(fastoutputs.install(name), file=sys.stderr)
    importlib.import_module(library.classes[0][0])
    if mode == "after":
        print(fastoutputs.install(name), file=sys.stderr)
    use(library, with_model=name == "transformers" and change in WITH_MODEL)


def main(folder: Path, name: str, changes: list[str]) -> None:
    importlib.import_module("torch")  # once, and not in every child
    for change in changes or CHANGES:
        for mode in MODES:
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                continue
            place = folder / f"{change}.{mode}"
            place.mkdir()
            for stream, kind in ((1, "out"), (2, "err")):
                os.dup2(os.open(f"{place}.{kind}", os.O_WRONLY | os.O_CREAT), stream)
            try:
                one(name, change, mode, place)
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            os._exit(0)


def written(folder: Path, name: str) -> Path:
    """All of it, by a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, str(folder), name], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return folder


def read(folder: Path, change: str, mode: str) -> tuple[list[str], str]:
    """What outputs did, and the warnings."""
    out, err = (folder / f"{change}.{mode}.{stream}" for stream in ("out", "err"))
    return out.read_text().splitlines(), err.read_text()


if __name__ == "__main__":
    import fastoutputs

    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
