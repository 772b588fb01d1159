"""A Sphinx extension: what pages show beyond Markdown.

The figure of the first page is drawn from what `make bench` recorded. Names of tests, which are long, may break
between their words.
"""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

RECORD = Path(__file__).parents[1] / "bench" / "results" / "report.json"
ORIGINAL, OURS = "transformers ModelOutput", "fastoutputs in step"
OPERATIONS = {
    "make": "Out(loss=a, logits=b)",
    "read": "out.logits",
    "index": "out[0]",
    "key": 'out["logits"]',
    "to_tuple": "out.to_tuple()",
}


def time(nanoseconds: float) -> str:
    """Three digits."""
    value, unit = (nanoseconds / 1000, "µs") if nanoseconds >= 1000 else (nanoseconds, "ns")
    return f"{value:.{max(0, 3 - len(str(int(value))))}f} {unit}"


class BeforeAfter(Directive):
    """``{before-after}``: two bars an operation, the original's and ours, each pair on its own scale."""

    def run(self) -> list[nodes.Node]:
        self.state.document.settings.env.note_dependency(str(RECORD))
        record = json.loads(RECORD.read_text(encoding="utf-8"))
        lines = ['<figure class="before-after"><table>']
        lines.append(
            "<thead><tr><th></th><th>transformers</th><th>fastoutputs</th><th></th></tr></thead>"
        )
        for case, shown in OPERATIONS.items():
            before, after = (record["cases"][case][who]["best"] for who in (ORIGINAL, OURS))
            bars = "".join(
                f'<span class="bar {kind}" style="width: {max(100 * value / before, 0.5):.1f}%"></span>'
                for kind, value in (("before", before), ("after", after))
            )
            lines.append(
                f"<tr><th><code>{escape(shown)}</code></th><td>{time(before)}</td><td>{time(after)}</td>"
                f"<td>{before / after:.0f} ×</td></tr>"
                f'<tr class="bars" aria-hidden="true"><td colspan="4">{bars}</td></tr>'
            )
        python = record["machine"]["python_version"].split()[0]
        lines.append(
            f"</table><figcaption>What an operation takes: an output of five fields, two of them given, "
            f"on CPython {python}. Measured by <code>make bench</code>; times are of one machine, so "
            f"compare within a row.</figcaption></figure>"
        )
        return [nodes.raw("", "\n".join(lines), format="html")]


def break_names_of_tests(app: Sphinx, tree: nodes.document, page: str) -> None:
    for node in list(tree.findall(nodes.literal)):
        if "::test_" in (name := node.astext()):
            shown = re.sub(r"(/|::|_)", r"\1<wbr>", escape(name))
            html = f'<code class="docutils literal test">{shown}</code>'
            node.replace_self(nodes.raw("", html, format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-resolved", break_names_of_tests)
    app.add_directive("before-after", BeforeAfter)
    return {"parallel_read_safe": True}
