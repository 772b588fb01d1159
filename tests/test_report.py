"""What install() says, in a terminal and in a notebook."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from fastoutputs.cli.doctor import compiler_name
from fastoutputs.integrations.report import Report, Reports

NAMES = [f"transformers.modeling_outputs.Output{number}" for number in range(30)]


def full() -> Report:
    return Report(
        "transformers",
        "5.24.0",
        rebuilt=NAMES,
        shared={f"fastoutputs.{name}": name for name in NAMES},
        failed={"here.<locals>.Mine": "TypeError: one is enough " * 9},
        unknown=["__getitem__"],
        modules=["transformers.utils", "transformers.file_utils", "here"],
        live_instances=1,
        milliseconds=12.34,
    )


def test_a_table_in_the_terminal() -> None:
    report = full()
    assert str(report) == repr(report)
    first, second, *rows = str(report).splitlines()
    assert f"{first} {second.strip()}" == (
        "transformers 5.24.0: 30 output classes rebuilt (12 ms). "
        "More will follow as transformers imports them."
    )
    titles = [row[2:13].strip() for row in rows if row[2:3].strip()]
    assert titles == ["rebuilt", "replaced", "shared", "left", "made before", "unknown"]
    assert max(map(len, str(report).splitlines())) <= 88
    assert "Output0, Output1 and 28 more" in str(report)
    words = " ".join(str(report).split())
    assert "in 3 modules: transformers.utils, transformers.file_utils and 1 more" in words
    assert "here.<locals>.Mine: TypeError" in str(report) and "1 output," in str(report)


def test_nothing_is_named_that_did_not_happen() -> None:
    report = Report("transformers", "5.24.0", rebuilt=["a.B"], milliseconds=0.25)
    assert str(report).startswith("transformers 5.24.0: 1 output class rebuilt (0.2 ms).")
    assert [line.split()[0] for line in str(report).splitlines()[2:]] == ["rebuilt"]


def test_before_anything_was_imported() -> None:
    other = Report("diffusers", "0.42.1", rebuilt=["diffusers.X"])
    report = Report("transformers", "5.24.0", waiting=True, milliseconds=3.21)
    both = Reports(transformers=report, diffusers=other)
    assert str(both) == repr(both) and str(report) in str(both)
    text = " ".join(str(both).split())
    assert text.startswith(
        "transformers 5.24.0: not imported yet (3.2 ms). Its output classes will be compiled from "
        "the start. diffusers 0.42.1: 1 output class rebuilt"
    )
    assert report._repr_html_().count("<table>") == 1
    assert both._repr_html_().count("<table>") == 2 and "diffusers 0.42.1" in both._repr_html_()


def test_what_still_holds_an_old_class_is_shown_if_it_is_known() -> None:
    report = full()
    report.left = {f"here.table[{number}]": "held by C code" for number in range(20)}
    assert "20 places with an old class:" in str(report) and "and 12 more" in str(report)
    assert "here.table[7]" in str(report) and "here.table[8]" not in str(report)
    assert "here.table[19]" in report._repr_html_()


def test_a_table_in_a_notebook() -> None:
    class Tags(HTMLParser):
        open_tags: tuple[str, ...] = ()
        text = ""

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.open_tags = (*self.open_tags, tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags[-1] == tag
            self.open_tags = self.open_tags[:-1]

        def handle_data(self, data: str) -> None:
            self.text += f"{data} "

    tags = Tags()
    tags.feed(full()._repr_html_())
    assert tags.open_tags == () and "here.<locals>.Mine: TypeError" in tags.text
    assert all(name in tags.text for name in NAMES) and "12 ms" in tags.text
    assert len(re.findall("<tr>", full()._repr_html_())) == 7


def test_time_adds_up() -> None:
    report = Report("transformers", "5.24.0")
    with report.timed():
        sum(range(10_000))
    once = report.milliseconds
    with report.timed():
        sum(range(10_000))
    twice = report.milliseconds
    assert 0 < once < twice
    with report.timed():
        for _ in range(50):
            with report.timed():
                sum(range(10_000))
        inside = report.milliseconds
    assert report.milliseconds - twice < 2 * (inside - twice) + 1, "not the sum of both"


def test_compilers_have_names() -> None:
    named = {
        "12.2.0": "GCC 12.2",
        "14.1.1 20240522 (Red Hat 14.1.1-4)": "GCC 14.1",
        "Clang 15.0.7 (https://github.com/llvm/llvm-project 8dfdcc7b7bf6)": "Clang 15.0",
        "Debian Clang 19.1.7 (3)": "Debian Clang 19.1",
        "Apple LLVM 14.0.0 (clang-1400.0.29.202)": "Apple LLVM 14.0",
        "MSVC 1939": "MSVC 19.39",
        "": "unknown",
        "tcc": "tcc",
    }
    assert {text: compiler_name(text) for text in named} == named
