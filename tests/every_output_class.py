"""Pictures of every output class of a library, as JSON lines: run it as a program.

    python tests/every_output_class.py transformers|diffusers [STEP ...]

A step is `import` (every module that defines one), `install` or `uninstall`; they are taken in the
order given, with pictures after each. Modules that cannot be imported are listed, too, so that a
comparison of two pictures shows it if one saw less than the other.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pickle
import re
import subprocess
import sys
import warnings
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import MagicMock

# Where each library has the base of its output classes.
BASES = {"transformers": "ModelOutput", "diffusers": "BaseOutput"}


class StandIn(ModuleType):
    """In place of a library that some modules name as they are imported, and that is not here."""

    __path__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name)


class StandInFinder:
    libraries = ("torchvision", "torchaudio", "torchsde")

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.partition(".")[0] in self.libraries else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def modules(library: str) -> list[str]:
    """Every module of the library whose text derives a class from one with Output in its name."""
    root = Path(importlib.import_module(library).__path__[0])
    found = []
    for file in sorted(root.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if re.search(r"^class \w+\([^)]*Output", text, re.M):
            found.append(".".join((library, *file.relative_to(root).with_suffix("").parts)))
    return [name.removesuffix(".__init__") for name in found]


def is_in(name: str, cls: type) -> bool:
    """Whether the module of this name has the class under its own."""
    return vars(sys.modules.get(name, sys)).get(cls.__name__) is cls


def name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def views(out: Any) -> dict[str, Any]:
    back = pickle.loads(pickle.dumps(out))
    return {
        "items": list(out.items()),
        "tuple": list(out.to_tuple()),
        "attributes": [getattr(out, field.name) for field in fields_of(type(out))],
        "repr": repr(out),
        "by index": [out[i] for i in range(len(out))] + [out[-1]] if out else [],
        "slice": list(out[:2]),
        "equal": out == back and not out != back,
        "pickled": [name_of(type(back)), list(back.items())],
        "vars": vars(out),
    }


def fields_of(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


def picture(cls: Any) -> dict[str, Any]:
    fields = fields_of(cls)
    names = [field.name for field in fields] or ["no", "fields", "declared"]
    required = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    shown: dict[str, Any] = {
        "bases": [
            name_of(base)
            for base in cls.__mro__
            if base.__module__.startswith((*BASES, "fast")) and base.__name__ not in BASES.values()
        ],
        "is dataclass": "__dataclass_fields__" in vars(cls),
        "documented": bool(cls.__doc__),
        "fields": [
            [field.name, field.default is dataclasses.MISSING or repr(field.default), field.init]
            for field in fields
        ],
    }
    for title, chosen in {
        "all": names,
        "every second": names[::2],
        "all but the first": names[1:],
        "the first": names[:1],
    }.items():
        given = {n: i for i, n in enumerate(names, 1) if n in chosen or n in required}
        try:
            shown[title] = views(cls(**given))
        except Exception as error:
            shown[title] = f"{type(error).__name__}: {error}"
    return shown


def import_all(library: str) -> dict[str, str]:
    """Those that could not be imported -> why."""
    names = modules(library)
    for name in ("transformers", library):
        importlib.import_module(f"{name}.utils")  # which looks what is there
    sys.meta_path.append(StandInFinder())
    failed = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


def output_classes(library: str) -> list[type]:
    """Those that a module of the library has under their own name."""
    found: dict[type, None] = {}
    pending = [getattr(importlib.import_module(f"{library}.utils"), BASES[library])]
    while pending:
        for cls in type.__subclasses__(pending.pop()):
            if cls.__module__.startswith(f"{library}.") and is_in(cls.__module__, cls):
                found[cls] = None
            pending.append(cls)
    return list(found)


class Shot(NamedTuple):
    """What one step left behind."""

    classes: dict[str, Any]
    """Pictures, by name."""
    failed: dict[str, str]
    """Modules that could not be imported -> why."""
    compiled: int
    """How many of the classes are."""


@cache
def shots(library: str, *steps: str) -> list[Shot]:
    """A shot for each of the steps, taken in a process of their own."""
    done = subprocess.run(
        [sys.executable, __file__, library, *steps], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [Shot({}, {}, 0) for _ in steps]
    for line in map(json.loads, done.stdout.splitlines()):
        classes, failed, compiled = found[line["step"]]
        if "error" in line:
            failed[line["module"]] = line["error"]
        else:
            classes[line["class"]] = line["picture"]
            found[line["step"]] = Shot(classes, failed, compiled + line["compiled"])
    return found


def main(library: str, steps: list[str]) -> None:
    warnings.simplefilter("ignore")
    failed: dict[str, str] = {}
    for number, step in enumerate(steps):
        if step == "import":
            failed = import_all(library)
        elif step == "install":
            importlib.import_module("fastoutputs").install(library)
        else:
            importlib.import_module("fastoutputs").uninstall()
        lines = [{"module": name, "error": error} for name, error in failed.items()]
        ours = sys.modules.get("fastoutputs")
        if "import" in steps[: number + 1]:
            for cls in output_classes(library):
                compiled = ours is not None and issubclass(cls, ours.ModelOutput)
                lines.append({"class": name_of(cls), "compiled": compiled, "picture": picture(cls)})
        for line in lines:
            print(json.dumps({"step": number, **line}), file=written)


if __name__ == "__main__":
    written, sys.stdout = sys.stdout, sys.stderr  # importing some modules prints
    main(sys.argv[1], sys.argv[2:])
    written.flush()  # some library ends the process before Python would
