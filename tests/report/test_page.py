"""The report in a real browser: it shows everything, runs nothing foreign, and can be read anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands.report import write_report
from dmforge.curation.report.training_curves import training
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError

OVERLAPS = """() => {
  const boxes = [];
  for (const card of [...document.querySelectorAll('.card')].slice(0, 14).concat(document.querySelector('.top'))) {
    const found = [];
    const walker = document.createTreeWalker(card, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode());) {
      const parent = node.parentElement;
      if (!node.data.trim() || !parent.checkVisibility()) continue;
      if (parent.closest('details:not([open])') && !parent.closest('summary')) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const box of range.getClientRects()) if (box.width > 1) found.push([box, parent]);
    }
    for (let i = 0; i < found.length; i++) for (let j = i + 1; j < found.length; j++) {
      const [[a, p], [b, q]] = [found[i], found[j]];
      if (p === q || p.contains(q) || q.contains(p)) continue;
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      // lines of one paragraph touch: a third of a line is where reading suffers
      if (wide > 2 && high > 7) boxes.push([p.className, q.className, p.textContent.slice(0, 30), q.textContent.slice(0, 30)]);
    }
  }
  return boxes;
}"""
OUTSIDE = """() => [...document.querySelectorAll('main *, header *')].filter((one) => {
  const box = one.getBoundingClientRect();
  return one.checkVisibility() && box.width && !one.closest('.scroll, svg, .bars th')
    && (box.right > innerWidth + 1 || box.left < -1);
}).map((one) => one.tagName + '.' + one.className)"""


@pytest.fixture(scope="module")
def report(built: WorkspaceFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    log = tmp_path_factory.mktemp("training") / "log.jsonl"
    log.write_text("".join(json.dumps({"step": step, "loss": 1 / step, "lr": 1e-3}) + "\n" for step in range(1, 30)))
    return write_report(built, tmp_path_factory.mktemp("report") / "report.html", [log.parent], built.root)


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    yield from opened(browser, report, 1440)


def opened(browser: Browser, report: Path, width: int, **more: object) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": width, "height": 900}, **more)  # pyright: ignore
    found = context.new_page()
    told: list[str] = []
    found.on("console", lambda message: told.append(message.text) if message.type in ("error", "warning") else None)
    found.on("pageerror", lambda error: told.append(str(error)))
    found.on("dialog", lambda dialog: (told.append(f"dialog {dialog.message}"), dialog.dismiss()))
    found.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else told.append(request.url))
    found.goto(report.as_uri())
    try:
        yield found
        assert told == []
        assert found.evaluate("window.planted") is None
    finally:
        context.close()


def shown(page: Page) -> int:
    return page.locator(".card:visible").count()


def test_every_plant_is_there_as_text_and_none_of_it_is_alive(page: Page) -> None:
    assert "<script>window.planted='recipe'</script>" in page.inner_text("h1")
    text = page.inner_text("#samples")
    for told in ("<script>window.planted=1</script>", "onerror=window.planted=2>", "{{ 7*7 }}", "U+202E", "U+0007", "U+0000"):
        assert told in text
    assert page.locator("script").count() == 1
    assert page.locator("iframe, a[href^=javascript], [onclick], [onload], [onerror], [onfocus], [onmouseover]").count() == 0
    assert {src[:16] for src in page.eval_on_selector_all("img", "found => found.map(i => i.src)")} == {"data:image/webp;"}
    page.hover("#samples .card >> nth=0")


def test_a_reason_of_the_funnel_shows_its_cards_alone(page: Page) -> None:
    link = page.locator(".flow.wide a[data-group]").first
    group = link.get_attribute("data-group")
    link.click()
    assert shown(page) == page.locator(f".card[data-group='{group}']").count() > 0
    assert page.locator("#by-group").input_value() == group
    assert page.url.endswith(link.get_attribute("href") or "nowhere")


def test_markup_that_came_in_all_the_same_would_be_stopped(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.goto(report.as_uri())
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=planted=8>')")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'planted = 7'}))")
    page.wait_for_timeout(200)
    assert page.evaluate("window.planted") is None
    assert any("Content Security Policy" in line for line in told)
    page.close()


def test_funnel_figures_and_cards_say_what_the_lake_holds(page: Page) -> None:
    assert "12" in page.inner_text(".summary")
    flow = page.locator(".flow.wide").text_content() or ""
    assert "select_cot" in flow
    assert "below: window" in flow
    assert page.locator(".flow.narrow").is_hidden()
    assert page.locator("#scores tbody tr").count() > 8
    assert page.locator("#training polyline").count() == 2
    assert page.locator("#training .curve", has_text="loss").locator(".along").inner_text().split() == ["1", "update", "29"]
    assert page.locator("#training .curve", has_text="loss").locator(".upright").inner_text().split() == ["1", "0.03448"]
    compared = page.locator("#compared figure")
    assert compared.count() > 10
    assert "Wasserstein 0 s" in page.locator("#compared figure", has_text="length of looks").inner_text()
    card = page.locator(".card[data-group='kept in cot']").first
    assert card.locator(".strip img").count() == 12
    assert card.locator(".strip img.in").count() == 3
    assert card.locator(".patches li").count() == 3
    assert card.locator(".stamp").first.inner_text() == "<1.2 seconds>"
    assert card.locator(".piece.policy .look").inner_text() == "<span>1.00 - 4.00</span><fps>2</fps>"
    card.locator("summary").click()
    assert card.locator(".lineage code").count() >= 4
    assert "outside" in page.locator(".card[data-group='select_cot: below threshold: window']").first.inner_text()
    assert page.locator(".card .choices .gold").first.inner_text().startswith("B. blue")


def test_it_begins_with_a_verdict_and_kept_samples_say_what_they_fail(page: Page) -> None:
    assert page.inner_text(".verdict .word") == "Stop"
    reasons = page.inner_text(".verdict li")
    assert "fail another filter" in page.inner_text(".verdict ul")
    assert "stop over" in reasons
    assert "last run" in page.inner_text(".facts-of-run")
    rows = page.locator("#checks tbody tr")
    assert rows.count() == 16
    stopping = page.locator("#checks tr.stop")
    assert stopping.count() == page.locator(".verdict li").count()
    linked = stopping.first.locator("a").first
    card = page.locator(linked.get_attribute("href") or "nowhere")
    name = linked.get_attribute("title") or "nothing"
    assert name in (card.text_content() or "")
    assert "fails " in card.locator(".fault").first.inner_text()
    assert page.locator(".card:not(.kept) .fault").count() == 0


def test_filters_and_search_narrow_the_cards(page: Page) -> None:
    every = shown(page)
    assert every == page.locator(".card").count() > 12
    page.select_option("#by-group", "kept in cot")
    assert shown(page) == 12
    assert page.inner_text("#count") == f"12 of {every} cards"
    page.fill("#words", "window.planted=5 iframe")
    assert shown(page) == 1
    page.fill("#words", "nothing is like this")
    assert shown(page) == 0
    page.click("#all")
    assert shown(page) == every
    page.select_option("#by-kind", "mcq")
    assert 0 < shown(page) < every
    page.select_option("#by-kind", "")
    page.select_option("#by-source", index=1)
    assert 0 < shown(page) <= every


def test_the_keyboard_does_it_all(page: Page) -> None:
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.id") == "card-2"
    page.keyboard.press("o")
    assert page.locator("#card-2 details").get_attribute("open") is not None
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.id") == "card-1"
    page.keyboard.press("/")
    page.keyboard.type("joke")
    assert page.input_value("#words") == "joke"
    page.keyboard.press("Escape")
    assert page.input_value("#words") == ""
    assert shown(page) == page.locator(".card").count()


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (1440, "light"), (1440, "dark")])
def test_it_can_be_read_on_a_phone_and_on_a_desk(browser: Browser, report: Path, shots: Path, width: int, scheme: str) -> None:
    for page in opened(browser, report, width, color_scheme=scheme):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OUTSIDE) == []
        assert page.evaluate(OVERLAPS) == []
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 23, 26)"
        assert dark == (scheme == "dark")
        page.screenshot(path=shots / f"report-{width}-{scheme}.png")
        page.evaluate("document.getElementById('samples').scrollIntoView({behavior: 'instant'})")
        page.screenshot(path=shots / f"report-{width}-{scheme}-samples.png")


def test_it_prints_with_everything_open(page: Page, shots: Path) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".filters").is_hidden()
    assert page.locator("nav").is_hidden()
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink')") == "#1c2226"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#card-1 .lineage").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#card-1 details").get_attribute("open") is None
    printed = page.pdf(path=shots / "report.pdf", format="A4")
    assert printed.startswith(b"%PDF")


def test_without_script_every_card_is_there(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator(".filters").is_hidden()
    assert page.locator(".card:visible").count() > 12
    context.close()


def test_the_same_lake_gives_the_same_page_and_nothing_else(built: WorkspaceFolder, report: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.root.rglob("*")}
    one, other = (write_report(built, tmp_path / f"{n}.html").read_bytes() for n in (1, 2))
    assert one == other
    assert {path: path.stat().st_mtime_ns for path in built.root.rglob("*")} == before
    assert len(one) < 4_000_000
    assert not re.search(rb'(?:src|href)="(?!data:|#)', one)


def test_missing_media_are_said(workspace: WorkspaceFolder, tmp_path: Path) -> None:
    for path in workspace.media.glob("*/*.mp4"):
        path.unlink()
    text = write_report(workspace, tmp_path / "report.html").read_text("utf-8")
    assert "The renditions of this video are not in media/." in text
    assert "data:image" not in text.split("<main>")[1]


def test_a_page_is_not_put_among_what_the_workspace_holds(workspace: WorkspaceFolder) -> None:
    for place in (workspace.lake / "report.html", workspace.recipe, workspace.media / "../lake/x.html", workspace.root):
        with pytest.raises(InputError):
            write_report(workspace, place)


@pytest.mark.parametrize("wrong", ["empty", "missing"])
def test_a_folder_that_is_no_trainings_is_named(workspace: WorkspaceFolder, tmp_path: Path, wrong: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no training here") as error:
        write_report(workspace, tmp_path / "r.html", [tmp_path / wrong])
    assert error.value.where == f"--training {tmp_path / wrong}"


def test_the_command_says_where_the_page_is(workspace: WorkspaceFolder, tmp_path: Path) -> None:
    told = CliRunner().invoke(cli.app, ["report", str(tmp_path / "r.html"), "-w", str(workspace.root), "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["bytes"] == (tmp_path / "r.html").stat().st_size
    (tmp_path / "log.jsonl").write_text("no log\n")
    words = ["report", str(tmp_path / "r.html"), "-w", str(workspace.root), "--training", str(tmp_path)]
    assert CliRunner().invoke(cli.app, words).exit_code == 2
    words = ["audit", "--html", str(tmp_path / "r.html"), "-w", str(workspace.root)]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 2
    assert "dmforge report" in result.output


def test_a_log_with_anything_in_it_becomes_curves_or_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    values = ["3", "NaN", "1", "1" + "0" * 400, "Infinity", "true", '"<b>"', "2"]
    log.write_text("".join(f'{{"step": "{n}", "loss": {value}}}\n' for n, value in enumerate(values)))
    (curve,) = training(tmp_path).curves
    assert (curve.name, curve.first, curve.last, curve.points) == ("loss", 3, 2, "0.0,0.0 85.7,80.0 300.0,40.0")
    assert training(tmp_path).steps == len(values) - 1
    for line in ('{"step": 1e999}', '{"loss": 1}', "[" * 100_000, "\ufeff{}"):
        log.write_text(line + "\n")
        with pytest.raises(InputError, match="not the log"):
            training(log)
