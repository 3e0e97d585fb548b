"""The page of an inspection in a real browser: it shows what was found, and nothing in it is alive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from typer.testing import CliRunner

from dmforge import cli
from tests.report.hostile import PLANTS
from tests.report.test_page import OUTSIDE, opened

OPTIONS = ["jumps", "falls", "spins", "turns"]


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a set in which every text is hostile: videos, questions, options, fields, and names of files."""
    folder = tmp_path_factory.mktemp("set") / "<img src=x onerror=window.planted='title'>"
    folder.mkdir()
    rows: list[dict[str, object]] = []
    for number, plant in enumerate(PLANTS):
        row = {
            "video": f"{plant}{number}",
            "kind": "mcq",
            "question": f"{plant} turns {number}?",
            "options": OPTIONS,
            "answer": "B",
        }
        rows += [row, row, row | {"answer": plant}, row | {"video": "x", "question": f"What can be heard? {plant}"}]
        rows += [{"video": plant, "kind": "open", "question": "x", plant: 1}, row | {"options": [plant, *OPTIONS[1:]]}]
    for name in ("train'><script>window.planted=9<.jsonl", "test\u202e.jsonl"):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = tmp_path_factory.mktemp("page") / "inspection.html"
    done = CliRunner().invoke(cli.app, ["inspect", str(folder), "--html", str(page), "--json"])
    assert done.exit_code == 0, done.output
    return page


@pytest.fixture
def page(browser: Browser, inspected: Path) -> Iterator[Page]:
    yield from opened(browser, inspected, 1440)


def test_hostile_texts_are_there_as_texts_and_none_of_them_is_alive(page: Page) -> None:
    assert "onerror=window.planted='title'" in page.inner_text("h1")
    text = page.inner_text("#examples")
    for words in ("<script>window.planted=1</script>", "onerror=window.planted=2>", "U+202E"):
        assert words in text
    assert page.locator("script, iframe, img, a[href^=javascript], [onclick], [onload], [onerror], [onfocus]").count() == 0
    checks = page.locator(".checks tbody th").all_inner_texts()
    assert {"unreadable", "invalid", "silent", "duplicate", "across_splits", "guess_by_letter"} <= set(checks)
    assert page.locator("#examples .card").count() == len(checks) - 1  # the last row is the sum


def test_it_would_run_nothing_that_came_in_all_the_same(browser: Browser, inspected: Path) -> None:
    page = browser.new_page()
    page.goto(inspected.as_uri())
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=planted=8>')")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'planted = 7'}))")
    page.wait_for_timeout(200)
    assert page.evaluate("window.planted") is None
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(500, "light"), (500, "dark"), (1400, "light"), (1400, "dark")])
def test_it_can_be_read_on_a_phone_and_on_a_desk(
    browser: Browser, inspected: Path, shots: Path, width: int, scheme: str
) -> None:
    for page in opened(browser, inspected, width, color_scheme=scheme):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OUTSIDE) == []
        page.screenshot(path=shots / f"inspection-{width}-{scheme}.png", full_page=True)


def test_a_page_of_a_sound_set_says_so(tmp_path: Path) -> None:
    row = {"video": "a.mp4", "kind": "open", "question": "What is it?", "answer": "a boat"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    done = CliRunner().invoke(cli.app, ["inspect", str(tmp_path / "a.jsonl"), "--html", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "No check that could be made found anything." in text
    assert "<script" not in text
