"""The interpreter around the outputs: its end, a second one, fork, signals, and its limit on recursion.

Re-entrancy from values is in test_hostile.py, threads are in test_collector.py.
"""

from __future__ import annotations

import copy
import os
import pickle
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from containers import Kind
from test_hostile import survives

from fastoutputs import ModelOutput

HOLDERS = {
    "module": "sys.modules['holder'] = out",
    "builtins": "import builtins; builtins.holder = out",
    "default": "Out.holder = out",
    "atexit": "import atexit; atexit.register(lambda: use(out))",
    "thread": """
        import threading, time
        def run():
            while True:
                use(Out(out, made.pop() if made else None))
        threading.Thread(target=run, daemon=True).start()
        time.sleep(0.05)
    """,
    "generator": """
        def walk():
            try:
                for item in out.items(): yield item
            finally: use(out)
        holder = walk(); next(holder); out.holder = holder
    """,
    "iterator": "holder = iter(out.items()); next(holder); out['holder'] = holder",
    "weakref": "import weakref; holder = weakref.finalize(out, use, Out(2))",
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_the_interpreter_ends(holder: str) -> None:
    """Values that use outputs in their __del__, while modules and types are being taken down."""
    survives(
        """
        @dataclass
        class Out(ModelOutput):
            a: Any = None
            b: Any = None
        made = []
        def use(out):
            (repr(out), out[:], list(out.items()), copy.copy(out), out == out, out.a, vars(out))
        class Late:
            def __del__(self, use=use, Out=Out):
                new = Out(1, b=2)
                new["extra"] = new.plain = 3
                try:
                    use(new)
                except (ImportError, TypeError, NameError, AttributeError):
                    pass  # copy() imports copyreg, and there is no importing any more
        out = Out(Late(), Late())
        out.b, out["extra"], out.plain = [out, Late()], Late(), Late()
        """
        + HOLDERS[holder]
        + "\n        print('done', flush=True)"
    )


def test_a_second_interpreter_is_refused_and_the_first_goes_on() -> None:
    survives("""
        try:
            import _interpreters as interpreters
            kinds = [{"config": "legacy"}, {"config": "isolated"}]
        except ImportError:
            try:
                import _xxsubinterpreters as interpreters
            except ImportError:
                interpreters = None
            kinds = [{"isolated": False}, {"isolated": True}]
        out = ModelOutput(a=1)
        path = [*sys.path]
        for kind in kinds if interpreters else []:
            config = kind.pop("config", None)
            second = interpreters.create(config) if config else interpreters.create(**kind)
            failed = interpreters.run_string(second, f'''if 1:
                import sys
                sys.path[:] = {path!r}
                for _ in range(2):
                    try:
                        import fastoutputs._core
                    except ImportError as error:
                        assert "does not support loading in subinterpreters" in str(error), error
                    else:
                        raise AssertionError("imported")
            ''')
            assert failed is None, failed
            interpreters.destroy(second)
            assert out.a == 1 and "'a'" in repr(out) and ModelOutput(b=out).b is out
        print("done")
    """)


def test_imported_anew_it_is_the_same() -> None:
    survives("""
        out = ModelOutput(a=1)
        for name in [name for name in sys.modules if name.startswith("fastoutputs")]:
            del sys.modules[name]
        import fastoutputs
        assert isinstance(out, fastoutputs.ModelOutput) and fastoutputs.ModelOutput(a=1) == out
        assert repr(out) and copy.copy(out) == out
        print("done")
    """)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_reads_writes_and_frees() -> None:
    survives("""
        import os, signal, threading, warnings
        warnings.simplefilter("ignore")  # of threads and fork
        @dataclass
        class Out(ModelOutput):
            a: Any = None
            b: Any = None
        out, stop = Out(1, b=[2]), threading.Event()
        out["extra"] = out
        threads = [threading.Thread(target=lambda: [Out(i) for i in iter(stop.is_set, True)]) for i in "ab"]
        for thread in threads: thread.start()
        children = []
        for i in range(20):
            with slots_only(i % 2 == 0):
                child = os.fork()
                if child == 0:
                    signal.alarm(20)
                    made = [Out(i, j) for j in range(1000)]
                    assert (dict.__len__(made[0]) == 0) == (i % 2 == 0)
                    out.a, out["more"] = made, i
                    assert pickle.loads(pickle.dumps(made[9])) == made[9] and len(out) == 4
                    del made, out
                    gc.collect()
                    os._exit(0)
                children.append(child)
        codes = [os.waitpid(child, 0)[1] for child in children]
        stop.set()
        assert codes == [0] * 20 and out.a == 1 and "more" not in out, codes
        print("done")
    """)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_outputs_travel_between_processes(start: str) -> None:
    survives(
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore")
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            outs = [ModelOutput(a=i, b=[i]) for i in range(50)]
            assert pool.map(copy.deepcopy, outs) == outs
        print("done")
        """,
        start,
    )


LOOPS = {
    "walk": "sum(1 for _ in big.items())",
    "list": "[list(big.items()) for _ in range(1000)]",
    "update": "[ModelOutput(content) for _ in range(1000)]",
    "vars": "[vars(Out(1)).update(few) for _ in range(1000)]",
    "pairs": "[Out((key, 1) for key in content) for _ in range(1000)]",
    "copy": "[big.copy() for _ in range(1000)]",
    "compare": "[big == twin for _ in range(1000)]",
    "repr": "[repr(big) for _ in range(1000)]",
}


@pytest.mark.skipif(sys.platform == "win32", reason="no setitimer there")
@pytest.mark.parametrize("loop", LOOPS)
def test_a_signal_in_a_long_loop(loop: str) -> None:
    """It is heard at the next step of Python at the latest, and what was interrupted is whole."""
    survives(
        """
        import signal, time
        @dataclass
        class Out(ModelOutput):
            a: Any = None
            b: Any = None
        content = {f"key{i}": i for i in range(20_000)}
        few = dict.fromkeys(list(content)[:200])
        big, twin = ModelOutput(content), ModelOutput(content)
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        start = time.monotonic()
        try:
            while True:
                LOOP
        except KeyboardInterrupt:
            pass
        assert time.monotonic() - start < 20
        items = list(big.items())
        assert len(big) == len(items) == 20_000 and list(dict.items(big)) == items
        assert big.to_tuple() == tuple(content.values())
        print("done")
        """.replace("LOOP", LOOPS[loop])
    )


@pytest.mark.parametrize("through", ["field", "extra", "list", "both"])
def test_an_output_that_contains_itself(kind: Kind, through: str) -> None:
    @dataclass
    class Other(kind.base):
        a: Any = None
        b: Any = None

    out, other = kind.Out(1), kind.Out(1)
    for each in (out, other):
        if through == "field":
            each.logits = each
        elif through == "extra":
            each["extra"] = each
        elif through == "list":
            each.logits = [each]
        else:
            each.logits = out if each is other else other
    shown = ModelOutput.__repr__ if through == "extra" and not kind.is_original else repr
    assert "..." in shown(out) or (through == "extra" and kind.is_original)
    with pytest.raises(RecursionError):
        assert out == other
        if through == "extra":  # the fields alone are compared, and they are equal
            raise RecursionError
    if kind.is_original:
        return  # its copies are further copies inside, or have no end
    for twin in (
        copy.deepcopy(out),
        *(pickle.loads(pickle.dumps(out, n)) for n in range(pickle.HIGHEST_PROTOCOL + 1)),
    ):
        inner = twin["extra"] if through == "extra" else twin.logits
        inner = inner[0] if through == "list" else inner.logits if through == "both" else inner
        assert inner is twin and twin is not out and twin.loss == 1
    shallow = copy.copy(out)
    assert shallow is not out and next(iter(shallow.items())) == ("loss", 1) and len(shallow) == 2
