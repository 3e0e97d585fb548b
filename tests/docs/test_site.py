"""The site is built from the pages by one command: each link leads somewhere, and no other server is asked for anything."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """The targets of a page: what it links to, and what a browser fetches for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.linked: list[str] = []
        self.fetched: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("src" if tag in ("img", "script") else "href")
        if target and tag in ("img", "script", "link"):
            self.fetched.append(target)
        elif target and tag == "a":
            self.linked.append(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    subprocess.run([sys.executable, "-m", "tools.site", "--out", folder], cwd=ROOT, check=True)
    return folder


def test_every_page_is_in_it_and_every_link_leads_somewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(list((ROOT / "docs").rglob("*.md")))
    for path in pages:
        page = Page(path)
        for target in page.linked + page.fetched:
            place = target.partition("#")[0].partition("?")[0]
            if place and "://" not in place and path.name != "404.html":
                assert (path.parent / place).exists(), f"{path.relative_to(site)} leads to {target}"


def test_a_browser_asks_no_other_server(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert not [target for target in Page(path).fetched if target.startswith(("http:", "https:", "//"))], path
