"""install(), uninstall() and installed(): what they replace, give back, report and refuse.

`test_every_output_class.py` has the comparison over all of transformers.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import json
import os
import pickle
import platform
import subprocess
import sys
import threading
import types
import typing
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers.modeling_outputs as theirs
import transformers.utils
from interpreter import program
from transformers.models.bert import modeling_bert
from transformers.models.clip import modeling_clip

import fastoutputs
from fastoutputs import modeling_outputs as ours
from fastoutputs.cli import bench, doctor
from fastoutputs.integrations import install as integration
from fastoutputs.integrations.bookkeeping import Private
from fastoutputs.integrations.install import InstallError
from fastoutputs.integrations.libraries.transformers import LIBRARY
from fastoutputs.integrations.references import Swap

ORIGINAL = transformers.utils.ModelOutput
PLACES = ("transformers.utils", "transformers.utils.generic", "transformers.file_utils")


def at(place: str) -> Any:
    return sys.modules[place].ModelOutput


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    __import__("transformers.file_utils")
    before = {name: at(name) for name in PLACES}
    yield
    fastoutputs.uninstall()
    assert {name: at(name) for name in PLACES} == before
    assert theirs.CausalLMOutput.__mro__[1] is ORIGINAL


class Kept(Private):
    """Holds a value where install() leaves it alone."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def tiny_bert() -> Any:
    config = modeling_bert.BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    return modeling_bert.BertModel(config).eval()


# --- what is replaced ----------------------------------------------------------------------------


def test_every_place_has_ours() -> None:
    report = fastoutputs.install()
    assert all(at(place) is fastoutputs.ModelOutput for place in PLACES)
    same = [name for name in ours.__all__ if hasattr(theirs, name)]
    assert len(same) > 40
    for name in same:
        assert issubclass(getattr(theirs, name), fastoutputs.ModelOutput)
        if f"fastoutputs.modeling_outputs.{name}" in report.shared:
            assert getattr(theirs, name) is getattr(ours, name)
    assert len(report.shared) > 25
    assert isinstance(theirs.CausalLMOutput(), ours.CausalLMOutput)
    assert isinstance(ours.CausalLMOutput(), theirs.CausalLMOutput)
    assert transformers.modeling_outputs.BaseModelOutput is ours.BaseModelOutput
    assert ours.BaseModelOutput.__module__ == "transformers.modeling_outputs"
    assert modeling_bert.BertForPreTrainingOutput.__module__ == modeling_bert.__name__


def test_a_model_built_before_returns_compiled_outputs() -> None:
    model, ids = tiny_bert(), torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        before = model(ids)
        fastoutputs.install()
        during = model(ids)
        fastoutputs.uninstall()
        after = model(ids)
    assert isinstance(during, fastoutputs.ModelOutput) and isinstance(during, dict)
    assert type(before) is type(after) and not isinstance(after, fastoutputs.ModelOutput)
    assert type(before).__name__ == type(during).__name__
    for out in (during, after):
        assert list(out) == list(before)
        assert all(torch.equal(out[name], before[name]) for name in before)


def test_subclass_relations_are_kept() -> None:
    names = [name for name, value in vars(theirs).items() if isinstance(value, type)]

    def relations() -> list[bool]:
        classes = [getattr(theirs, name) for name in names]
        return [issubclass(a, b) for a in classes for b in classes]

    before = relations()
    fastoutputs.install()
    assert relations() == before


def test_an_overridden_method_and_super_survive() -> None:
    fastoutputs.install()
    out = modeling_clip.CLIPOutput(
        logits_per_image=1, text_model_output=ours.BaseModelOutputWithPooling(last_hidden_state=2)
    )
    assert isinstance(out, fastoutputs.ModelOutput)
    assert out.to_tuple() == (1, (2,)) and out[1] == (2,)


@pytest.mark.parametrize("order", ["before", "after", "lazily"])
def test_the_order_of_imports_does_not_matter(order: str) -> None:
    program(
        """
        import sys
        order = sys.argv[1]
        if order == "after":
            import transformers.modeling_outputs, transformers.models.bert.modeling_bert
            import transformers.file_utils
        elif order == "lazily":
            import transformers
        import fastoutputs
        loaded = set(sys.modules)
        report = fastoutputs.install()
        assert report.waiting == (order == "before"), report
        if order == "before":
            assert "transformers" not in sys.modules and "torch" not in sys.modules
            assert "not imported yet" in str(report)
        import transformers.utils, transformers.file_utils
        import transformers.modeling_outputs as theirs
        from transformers import BertConfig, BertModel
        import torch
        for place in (transformers.utils, transformers.utils.generic, transformers.file_utils):
            assert place.ModelOutput is fastoutputs.ModelOutput
        import fastoutputs.modeling_outputs as ours
        assert theirs.BaseModelOutputWithPooling is ours.BaseModelOutputWithPooling
        config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                            intermediate_size=8)
        model = BertModel(config)
        out = model(torch.tensor([[1]]))
        assert type(out) is theirs.BaseModelOutputWithPoolingAndCrossAttentions, type(out).__mro__
        assert isinstance(out, fastoutputs.ModelOutput)
        assert not report.failed and len(report.shared) > 25 and not report.waiting
        assert type(out).__module__ == "transformers.modeling_outputs"
        fastoutputs.uninstall()
        out = model(torch.tensor([[1]]))
        assert "OrderedDict" in str(type(out).__mro__) and not isinstance(out, fastoutputs.ModelOutput)
        assert transformers.utils.ModelOutput.__mro__[1].__name__ == "OrderedDict"
        """,
        order,
    )


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a child process for each order")
def test_any_order_of_install_and_imports_gives_the_same() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("install_orders.py"))],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    pictures = dict(map(json.loads, done.stdout.splitlines()))
    assert len(pictures) == 24
    first = pictures["install-own-theirs-model"]
    assert len(first["same"]) > 25 and first["bert"] and first["compiled"]
    assert first["own name"] and first["own class"][0] and first["node"]
    assert "OrderedDict" not in first["out"] and "OrderedDict" in first["after"][0]
    assert first["after"][2] == "fastoutputs.modeling_outputs"
    for order, picture in pictures.items():
        assert picture == first, order


# --- references ----------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [False, True])
def test_references_of_every_kind_follow_and_come_back(frozen: bool) -> None:
    cls = modeling_clip.CLIPOutput
    holder = types.ModuleType("holder")
    closed = cls

    def closure() -> type:
        return closed

    def function(kind: type = cls, *, other: type = cls) -> type | cls:
        return kind

    class Configured:
        output_class = cls
        choices = (int, cls)

    thing = Configured()
    thing.made = cls
    held: dict[str, Any] = {
        "dict": {"x": cls},
        "list": [cls, int],
        "tuple": (cls, (cls, 1)),
        "set": {cls},
        "partial": functools.partial(cls, logits_per_image=1),
        "union": cls | None,
        "optional": typing.Optional[cls],  # noqa: UP045
        "generic": tuple[cls, ...],
    }
    vars(holder).update(held)
    sys.modules["holder"] = holder

    def seen() -> list[Any]:
        return [
            held["dict"]["x"],
            held["list"][0],
            held["tuple"][0],
            held["tuple"][1][0],
            next(iter(held["set"])),
            held["partial"].func,
            typing.get_args(held["union"])[0],
            typing.get_args(held["optional"])[0],
            typing.get_args(held["generic"])[0],
            closure(),
            function(),
            function.__kwdefaults__["other"],
            Configured.output_class,
            Configured.choices[1],
            thing.made,
            holder.dict["x"],
        ]

    holder.seen = seen
    old = Kept(cls)
    if frozen:
        gc.freeze()  # the collector no longer names what there is
    try:
        assert all(found is old.value for found in seen())
        fastoutputs.install()
        new = modeling_clip.CLIPOutput
        assert new is not old.value and issubclass(new, fastoutputs.ModelOutput)
        assert [found is new for found in seen()] == [True] * len(seen())
        fastoutputs.uninstall()
        assert [found is old.value for found in seen()] == [True] * len(seen())
    finally:
        gc.unfreeze()
        del sys.modules["holder"]


def test_what_was_changed_in_between_stays() -> None:
    place = types.SimpleNamespace(first=theirs.CausalLMOutput, second=theirs.CausalLMOutput)
    fastoutputs.install()
    assert place.first is ours.CausalLMOutput
    place.first = "mine"
    fastoutputs.uninstall()
    assert place.first == "mine" and place.second is theirs.CausalLMOutput


# --- classes of others ---------------------------------------------------------------------------


def third_party(base: Any) -> dict[str, Any]:
    @dataclasses.dataclass
    class Plain(base):
        loss: Any = None
        scores: Any = dataclasses.field(default=None, repr=False, metadata={"unit": "nat"})

        @property
        def first(self) -> Any:
            return self.to_tuple()[0]

        def to_tuple(self) -> tuple[Any, ...]:
            return ("mine", *super().to_tuple())

    @dataclasses.dataclass
    class Derived(Plain):
        """Of a class of ours."""

        extra: Any = None
        count: typing.ClassVar[int] = 3

    @dataclasses.dataclass(frozen=True)
    class Frozen(base):
        a: Any = None

    @dataclasses.dataclass(eq=False, repr=False)
    class Bare(base):
        a: Any = None

    @dataclasses.dataclass(slots=True)
    class Slotted(base):
        a: Any = None
        b: Any = 5

    @dataclasses.dataclass(slots=True)
    class SlottedDerived(Slotted):
        c: Any = None

    return {cls.__name__: cls for cls in (Plain, Derived, Frozen, Bare, Slotted, SlottedDerived)}


def test_third_party_classes_are_made_anew_and_come_back() -> None:
    made = third_party(ORIGINAL)
    before = {name: Kept(cls) for name, cls in made.items()}
    report = fastoutputs.install()
    assert not report.failed
    for name, cls in made.items():
        old = before[name].value
        assert cls is not old and issubclass(cls, fastoutputs.ModelOutput), name
        assert (cls.__name__, cls.__qualname__) == (name, old.__qualname__)
        assert cls.__doc__ == old.__doc__
    out = made["Derived"](loss=1, extra=2)
    assert out.to_tuple() == ("mine", 1, 2) and out.first == "mine" and out.count == 3
    assert repr(out).endswith("Derived(loss=1, extra=2)")
    assert isinstance(out, made["Plain"])
    assert dataclasses.fields(out)[1].metadata == {"unit": "nat"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        made["Frozen"](1).a = 2
    assert made["Bare"](1) == {"a": 1}
    slotted = made["SlottedDerived"](1, c=2)
    assert slotted.to_tuple() == (1, 5, 2) and (slotted.a, slotted.b, slotted["c"]) == (1, 5, 2)
    fastoutputs.uninstall()
    assert all(made[name] is before[name].value for name in before)


def test_classes_of_the_library_show_documented_shapes() -> None:
    with fastoutputs.installed():

        @dataclasses.dataclass
        class Scored(theirs.CausalLMOutput):
            score: Any = None

        for cls in (theirs.CausalLMOutput, ours.CausalLMOutput, Scored):
            logits = fastoutputs.schema(cls)["logits"]
            assert logits.shape == "(batch_size, sequence_length, config.vocab_size)"
        assert fastoutputs.schema(Scored)["score"].documented is None
    assert fastoutputs.schema(ours.CausalLMOutput)["logits"].shape == logits.shape


def test_classes_defined_while_installed() -> None:
    fastoutputs.install()
    made = third_party(transformers.utils.ModelOutput)
    assert all(issubclass(cls, fastoutputs.ModelOutput) for cls in made.values())
    out = made["Derived"](loss=1)
    fastoutputs.uninstall()
    assert isinstance(out, fastoutputs.ModelOutput) and out.to_tuple() == ("mine", 1)
    assert made["Derived"](loss=1).to_tuple() == ("mine", 1), "they stay what they are"


def test_frozen_classes_that_transformers_defines_while_installed_come_back() -> None:
    fastoutputs.install()

    @dataclasses.dataclass(frozen=True)
    class Base(transformers.utils.ModelOutput):
        __module__ = modeling_clip.__name__
        a: Any = None

    @dataclasses.dataclass(frozen=True)
    class Derived(Base):
        __module__ = modeling_clip.__name__

    made = {"Derived": Derived}
    assert made["Derived"](1).to_tuple() == (1,), (
        "what it keeps for its fields now is the container's"
    )
    fastoutputs.uninstall()
    out = made["Derived"](1)
    assert isinstance(out, ORIGINAL) and out.to_tuple() == (1,)


def test_live_instances_stay_what_they_are_and_are_counted() -> None:
    old = theirs.CausalLMOutput(logits=1)
    report = fastoutputs.install()
    assert report.live_instances >= 1 and "stay what they are" in str(report)
    assert old.logits == 1 and old["logits"] == 1 and old.to_tuple() == (1,)
    old["more"] = 2
    assert list(old) == ["logits", "more"] and not isinstance(old, theirs.CausalLMOutput)
    fastoutputs.uninstall()
    assert isinstance(old, theirs.CausalLMOutput)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda old: type(old)(logits=1)])
def test_live_instances_can_be_made_again(again: Any) -> None:
    old = theirs.CausalLMOutput(logits=1)
    with fastoutputs.installed():
        new = again(old)
        assert type(new) is type(old) and new.to_tuple() == (1,)
    assert again(old).to_tuple() == (1,)


def test_a_class_that_cannot_be_made_twice_is_named_and_left() -> None:
    class Once(type(ORIGINAL)):
        made = False

        def __new__(mcs, *args: Any, **kwargs: Any) -> Any:
            if Once.made:
                raise TypeError("one is enough")
            return super().__new__(mcs, *args, **kwargs)

    base = dataclasses.dataclass(
        Once("Only", (ORIGINAL,), {"__annotations__": {"a": Any}, "a": None})
    )
    derived = dataclasses.dataclass(types.new_class("Derived", (base,)))
    Once.made, original = True, Kept(ORIGINAL)
    report = fastoutputs.install()
    failed = {name.rpartition(".")[2]: why for name, why in report.failed.items()}
    assert failed == {
        "Only": "TypeError: one is enough",
        "Derived": "one of its bases could not be replaced",
    }
    assert "one is enough" in str(report)
    assert base(a=1).to_tuple() == derived(a=1).to_tuple() == (1,)
    assert (
        isinstance(derived(a=1), original.value)
        and at("transformers.utils") is fastoutputs.ModelOutput
    )
    del base, derived
    fastoutputs.uninstall()
    gc.collect()


# --- the calls themselves ------------------------------------------------------------------------


def test_twice_is_harmless_and_uninstall_without_install_too() -> None:
    fastoutputs.uninstall()
    first = fastoutputs.install()
    bound = dict(vars(theirs))
    assert fastoutputs.install() is first and dict(vars(theirs)) == bound
    fastoutputs.uninstall()
    fastoutputs.uninstall()
    assert at("transformers.utils") is ORIGINAL


def test_the_block_form_restores_what_was_before() -> None:
    with pytest.raises(ZeroDivisionError), fastoutputs.installed() as report:
        assert len(report.rebuilt) > 40 and at("transformers.utils") is fastoutputs.ModelOutput
        raise ZeroDivisionError
    assert at("transformers.utils") is ORIGINAL
    fastoutputs.install()
    with fastoutputs.installed(mirror_dict=False):
        assert dict.__len__(theirs.CausalLMOutput(logits=1)) == 0
    assert at("transformers.utils") is fastoutputs.ModelOutput
    assert dict.__len__(theirs.CausalLMOutput(logits=1)) == 1


def test_slots_only() -> None:
    fastoutputs.install(mirror_dict=False)
    out = theirs.CausalLMOutput(logits=1)
    assert dict.__len__(out) == 0 and list(out.items()) == [("logits", 1)]
    fastoutputs.install()
    assert dict.__len__(theirs.CausalLMOutput(logits=1)) == 1 and dict.__len__(out) == 0
    fastoutputs.install(mirror_dict=False)
    fastoutputs.uninstall()
    assert dict.__len__(ours.CausalLMOutput(logits=1)) == 1, (
        "the default is back for our own classes"
    )


def test_pickles_cross_over() -> None:
    before = pickle.dumps(theirs.CausalLMOutput(logits=1))
    with fastoutputs.installed():
        during = pickle.dumps(theirs.CausalLMOutput(logits=1))
        there = pickle.loads(before)
        assert type(there) is ours.CausalLMOutput and there.to_tuple() == (1,)
    back = pickle.loads(before)
    assert type(back) is theirs.CausalLMOutput and back.to_tuple() == (1,)
    there = pickle.loads(during)
    assert type(there) is theirs.CausalLMOutput and there.to_tuple() == (1,)


def test_trees_of_torch() -> None:
    from torch.utils import _pytree as pytree

    def flat() -> Any:
        return pytree.tree_flatten(theirs.CausalLMOutput(logits=1, attentions=(2, 3)))

    leaves, spec = flat()
    with fastoutputs.installed():
        same, other = flat()
        back = pytree.tree_unflatten([4, 5, 6], other)
        assert same == leaves and type(back) is ours.CausalLMOutput
        assert list(back.items()) == [("logits", 4), ("attentions", (5, 6))]
        clip = modeling_clip.CLIPOutput(logits_per_image=1)
        assert type(pytree.tree_map(lambda x: x, clip)) is modeling_clip.CLIPOutput
        named, _ = pytree.tree_flatten_with_path(clip)
        assert pytree.keystr(named[0][0]) == "['logits_per_image']"
    assert flat() == (leaves, spec)
    loaded = pytree.treespec_loads(pytree.treespec_dumps(spec))
    assert type(pytree.tree_unflatten([1, 2, 3], loaded)) is theirs.CausalLMOutput


def test_a_saved_tree_means_the_class_of_the_moment() -> None:
    from torch.utils import _pytree as pytree

    @dataclasses.dataclass
    class Scores(transformers.utils.ModelOutput):  # made anew by install(), under the same name
        logits: Any = None

    held = types.SimpleNamespace(cls=Scores)
    saved = pytree.treespec_dumps(pytree.tree_structure(Scores(1)))

    def loaded() -> type:
        return type(pytree.tree_unflatten([1], pytree.treespec_loads(saved)))

    for _ in range(2):
        assert loaded() is held.cls is Scores and not issubclass(Scores, fastoutputs.ModelOutput)
        with fastoutputs.installed():
            pytree.treespec_loads.cache_clear()
            assert loaded() is held.cls and issubclass(held.cls, fastoutputs.ModelOutput)
        pytree.treespec_loads.cache_clear()


def test_several_threads() -> None:
    reports, errors = [], []

    def work(turn: int) -> None:
        try:
            for _ in range(2):
                reports.append(fastoutputs.install())
                out = theirs.CausalLMOutput(logits=turn)
                assert out.to_tuple() == (turn,)
                if turn == 0:
                    fastoutputs.uninstall()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(reports) == 8
    fastoutputs.install()
    assert at("transformers.utils") is fastoutputs.ModelOutput


# --- bad input -----------------------------------------------------------------------------------


def test_an_untested_version_with_a_known_base_gives_no_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Not `transformers`: importing a model puts another module object in its place.
    monkeypatch.setattr(sys.modules["transformers"], "__version__", "9.1.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = fastoutputs.install()
    assert at("transformers.utils") is fastoutputs.ModelOutput
    assert report.version == "9.1.0" and not report.unknown


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (None, r"no class transformers\.utils\.generic\.ModelOutput"),
        (object(), r"no class transformers\.utils\.generic\.ModelOutput"),
        (dict, "derives from object, not from OrderedDict"),
    ],
    ids=["none", "object", "dict"],
)
def test_a_transformers_without_the_original_is_refused_whole(
    monkeypatch: pytest.MonkeyPatch, wrong: Any, why: str
) -> None:
    bound = dict(vars(theirs))
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[LIBRARY.home], "ModelOutput", wrong)
        with pytest.raises(InstallError, match=why):
            fastoutputs.install()
    assert dict(vars(theirs)) == bound and not integration._active
    fastoutputs.install()


def test_a_broken_class_among_the_users_own_is_left_as_it_is() -> None:
    @dataclasses.dataclass
    class Broken(fastoutputs.ModelOutput):
        loss: Any = None

    Broken(1)
    Broken.__dataclass_fields__ = 5
    with fastoutputs.installed():
        assert at("transformers.utils") is fastoutputs.ModelOutput
    with pytest.raises(Exception, match="int"):
        Broken(1)


def test_an_error_on_the_way_leaves_nothing_half_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    bound, real = dict(vars(theirs)), Swap._in_holder

    def fail(self: Any, found: Any, find: Any) -> None:
        real(self, found, find)
        if len(self) > 60:
            raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Swap, "_in_holder", fail)
        with pytest.raises(MemoryError):
            fastoutputs.install()
    assert dict(vars(theirs)) == bound and at("transformers.utils") is ORIGINAL
    fastoutputs.install()
    assert at("transformers.utils") is fastoutputs.ModelOutput


def test_without_transformers() -> None:
    program(
        """
        import sys
        sys.modules["transformers"] = None
        import fastoutputs
        try:
            fastoutputs.install()
        except RuntimeError as error:
            assert "transformers is not installed" in str(error), error
            assert isinstance(error, ImportError)
        else:
            raise AssertionError
        fastoutputs.uninstall()
        """
    )


def test_in_the_middle_of_the_import_of_transformers() -> None:
    program(
        """
        import fastoutputs, sys
        # Something that transformers.utils.generic imports calls install(), before the original is there.
        seen = []
        class Early:
            def find_spec(self, name, path, target=None):
                if "transformers.utils.generic" in sys.modules:
                    sys.meta_path.remove(self)
                    try:
                        fastoutputs.install()
                    except RuntimeError as error:
                        seen.append(str(error))
        sys.meta_path.insert(0, Early())
        import transformers.utils
        assert len(seen) == 1 and "being imported at this moment" in seen[0], seen
        fastoutputs.install()
        assert transformers.utils.ModelOutput is fastoutputs.ModelOutput
        """
    )


def test_refused_while_transformers_is_imported_and_asked_again() -> None:
    program(
        """
        import fastoutputs, sys
        from fastoutputs.integrations import known_base
        from fastoutputs.integrations.install import InstallError
        compare = known_base.compare

        def refuse(library, original):
            raise InstallError("not this one")

        known_base.compare = refuse
        fastoutputs.install()
        try:
            import transformers.utils
        except InstallError:
            pass
        else:
            raise AssertionError
        import transformers.utils  # as if nobody had asked
        assert not issubclass(transformers.utils.ModelOutput, fastoutputs.ModelOutput)
        known_base.compare = compare
        assert not fastoutputs.install().waiting
        assert transformers.utils.ModelOutput is fastoutputs.ModelOutput
        fastoutputs.uninstall()
        assert not issubclass(transformers.utils.ModelOutput, fastoutputs.ModelOutput)
        """
    )


# --- the command line ----------------------------------------------------------------------------


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastoutputs", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_run_starts_a_script_or_a_module(tmp_path: Any) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import sys, helper, fastoutputs, transformers.utils\n"
        "assert transformers.utils.ModelOutput is fastoutputs.ModelOutput and __name__ == '__main__'\n"
        "print(sys.argv[1:], helper.__name__)\n"
        "import transformers.modeling_outputs as m\n"
        "print(dict.__len__(m.CausalLMOutput(logits=1)))\n"
        "sys.exit(3)\n"
    )
    (tmp_path / "helper.py").write_text("")
    done = command("run", str(script), "--flag", "-m", "x")
    assert done.returncode == 3 and done.stdout.split("\n")[:2] == [
        "['--flag', '-m', 'x'] helper",
        "1",
    ]
    assert command("run", "--slots-only", str(script)).stdout.split("\n")[1] == "0"
    assert command("run", "-m", "platform").stdout.strip() == platform.platform()
    missing = command("run", "no_such_file.py")
    assert missing.returncode == 2 and "no_such_file.py" in missing.stderr


def test_bench_compares_in_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    done = command("bench", "--json")
    assert (done.returncode, done.stderr) == (0, "")  # progress is for a terminal
    found = json.loads(done.stdout)
    assert found["unit"] == "ns" and [*found["results"]] == [*bench.OPERATIONS]
    assert {"dict-backed", "slots-only", "original"} <= found["results"]["make"].keys()
    bench.show(found["results"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    _, _, heading, *rows = lines
    columns = heading.split()
    assert columns[:3] == ["ours", "slots", "orig"]
    rows, legend = rows[: len(bench.OPERATIONS)], rows[len(bench.OPERATIONS) + 2 :]
    assert [row[:18].strip() for row in rows] == [*bench.OPERATIONS]
    assert [line.split()[0] for line in legend] == columns
    for row in rows:
        ours, slots, original = row[18:].split()[:3]
        assert float(ours) > 0 and float(slots.rstrip("x")) > 0 and float(original.rstrip("x")) > 0


def test_doctor_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    done = command("doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["fastoutputs"] == fastoutputs.__version__ and found["enabled"] is None
    assert found["libraries"]["transformers"]["version"] == transformers.__version__
    assert isinstance(found["libraries"]["torch"]["tested"], bool)
    assert (
        "transformers.modeling_outputs.CausalLMOutput"
        in found["install"]["reports"]["transformers"]["rebuilt"]
    )
    doctor.show(found)
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 120
    assert "  tested" in text and "output classes rebuilt" in text and text.count("ns ->") == 3
    (compiler,) = (line.split() for line in lines if line.startswith("  compiler"))
    assert not compiler[1][0].isdigit()
