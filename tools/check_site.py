"""Checks a built site: every link leads somewhere, and no page fetches anything from elsewhere.

python tools/check_site.py DIRECTORY

Links within the site are followed, to the very anchor. Of those that lead out only the form is looked at, since
whether they answer is not the site's doing; `python -m sphinx -b linkcheck docs build/linkcheck` asks them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser fetches as it shows a page, by tag; a link of another kind (`rel`) is only an address.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}
FETCHED_LINKS = {"stylesheet", "icon", "preload", "manifest"}


class Page(HTMLParser):
    """The anchors of a page, its links, and what it fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and FETCHED_LINKS & set(given.get("rel", "").split()):
            self.fetched.append(given["href"])
        elif (source := FETCHED.get(tag)) and source in given:
            self.fetched.append(given[source])


def wrong_with(site: Path) -> Iterator[str]:
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    if not pages:
        yield f"{site}: no pages"
    for path, page in pages.items():
        name = path.relative_to(site)
        for link in page.fetched:
            if urlsplit(link).scheme not in ("", "data") or urlsplit(link).netloc:
                yield f"{name}: fetches {link}"
        for link in {*page.links, *page.fetched}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if parts.scheme not in ("https", "data", "mailto") or not (
                    parts.netloc or parts.path
                ):
                    yield f"{name}: {link} is no address"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                yield f"{name}: {link} leads nowhere"
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name}: {link} has no such anchor"
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        if re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", text):
            yield f"{style.relative_to(site)}: fetches from elsewhere"


def main() -> int:
    site = Path(sys.argv[1]).resolve()
    wrong = sorted(wrong_with(site))
    print(
        "\n".join(wrong)
        or f"{sys.argv[1]}: {len(list(site.rglob('*.html')))} pages, every link leads somewhere"
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
