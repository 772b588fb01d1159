"""A Sphinx extension: each output class with a table of its fields, each module of fields with its aliases.

Both are read from the package, by `fastoutputs.schema` and from the annotations. A public name that no page shows is
a warning, and so an error. Classes that are only read show no arguments, but their attributes.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import fastoutputs
from fastoutputs.fields import Documented, documentation_of, type_of
from fastoutputs.integrations.install import Report
from fastoutputs.schema import FieldSchema, Schema

NO_SHAPE = "–"
READ = (Report, Schema, FieldSchema, Documented)


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """In reStructuredText."""
    yield from ("", ".. list-table::", "   :header-rows: 1", "   :class: fields", "")
    for row in (header, *rows):
        for mark, cell in zip(("* -", "  -", "  -", "  -"), row):
            yield f"   {mark} {cell}"
    yield ""


def meaning_of(documented: Documented | None) -> str:
    if not documented:
        return ""
    return f"{documented.meaning}. *Returned:* {documented.returned_when}"


def code(text: str | None) -> str:
    return f"``{text}``" if text else NO_SHAPE


def is_output(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, fastoutputs.ModelOutput)


def declared(cls: type[fastoutputs.ModelOutput]) -> Iterator[str]:
    """The fields of an output class, in order."""
    rows = [
        (code(field.name), code(field.type), code(field.shape), meaning_of(field.documented))
        for field in fastoutputs.schema(cls)
    ]
    return table(("Field", "Type", "Shape", "Meaning"), rows) if rows else iter(())


def describe(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """In the place of the arguments that a class's docstring lists."""
    if what == "class" and is_output(thing) and hasattr(thing, "__dataclass_fields__"):
        del lines[lines.index("Args:") if "Args:" in lines else len(lines) :]
        lines.extend(declared(thing))


def hide_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str, returns: str
) -> Any:
    """What is listed below says it all."""
    return ("", None) if what == "class" and (is_output(thing) or thing in READ) else None


def keep_attribute(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """As written: napoleon takes what stands before a colon for a type, and named tuples say only a number."""
    if what in ("attribute", "property"):
        if lines and lines[0].startswith("Alias for field number"):
            lines.clear()
        app.env.temp_data[name] = list(lines)


def put_attribute_back(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    if what in ("attribute", "property"):
        lines[:] = app.env.temp_data.pop(name)


class FieldAliases(Directive):
    """``.. field-aliases:: fastoutputs.fields``: every alias of a module, in the order of its source."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = import_module(self.arguments[0])
        rows = [
            (code(name), code(type_of(alias)), code(documented.shape), meaning_of(documented))
            for name, alias in vars(module).items()
            if not name.startswith("_") and (documented := documentation_of(alias))
        ]
        lines = list(table(("Alias", "Type", "Shape", "Meaning"), rows))
        node = nodes.container()
        self.state.nested_parse(StringList(lines, self.arguments[0]), self.content_offset, node)
        return node.children


def public_modules() -> Iterator[ModuleType]:
    yield fastoutputs
    for found in pkgutil.walk_packages(fastoutputs.__path__, "fastoutputs."):
        if found.name.startswith(("fastoutputs.modeling_", "fastoutputs.models.")):
            yield import_module(found.name)


def nothing_left_out(app: Sphinx, env: BuildEnvironment) -> None:
    shown = env.domains["py"].objects  # type: ignore[attr-defined]
    for module in public_modules():
        for name in module.__all__:
            if f"{module.__name__}.{name}" not in shown:
                logging.getLogger(__name__).warning("no page shows %s.%s", module.__name__, name)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("field-aliases", FieldAliases)
    app.connect("autodoc-process-docstring", describe, priority=400)  # napoleon has 500
    app.connect("autodoc-process-docstring", keep_attribute, priority=400)
    app.connect("autodoc-process-docstring", put_attribute_back, priority=600)
    app.connect("autodoc-process-signature", hide_signature)
    app.connect("env-check-consistency", nothing_left_out)
    return {"parallel_read_safe": True}
