"""Data from elsewhere: hostile states and pickles never crash, and stay within what a state may say.

A pickle can call anything by its nature; here the unpickler lets it reach the output class only, as
torch.load(weights_only=True) does.
"""

from __future__ import annotations

import io
import pickle
import random
from typing import Any

import containers
import pytest
from containers import Kind
from test_hostile import survives

from fastoutputs import ModelOutput, _core


class Allowing(pickle._Unpickler):  # Python's own: the other one makes room for what a number says
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("copyreg", "__newobj__"), ("copyreg", "_reconstructor")}:
            return super().find_class(module, name)
        if module == "containers" and "." not in name and name.startswith(("Out_", "Single_")):
            return getattr(containers, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def load(data: bytes) -> Any:
    return Allowing(io.BytesIO(data)).load()


def check_whole(out: Any, cls: type) -> None:
    items = list(out.items())
    raw = list(dict.items(out))
    assert type(out) is cls and len(out) == len(items) and raw in ([], items)
    assert all(type(name) is str or isinstance(name, str) for name in out)
    names = {"loss", "logits", "hidden_states", "attentions"}
    fields = {name: vars(out)[name] for name in names}
    assert {name: value for name, value in fields.items() if value is not None} == {
        name: value for name, value in items if name in names
    }


STATES: dict[str, Any] = {
    "none": None,
    "number": 5,
    "text": "loss",
    "list": [("loss", 1)],
    "pair": ({"loss": 9}, {"new": 1}),
}
# Taken, since an instance may hold them; none means more than a name.
TAKEN: dict[str, Any] = {
    "class": {"__class__": int, "__dict__": {"loss": 9}},
    "dict": {"__dict__": 5, "__slots__": 5},
    "methods": {"to_tuple": 1, "keys": 2, "__getitem__": 3, "__setstate__": 4, "__len__": 5},
    "fields": {"loss": 5, "logits": None},
    "numbers and bytes": {5: 1, b"loss": 1, (): 1},
    "many": {f"key{i}": i for i in range(5000)},
    "long": {"x" * 100_000: 1},
    "surrogates": {"\udc80": 1, "\0": 2},
}


@pytest.mark.parametrize("name", STATES)
def test_a_wrong_state_is_refused_and_changes_nothing(ours: Kind, name: str) -> None:
    out = ours.Out(1, 2)
    out["extra"] = out.plain = 3
    before = list(out.items()), dict(vars(out))
    with pytest.raises(TypeError):
        out.__setstate__(STATES[name])
    assert (list(out.items()), dict(vars(out))) == before


@pytest.mark.parametrize("name", TAKEN)
def test_an_odd_state_reaches_names_and_nothing_else(ours: Kind, name: str) -> None:
    out = ours.Out(1, 2)
    cls = ours.Out
    before = vars(cls)["loss"], _core.layout(cls), cls.to_tuple
    try:
        out.__setstate__(TAKEN[name])
    except (TypeError, AttributeError):
        assert list(out.items()) == [("loss", 1), ("logits", 2)]  # refused whole
    assert before == (vars(cls)["loss"], _core.layout(cls), cls.to_tuple)
    assert type(out) is cls is out.__class__
    if "keys" not in dict.fromkeys(vars(out)):
        check_whole(out, ours.Out)
    other = ours.Out(5)
    assert other.to_tuple() == (5,) and other.logits is None


OPCODES = {
    "new with arguments": b"\x80\x02%(cls)s(K\x01K\x02t\x81.",
    "built twice": b"\x80\x02%(cls)s)\x81}b}b.",
    "built by a number": b"\x80\x02%(cls)s)\x81K\x05b.",
    "built by slots": b"\x80\x02%(cls)s)\x81}}U\x04lossK\x05s\x86b.",
    "items set": b"\x80\x02%(cls)s)\x81(U\x04lossK\x05U\x03newK\x06u.",
    "number as a key": b"\x80\x02%(cls)s)\x81K\x01K\x05s.",
    "appended to": b"\x80\x02%(cls)s)\x81K\x01a.",
    "added to": b"\x80\x04%(cls)s)\x81(K\x01\x90.",
    "called with itself": b"\x80\x02%(cls)s%(cls)s\x85R.",
    "the class built": b"\x80\x02%(cls)s}U\x04lossK\x05sb.",
    "an item of the class": b"\x80\x02%(cls)sU\x04lossK\x05s.",
    "called with pairs": b"\x80\x02%(cls)s](U\x04lossK\x05\x86U\x09__class__K\x05\x86e\x85R.",
    "in itself": b"\x80\x02%(cls)s)\x81q\x00U\x04lossh\x00s.",
    "keyed by itself": b"\x80\x02%(cls)s)\x81q\x00h\x00K\x01s.",
    "hashed": b"\x80\x04(%(cls)s)\x81\x91.",
    "reconstructed": b"ccopyreg\n_reconstructor\n(%(cls)sc__builtin__\nobject\nNtR.",
}


@pytest.mark.parametrize("name", OPCODES)
def test_what_a_pickle_may_do_to_an_output(ours: Kind, name: str) -> None:
    cls = f"ccontainers\n{ours.Out.__qualname__}\n".encode()
    try:
        out = load(OPCODES[name] % {b"cls": cls})
    except (TypeError, AttributeError, ValueError, KeyError, pickle.UnpicklingError):
        out = None
    if isinstance(out, ModelOutput):
        check_whole(out, ours.Out)
    assert ours.Out(1).to_tuple() == (1,) and type(ours.Out.__dict__["loss"]).__name__ != "int"


@pytest.mark.parametrize("seed", range(4))
def test_pickles_with_bytes_changed(seed: int) -> None:
    survives(
        """
        import os, random
        sys.path[:0] = sys.argv[1].split(os.pathsep)
        sys.modules["transformers"] = None
        import test_untrusted
        test_untrusted.mutate_pickles(int(sys.argv[2]))
        print("done")
        """,
        str(containers.__file__).rpartition("containers")[0],
        str(seed),
    )


def mutate_pickles(seed: int, rounds: int = 5000) -> None:
    chance, loaded = random.Random(seed), 0
    for _ in range(rounds):
        kind = containers.KINDS[chance.choice(containers.OURS)]
        out = kind.Out(1, [2, "x"], attentions=kind.Single((3,)))
        out["extra"], out.plain = {"a": 1}, "p"
        data = bytearray(pickle.dumps(out, chance.randrange(pickle.HIGHEST_PROTOCOL + 1)))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            if chance.random() < 0.3:
                data[at:at] = bytes(
                    chance.choices(b".(0129abcdehjkqrstu}]){\x85\x86\x87\x81\x93\x94", k=1)
                )
            elif chance.random() < 0.3:
                del data[at : at + chance.randint(1, 8)]
            else:
                data[at] = chance.randrange(256)
        if pickle.BYTEARRAY8 in data:
            continue  # makes room, too
        try:
            made = load(bytes(data))
        except Exception:
            continue
        loaded += 1
        if type(made) is kind.Out:
            check_whole(made, kind.Out)
            (repr(made), made[:], made == out, pickle.loads(pickle.dumps(made)))
    assert loaded > rounds / 100


def test_no_string_is_evaluated() -> None:
    """Every operation with strings that are code: the interpreter compiles, runs and opens nothing."""
    survives("""
        @dataclass
        class Out(ModelOutput):
            a: Any = None
            b: Any = None
        code = "__import__('os').system('echo evaluated')"
        strings = [code, "{0.__class__}", "%s%n", "${a}", "<script>alert(1)</script>", "a.b", "a[0]"]
        Out(1, 2), copy.deepcopy(Out(1)), pickle.loads(pickle.dumps(ModelOutput(a=1)))
        Out("x").summary(), Out("x")._repr_html_()
        seen = []
        forbidden = ("compile", "exec", "os.", "subprocess.", "open", "import", "ctypes.", "socket.")
        sys.addaudithook(lambda event, args: seen.append(event) if event.startswith(forbidden) else None)
        for text in strings:
            for out in (Out(text), Out(b=text), Out({"a": text}), Out([("a", text), (text, text)]),
                        ModelOutput({text: text}), Out.fromkeys(["a", text], text)):
                out[text] = text
                setattr(out, text, text)
                vars(out)[text] = text
                out.__setstate__({"a": text, text: text})
                (out[text], out.get(text), text in out, out | {text: text}, out == {text: text})
                repr(out), str(out), f"{out}", out.summary(), out.copy(), copy.deepcopy(out)
                assert "<script>" not in out._repr_html_()
                twin = copy.copy(out)
                assert twin[text] == text == twin.to_tuple()[-1]
        assert seen == [], seen
        print("done")
    """)
