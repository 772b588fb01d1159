"""A picture of every output class of transformers, as JSON lines: run it as a program.

    python tests/every_output_class.py [STEP ...]

A step is `import` (every module that defines one), `install` or `uninstall`; they are taken in the
order given. Modules that cannot be imported are listed, too, so that a comparison of two pictures
shows it if one saw less than the other.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pickle
import re
import sys
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

# The one difference that is meant: where a class is ours, this is the module it says.
TWINS = {
    "fastoutputs.modeling_outputs": "transformers.modeling_outputs",
    "fastoutputs.models.bert": "transformers.models.bert.modeling_bert",
}


class StandIn(ModuleType):
    """In place of a library that some modules name as they are imported, and that is not here."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name)


class StandInFinder:
    libraries = ("torchvision", "torchaudio")

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.partition(".")[0] in self.libraries else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def modules() -> list[str]:
    """Every module of transformers whose text derives a class from one with Output in its name."""
    root = Path(importlib.import_module("transformers").__path__[0])
    found = []
    for file in sorted(root.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if re.search(r"^class \w+\([^)]*Output", text, re.M):
            found.append(".".join(("transformers", *file.relative_to(root).with_suffix("").parts)))
    return [name.removesuffix(".__init__") for name in found]


def name_of(cls: type) -> str:
    return f"{TWINS.get(cls.__module__, cls.__module__)}.{cls.__qualname__}"


def views(out: Any) -> dict[str, Any]:
    back = pickle.loads(pickle.dumps(out))
    return {
        "items": list(out.items()),
        "tuple": list(out.to_tuple()),
        "attributes": [getattr(out, field.name) for field in dataclasses.fields(out)],
        "repr": repr(out),
        "by index": [out[i] for i in range(len(out))] + [out[-1]] if out else [],
        "slice": list(out[:2]),
        "equal": out == back and not out != back,
        "pickled": [name_of(type(back)), list(back.items())],
        "vars": vars(out),
    }


def picture(cls: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "bases": [
            name_of(base) for base in cls.__mro__ if base.__module__.startswith(("tr", "fast"))
        ],
        "is dataclass": "__dataclass_fields__" in vars(cls),
        "documented": bool(cls.__doc__),
    }
    shown["bases"] = [base for base in shown["bases"] if not base.endswith(".ModelOutput")]
    if not shown["is dataclass"]:
        try:
            cls()
        except TypeError as error:
            shown["refused"] = str(error)
        return shown
    names = [field.name for field in dataclasses.fields(cls)]
    shown["fields"] = [
        [field.name, field.default is dataclasses.MISSING or repr(field.default), field.init]
        for field in dataclasses.fields(cls)
    ]
    required = {
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    for title, chosen in {
        "all": names,
        "every second": names[::2],
        "all but the first": names[1:],
        "the first": names[:1],
    }.items():
        given = {name: f"<{name}>" for name in names if name in chosen or name in required}
        try:
            shown[title] = views(cls(**given))
        except Exception as error:
            shown[title] = f"{type(error).__name__}: {error}"
    return shown


def import_all() -> None:
    names = modules()
    importlib.import_module("transformers.utils")  # which looks what is there
    sys.meta_path.append(StandInFinder())
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            print(json.dumps({"module": name, "error": text}), file=written)


def output_classes() -> list[type]:
    """Those that a module of transformers has under their own name."""
    from transformers.utils import ModelOutput

    found: dict[type, None] = {}
    pending = [ModelOutput]
    while pending:
        for cls in type.__subclasses__(pending.pop()):
            reached = sys.modules.get(TWINS.get(cls.__module__, cls.__module__))
            if cls not in found and vars(reached or sys).get(cls.__name__) is cls:
                found[cls] = None
            pending.append(cls)
    return list(found)


def main(steps: list[str]) -> None:
    warnings.simplefilter("ignore")
    for step in steps:
        if step == "import":
            import_all()
        else:
            getattr(importlib.import_module("fastoutputs"), step)()
    for cls in output_classes():
        compiled = any(base.__module__ == "fastoutputs" for base in cls.__mro__)
        shown = {"class": name_of(cls), "compiled": compiled, "picture": picture(cls)}
        print(json.dumps(shown), file=written)


if __name__ == "__main__":
    written, sys.stdout = sys.stdout, sys.stderr  # importing some modules prints
    main(sys.argv[1:])
