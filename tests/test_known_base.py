"""What is known of a library's base: everything, in the release that is installed, on every Python."""

from __future__ import annotations

import functools
import sys
from collections import OrderedDict
from typing import Any

import pytest

pytest.importorskip("transformers")

from transformers.utils import generic

from fastoutputs.integrations.known_base import compare, parts_of, significant
from fastoutputs.integrations.libraries.transformers import LIBRARY
from fastoutputs.integrations.library import InstallError

ORIGINAL: Any = generic.ModelOutput


def test_nothing_in_the_installed_release_is_unknown() -> None:
    findings = compare(LIBRARY, ORIGINAL)
    assert findings.unknown == findings.carried == () and not findings.keeps_metaclass
    renames = "_replace_old_cache_name" in vars(ORIGINAL)
    assert bool(findings.generation.aliases) == renames


PLAIN = """
def f(self, key):
    return (self, key)
"""
TOLD = """
    def f(
        self, key
    ):
        'What it does.'

        return (
            self,  # the output
            key
        )
"""


def test_comments_docstrings_and_layout_do_not_matter_and_code_does() -> None:
    assert significant(PLAIN) == significant(TOLD)
    assert significant(PLAIN) != significant(PLAIN.replace("(self, key)", "(key, self)"))


def test_a_part_that_somebody_wrapped_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    @functools.wraps(ORIGINAL.to_tuple)
    def to_tuple(self: Any) -> Any:
        return ORIGINAL.to_tuple(self)

    monkeypatch.setattr(ORIGINAL, "to_tuple", to_tuple)
    assert compare(LIBRARY, ORIGINAL).unknown == ("to_tuple",)


def test_what_calls_an_unknown_part_is_carried_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ORIGINAL, "to_tuple", lambda self: ())
    findings = compare(LIBRARY, ORIGINAL)
    assert findings.unknown == ("to_tuple",) and "__getitem__" in findings.carried


@pytest.mark.parametrize("missing", ["pop", "__reduce__", "to_tuple"])
def test_a_base_that_lost_a_part_is_refused(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delattr(ORIGINAL, missing)
    with pytest.raises(InstallError, match=f"no longer defines {missing}"):
        compare(LIBRARY, ORIGINAL)


def test_code_without_its_source_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(code: Any) -> str:
        raise OSError("could not get source code")

    monkeypatch.setattr("inspect.getsource", unreadable)
    findings = compare(LIBRARY, ORIGINAL)
    assert set(parts_of(LIBRARY, ORIGINAL).values()) == {"?"}
    assert len(findings.unknown) == len(parts_of(LIBRARY, ORIGINAL))


def test_a_base_of_another_kind_is_refused() -> None:
    class Other:
        pass

    with pytest.raises(InstallError, match="derives from object, not from OrderedDict"):
        compare(LIBRARY, Other)
    assert issubclass(ORIGINAL, OrderedDict) and LIBRARY.home in sys.modules
