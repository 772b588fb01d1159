"""tests/data/outputs.json: what transformers declares, and what its documentation says of each field.

    python tools/outputs_data.py [FOLDER ...]     brings the file up to date
    python tools/outputs_data.py --check          only says whether it is

Classes, their fields, order and types come from the sources of the installed transformers, or of those in
the folders given (`build/venv/transformers-4.57/lib/python3.11/site-packages`). Nothing is imported, so
that TensorFlow and Flax need not be there. Shapes and conditions come from documented.json beside the file,
which is kept by hand. What the file says of other versions stays.

The newest version that has a class says what its fields are. One name stays as documented: `past_key_values`,
which is `cache` from 5.24 on. Standard library only.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
OUTPUTS, DOCUMENTED = DATA / "outputs.json", DATA / "documented.json"

# Where transformers declares them -> which module of ours does.
MODULES = {
    "modeling_outputs": "modeling_outputs",
    "modeling_tf_outputs": "modeling_tf_outputs",
    "modeling_flax_outputs": "modeling_flax_outputs",
    "models/bert/modeling_bert": "models.bert",
    "models/bert/modeling_tf_bert": "models.bert",
    "models/bert/modeling_flax_bert": "models.bert",
}
FRAMEWORKS = {"TF": "tf", "Flax": "flax"}  # by how a name begins; others are torch's
OLD_NAMES = {"cache": "past_key_values"}

Facts = dict[str, Any]


class Outdated(Exception):
    """Why the file cannot be made; the message says what to do."""


def number(version: str) -> list[int]:
    """Sorts 5.10 after 5.9."""
    return [int(part) for part in re.findall(r"\d+", version)]


def version_in(folder: Path) -> str:
    text = (folder / "transformers" / "__init__.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"', text, re.M)
    return version


def classes_in(source: Path) -> Iterator[tuple[str, str, bool, dict[str, str]]]:
    """Each output class of a file: its name, its base, whether it is frozen, the type of each field."""
    outputs: dict[str, dict[str, str]] = {"ModelOutput": {}}
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ClassDef):
            continue
        base = ast.unparse(node.bases[0]) if node.bases else ""
        if base not in outputs:
            continue
        fields = dict(outputs[base])
        for line in node.body:
            if isinstance(line, ast.AnnAssign):
                fields[ast.unparse(line.target)] = ast.unparse(line.annotation)
        outputs[node.name] = fields
        frozen = any("flax" in ast.unparse(decorator) for decorator in node.decorator_list)
        yield node.name, base, frozen, fields


def declared_in(folder: Path) -> dict[str, Facts]:
    """What one version declares, in the form of the file, without what is documented."""
    found: dict[str, Facts] = {}
    for path, module in MODULES.items():
        source = folder / "transformers" / f"{path}.py"
        if not source.exists():
            continue
        for name, base, frozen, fields in classes_in(source):
            kinds = [kind for start, kind in FRAMEWORKS.items() if name.startswith(start)]
            found[name] = {
                "class": name,
                "framework": kinds[0] if kinds else "torch",
                "module": module,
                "in_transformers": [],
                **({} if base == "ModelOutput" else {"base": base}),
                "frozen": frozen,
                "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
            }
    return found


def with_documented(facts: Facts, documented: dict[str, Any]) -> Facts:
    """The same class, with shape and condition of each field, under its documented name."""
    of_class = documented.get(facts["class"], {})
    fields = []
    for field in facts["fields"]:
        name, old = field["name"], OLD_NAMES.get(field["name"])
        if name not in of_class and old in of_class:
            name = old
        if name not in of_class:
            raise Outdated(
                f"add shape and returned_when of {facts['class']}.{name} to {DOCUMENTED}"
            )
        fields.append({"name": name, "type": field["type"], **of_class[name]})
    return facts | {"fields": fields}


def merged(old: list[Facts], folders: list[Path], documented: dict[str, Any]) -> list[Facts]:
    """The content of the file, with what the versions in the folders declare."""
    versions = {version_in(folder): declared_in(folder) for folder in folders}
    known = {facts["class"]: facts for facts in old}
    names = list(known)
    for declared in versions.values():  # a new class goes after the last one of its module
        for name, facts in declared.items():
            if name not in names:
                same = [n for n in names if known[n]["module"] == facts["module"]]
                names.insert(names.index(same[-1]) + 1 if same else len(names), name)
                known[name] = facts
    result = []
    for name in names:
        others = set(known[name]["in_transformers"]) - set(versions)
        has_it = {version for version, declared in versions.items() if name in declared}
        if not others | has_it:
            continue
        newest = max(others | has_it, key=number)
        facts = versions[newest][name] if newest in has_it else known[name]
        facts = with_documented(facts, documented)
        for version in has_it:  # an older one may lack the last fields, no more
            theirs = with_documented(versions[version][name], documented)["fields"]
            if [f["name"] for f in facts["fields"][: len(theirs)]] != [f["name"] for f in theirs]:
                raise Outdated(f"transformers {version} has other fields in {name} than {newest}")
        result.append(facts | {"in_transformers": sorted(others | has_it, key=number)})
    return result


def text_of(content: list[Facts]) -> str:
    """One line for each field."""
    rows = []
    for facts in content:
        head = json.dumps({key: facts[key] for key in facts if key != "fields"}, ensure_ascii=False)
        fields = ",\n".join(
            f"   {json.dumps(field, ensure_ascii=False)}" for field in facts["fields"]
        )
        fields = f"\n{fields}" if fields else ""
        rows.append(f' {head[:-1]},\n  "fields": [{fields}]}}')
    return "[\n" + ",\n".join(rows) + "\n]\n"


def without(version: str, content: list[Facts]) -> list[Facts]:
    """As if this version had not been looked at."""
    rest = [[v for v in facts["in_transformers"] if v != version] for facts in content]
    return [facts | {"in_transformers": v} for facts, v in zip(content, rest, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if it is outdated")
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    folders = args.folders
    if not folders:
        spec = importlib.util.find_spec("transformers")
        if spec is None or spec.origin is None:
            print("transformers is not installed: give a folder that holds it", file=sys.stderr)
            return 1
        folders = [Path(spec.origin).parents[1]]
    written = OUTPUTS.read_text(encoding="utf-8")
    old = json.loads(written)
    named = {version for facts in old for version in facts["in_transformers"]}
    unnamed = {version_in(folder) for folder in folders} - named
    if args.check:  # one between those named may spell a type in another way
        older = {version for version in unnamed if number(version) < max(map(number, named))}
        folders = [folder for folder in folders if version_in(folder) not in older]
    try:
        new = merged(old, folders, json.loads(DOCUMENTED.read_text(encoding="utf-8")))
    except Outdated as reason:
        print(reason, file=sys.stderr)
        return 1
    if not args.check:
        OUTPUTS.write_text(text_of(new), encoding="utf-8")
        return 0
    for version in unnamed:  # it may be out since today: only its classes and fields count
        new = without(version, new)
    if text_of(new) == written:
        return 0
    before = {facts["class"]: facts for facts in old}
    differ = [facts["class"] for facts in new if facts != before.get(facts["class"])]
    differ += before.keys() - {facts["class"] for facts in new}
    print(f"{OUTPUTS} is outdated ({', '.join(differ) or 'layout'}):", file=sys.stderr)
    print("run tools/outputs_data.py, and declare what is new", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
