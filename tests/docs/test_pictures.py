"""Each picture of a page is there, is small, and is one that `make screenshots` makes; each of those is on a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from tools.screenshots import MAX_BYTES, PICTURES, SCHEMES, file_of

ROOT = Path(__file__).parents[2]
SHOWN = {
    (page.parent / target).resolve()
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    for target in re.findall(r"!\[[^\]]+\]\(([^)\s]+\.webp)\)", page.read_text("utf-8"))
}
MADE = {file_of(name, scheme).resolve(): PICTURES[name] for name in PICTURES for scheme in SCHEMES}


def test_pages_show_what_the_tool_makes_and_nothing_else() -> None:
    assert set(MADE) == SHOWN
    assert {path.resolve() for path in (ROOT / "docs/pictures").iterdir()} == SHOWN


@pytest.mark.parametrize("path", sorted(MADE), ids=lambda path: path.stem)
def test_a_picture_is_as_large_as_the_tool_says_and_small_to_load(path: Path) -> None:
    assert path.stat().st_size <= MAX_BYTES
    with Image.open(path) as image:
        assert (image.format, image.size) == ("WEBP", (MADE[path].width, MADE[path].height))
