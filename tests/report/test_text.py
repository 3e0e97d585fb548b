"""Foreign text on a page can neither become markup nor hide or turn around what stands beside it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from dmforge.curation.report.html_text import plain, visible

UNSEEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, tuple[str, ...]]] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(st.characters(), max_size=60) | st.text("<>&\"'/=ab \u202e\u0000", max_size=60))
def test_any_text_becomes_text_alone(text: str) -> None:
    shown = str(visible(text))
    tags = Tags()
    tags.feed(shown)
    tags.close()
    assert tags.found <= {("bdi", ()), ("span", ("class", "title"))}
    assert not UNSEEN.search(tags.text)
    assert not UNSEEN.search(plain(text))


def test_what_cannot_be_seen_is_shown_by_its_number() -> None:
    assert "U+202E" in visible("a\u202eb")
    assert "U+0000" in visible("a\0b")
    assert "U+202E" in plain("a\u202eb")
    assert "\u200d" in visible("\U0001f469\u200d\U0001f680")
    assert "and 5 characters more" in visible("x" * 15, 10)
