"""Browse in a real browser: by keyboard alone, wide and narrow, light and dark, with hostile texts as nothing but text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from dmforge.curation.sources.reviews import review_path
from dmforge.curation.workspace_folder import WorkspaceFolder
from tests.report.test_browse import browsing, said
from tests.report.test_page import OUTSIDE, OVERLAPS
from tests.report.test_review import Serving, until

ALIVE = "iframe, a[href^=javascript], [onclick], [onload], [onerror], [onfocus], [onmouseover]"
CONTRAST = """() => {
  const luminance = (color) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = color.slice(0, 3).map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = (top, below) => {
    const share = top.length > 3 ? top[3] : 1;
    return [0, 1, 2].map((i) => top[i] * share + below[i] * (1 - share));
  };
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const color = (text) => { // whatever notation it has
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const behind = (one) => {
    const layers = [];
    for (let at = one; at; at = at.parentElement) layers.push(color(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const parent = node.parentElement;
    if (!node.data.trim() || !parent.checkVisibility() || parent.closest('.unseen, :disabled, option, script')) continue;
    const back = behind(parent), front = over(color(getComputedStyle(parent).color), back);
    const [light, dark] = [luminance(front), luminance(back)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) weak.push([ratio.toFixed(2), parent.className, node.data.trim().slice(0, 30)]);
  }
  return weak;
}"""


@contextmanager
def opened(
    browser: Browser, server: Serving, width: int, scheme: str = "light", view: str = "", refusals: int = 0
) -> Iterator[Page]:
    """Its page, in which nothing goes wrong but requests that are to be refused, so many."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # pyright: ignore
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append("dialog"), dialog.dismiss()))
    own = f"http://127.0.0.1:{server.port}/"
    page.on("request", lambda request: None if request.url.startswith((own, "data:")) else wrong.append(request.url))
    try:
        page.goto(server.address + (f"&{view}" if view else ""))
        page.wait_for_selector("#rows button")
        yield page
        assert [message for message in wrong if "400 (Bad Request)" not in message] == []
        assert len(wrong) == refusals
        assert page.evaluate("window.planted") is None
    finally:
        context.close()


def shown(page: Page, number: int) -> None:
    until(page, f"document.querySelector('#shown').textContent === '{number}' && !document.querySelector('.waiting')")


@pytest.mark.slow
def test_everything_can_be_done_by_keyboard(browser: Browser, workspace: WorkspaceFolder, shots: Path) -> None:
    with browsing(workspace, "--as", "anna") as server, opened(browser, server, 1400, refusals=1) as page:
        total = int(page.inner_text("#shown"))
        assert "token" not in page.url
        press = page.keyboard.press
        press("?")
        page.wait_for_selector("#help[open]")
        press("Escape")
        page.wait_for_selector("#help", state="hidden")
        press("/")
        page.keyboard.type("outside window.planted=1<")
        shown(page, said(server, "/rows?q=outside+window.planted%3D1%3C")["total"])
        press("Escape")
        assert page.evaluate("document.activeElement === document.body")
        assert "<script>window.planted=1</script>" in page.inner_text("#rows")
        press("a")
        shown(page, total)
        press("f")
        press("Tab")
        press(" ")
        until(page, "document.querySelectorAll('.chip').length === 1")
        chosen = int(page.inner_text("#shown").replace(",", ""))
        assert 0 < chosen < total
        page.reload()  # the address is the view
        shown(page, chosen)
        press("v")
        page.wait_for_selector("#views[open]")
        page.keyboard.type("my <b>view</b>")
        press("Enter")
        page.wait_for_selector("#view-list .open")
        press("Escape")
        page.wait_for_selector("#views", state="hidden")  # chromium closes it a little after the key
        press("a")
        shown(page, total)
        press("v")
        page.wait_for_selector("#view-list .open:focus")
        press("Enter")
        shown(page, chosen)
        page.go_back()
        shown(page, total)
        press("f")  # and a kind that has windows
        page.goto(server.address + "&state=kept+in+cot")
        shown(page, 12)
        page.wait_for_selector("#sample video")
        first = page.get_attribute("#sample", "data-id")
        until(page, "document.querySelector('video').readyState > 0")
        press("l")
        until(page, "document.querySelector('video').currentTime > 1.2")
        until(page, "Number(document.querySelector('.axis .now').getAttribute('x')) > 80")
        until(page, "document.querySelector('video').paused && document.querySelector('video').currentTime >= 4")
        press("c")
        page.wait_for_selector("#sample.side .column")
        press("c")
        page.wait_for_selector("#sample:not(.side) .question")
        press("y")
        page.wait_for_selector(f"#rows button[data-id='{first}'] .said[data-decision=keep]")
        page.wait_for_selector("#rows li:nth-child(2) [aria-current]")
        second = page.get_attribute("#rows li:nth-child(2) button", "data-id")
        page.wait_for_selector(f"#sample[data-id='{second}']")
        press("m")
        page.wait_for_selector("#comment-dialog[open]")
        page.keyboard.type("who says so?")
        press("Tab")
        press("Enter")
        page.wait_for_selector(f"#rows button[data-id='{second}'] .said[data-decision=comment]")
        until(page, "document.querySelector('#decided').textContent === 'commented: who says so?'")
        press("x")
        press("2")
        page.wait_for_selector(f"#rows button[data-id='{second}'] .said[data-decision=reject]")
        page.wait_for_selector("#rows li:nth-child(3) [aria-current]")
        third = page.get_attribute("#rows li:nth-child(3) button", "data-id")
        page.wait_for_selector(f"#sample[data-id='{third}']")
        press("e")
        page.wait_for_selector("#gold-dialog[open]")
        assert page.input_value("#gold-windows") == "1.00 - 4.00"
        page.fill("#gold-windows", "9-2")
        press("Enter")
        page.wait_for_selector("#gold-dialog .dialog-trouble:not([hidden])")
        assert "'9.00 - 2.00' is no window" in page.inner_text("#gold-dialog .dialog-trouble")
        page.fill("#gold-windows", "2-3.5, 5.00 - 6.00")
        press("Enter")
        page.wait_for_selector("#gold-dialog", state="hidden")
        press("k")
        page.wait_for_selector("#rows li:nth-child(2) [aria-current]")
        page.screenshot(path=shots / "browse-1400.png")
    lines = [json.loads(line) for line in review_path(workspace, "anna").read_text().splitlines()]
    assert [(line["decision"], line["reason"], line["note"]) for line in lines] == [
        ("keep", "", ""), ("comment", "", "who says so?"), ("reject", "wrong window", "who says so?"),
        ("reject", "wrong gold", ""),
    ]  # fmt: skip
    assert lines[3]["gold"]["windows"] == ["2.00 - 3.50", "5.00 - 6.00"]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [500, 900, 1400])
def test_it_can_be_read_at_every_width_by_day_and_by_night(
    browser: Browser, workspace: WorkspaceFolder, shots: Path, width: int, scheme: str
) -> None:
    overlaps = OVERLAPS.replace(".concat(document.querySelector('.top'))", "")
    with browsing(workspace, "--as", "anna") as server, opened(browser, server, width, scheme, "q=outside") as page:

        def readable(name: str) -> None:
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(OUTSIDE.replace(".scroll, svg", ".scroll, .columns, svg")) == []
            assert page.evaluate(CONTRAST) == []
            page.screenshot(path=shots / f"browse-{width}-{scheme}-{name}.png")

        readable("list")
        page.keyboard.press("j")
        page.wait_for_selector("#sample .verdicts")
        readable("card")
        assert page.evaluate(overlaps) == []
        page.keyboard.press("c")
        page.wait_for_selector("#sample.side .column")
        readable("side")
        page.keyboard.press("f")
        page.locator("#scores summary").click()
        page.wait_for_selector("#scores .score svg rect")
        readable("filters")
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        page.wait_for_selector("#help[open]")
        readable("help")


@pytest.mark.slow
def test_hostile_texts_are_text_and_markup_that_came_in_would_be_stopped(browser: Browser, workspace: WorkspaceFolder) -> None:
    with browsing(workspace) as server, opened(browser, server, 1400, view="sort=length") as page:
        for facet in ("source", "licence", "teacher"):
            page.locator(f".facet[data-column={facet}] summary").click()
        page.wait_for_selector(".facet[data-column=source] li")
        assert "<b onclick=window.planted='source'>" in page.inner_text(".facet[data-column=source]")
        for _ in range(int(page.locator("#rows button").count()) - 1):
            before = page.get_attribute("#sample", "data-id")
            page.keyboard.press("j")
            until(page, f"document.querySelector('#sample').dataset.id !== '{before}'")
            assert (
                page.locator("iframe, a[href^=javascript], [onclick], [onload], [onerror], [onfocus], [onmouseover]").count()
                == 0
            )
        assert page.locator("script").count() == 1
        text = page.inner_text("#rows")
        assert "U+202E" in text
        assert "\u202e" not in text
    with browsing(workspace) as server:
        page = browser.new_page()
        page.goto(server.address)
        page.wait_for_selector("#rows button")
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=planted=8>')")
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'planted = 7'}))")
        page.wait_for_timeout(200)
        assert page.evaluate("window.planted") is None
        page.close()
