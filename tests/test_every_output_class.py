"""Every output class of transformers and diffusers, with and without install(): only the clock differs.

Of those that are there: `make frameworks` has transformers 4 with TensorFlow and Flax, `make libraries` diffusers.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest
from containers import ORIGINAL_MAJOR
from every_output_class import BASES, Shot, shots

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.parametrize("library", [name for name in BASES if find_spec(name)]),
]

# transformers 4 has more than 100 in modules that cannot be imported without these.
WANTED = [name for name in ("tensorflow", "flax") if ORIGINAL_MAJOR == 4 and not find_spec(name)]
AT_LEAST = {"transformers": 530 if WANTED else 640, "diffusers": 180}


def after_import(library: str) -> list[Shot]:
    return shots(library, "import", "install", "install", "uninstall")


def before_import(library: str) -> list[Shot]:
    return shots(library, "install", "import", "uninstall")


def test_the_original_is_all_there(library: str) -> None:
    classes, failed, compiled = after_import(library)[0]
    assert len(classes) >= AT_LEAST[library] and compiled == 0
    excused = {f"ModuleNotFoundError: No module named '{name}'" for name in WANTED}
    failed = {name: error for name, error in failed.items() if error not in excused}
    # Templates that transformers generates its modules from; some were never meant to be imported.
    assert all("modular_" in name for name in failed), failed


@pytest.mark.parametrize("when", ["before import", "after import", "twice"])
def test_installed(library: str, when: str) -> None:
    original, once, twice, _ = after_import(library)
    shot = {"before import": before_import(library)[1], "after import": once, "twice": twice}[when]
    assert shot.failed == original.failed
    assert shot.compiled == len(shot.classes) == len(original.classes)
    for name, picture in original.classes.items():
        assert shot.classes[name] == picture, name


@pytest.mark.parametrize("when", [before_import, after_import])
def test_uninstalled(library: str, when: Callable[[str], list[Shot]]) -> None:
    shot = when(library)[-1]
    assert shot.compiled == 0 and shot.classes == after_import(library)[0].classes
