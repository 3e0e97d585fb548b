"""The pictures of the pages: what the report and browse show first, by day and by night, as a browser draws them.

python -m tools.screenshots                     # all of them, into docs/pictures; the map needs the extra `embed`
python -m tools.screenshots report-stop browse

The corpus is the one that the demo's student imitates, without the student. For the second report its recipe follows what the
first one suggests.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console

from dmforge.commands.demo.chain import HABITS, Chain
from dmforge.commands.report import write_report
from dmforge.commands.run import run
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.embed import model_folder
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
WORLDS = 400
SCHEMES = ("light", "dark")
MAX_BYTES = 150_000
"""A page of the documentation is read over slow lines, too."""
QUALITIES = (90, 80, 70, 60)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
COMMAND = "tools.screenshots"
_HINT = re.compile(r'<small class="hint">(put .*?)</small>')
_UNDER_TABLE = re.compile(r"put (.*?) under \[stages\.select_cot\.(\w+)\]")
_THRESHOLD = re.compile(r"<code>(\w+ = [\d.]+)</code>")


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: how large the window is, and what is done before it is taken."""

    width: int
    height: int
    subject: str
    """`stop` and `go` are reports, `browse` is that page."""
    prepare: Callable[[Page], None] = lambda page: None


def _open_wrong_answer(page: Page) -> None:
    page.locator(".facet[data-column=state] input").first.check()
    page.wait_for_selector(".chip")
    page.wait_for_selector("#sample .verdicts")
    while page.evaluate("document.querySelector('video').readyState < 4"):  # the page forbids what `wait_for_function` needs
        page.wait_for_timeout(100)
    page.evaluate("document.querySelector('video').controls = false")  # a paused player goes on saying that it loads


def _open_map(page: Page) -> None:
    page.keyboard.press("p")
    page.wait_for_selector("#map-canvas:focus")
    page.select_option("#map-by", "state")
    page.locator("#map-names li", has_text="kept").wait_for()
    page.locator("#map-regions button").nth(1).focus()


PICTURES: Mapping[str, Picture] = {
    "report-stop": Picture(980, 640, "stop"),
    "report-go": Picture(980, 560, "go"),
    "browse": Picture(1280, 800, "browse", _open_wrong_answer),
    "browse-map": Picture(1280, 860, "browse", _open_map),
}


def file_of(name: str, scheme: str) -> Path:
    """Where a picture stands."""
    return FOLDER / f"{name}-{scheme}.webp"


def follow_suggestions(recipe: Path, report: Path) -> None:
    """Put every threshold that a report suggests into the recipe, where it says."""
    for hint in _HINT.findall(report.read_text("utf-8")):
        for thresholds_html, table in _UNDER_TABLE.findall(hint):
            text, lines = recipe.read_text("utf-8"), "".join(f"{line}\n" for line in _THRESHOLD.findall(thresholds_html))
            heading = re.compile(rf"^\[stages\.select_cot\.{table}\].*\n", re.MULTILINE)
            if heading.search(text) is None:
                text += f"\n[stages.select_cot.{table}]\n"
            recipe.write_text(heading.sub(lambda match, lines=lines: match.group() + lines, text), "utf-8")


def make_subjects(folder: Path, needs_vectors: bool) -> Mapping[str, Path]:
    """The workspace that browse shows, and both reports."""
    console = Console(stderr=True)
    worlds = WorldSettings(videos=WORLDS, study=True)
    workspace, _ = Chain(console, COMMAND).teach(folder, "study", worlds, HABITS)
    subjects = {"stop": folder / "stop.html", "go": folder / "go.html", "browse": folder / "stopped"}
    write_report(workspace, subjects["stop"])
    shutil.copytree(workspace.root, subjects["browse"])
    follow_suggestions(workspace.recipe, subjects["stop"])
    list(run(workspace, console, COMMAND))
    write_report(workspace, subjects["go"])
    if needs_vectors:
        browsed = WorkspaceFolder(subjects["browse"])
        browsed.recipe.write_text(browsed.recipe.read_text("utf-8") + "\n[stages.embed]\n", "utf-8")
        list(run(browsed, console, COMMAND))
    return subjects


@contextmanager
def browsing(workspace: Path) -> Generator[str]:
    """The address of a running browse."""
    command = [sys.executable, "-m", "dmforge.cli", "browse", "-w", str(workspace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)


def take(browser: Browser, picture: Picture, address: str, scheme: str) -> Image.Image:
    """One picture, as the browser draws it."""
    viewport = {"width": picture.width, "height": picture.height}
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")  # pyright: ignore
    page = context.new_page()
    page.goto(address)
    if picture.subject == "browse":
        page.wait_for_selector("#rows button")
    picture.prepare(page)
    page.wait_for_timeout(300)
    image = Image.open(io.BytesIO(page.screenshot()))
    context.close()
    return image.convert("RGB")


def save(image: Image.Image, path: Path) -> int:
    """Save a picture in the best quality that is small enough; its bytes."""
    for quality in QUALITIES:
        image.save(path, quality=quality, method=6)
        if path.stat().st_size <= MAX_BYTES:
            return path.stat().st_size
    sys.exit(f"{path}: {path.stat().st_size:,} bytes are more than {MAX_BYTES:,}: show less, or a smaller window")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(PICTURES)}; all without any")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in PICTURES]:
        parser.error(f"there is no picture {unknown[0]!r}: {', '.join(PICTURES)}")
    names = arguments.names or list(PICTURES)
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        sys.exit("there is no chromium; on Debian: apt-get install -y chromium")
    if "browse-map" in names:
        model_folder()  # what is missing is said before minutes of work
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dmforge-screenshots-") as scratch, sync_playwright() as playwright:
        subjects = make_subjects(Path(scratch), "browse-map" in names)
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        with browsing(subjects["browse"]) as browse_address:
            for name in names:
                picture = PICTURES[name]
                address = browse_address if picture.subject == "browse" else subjects[picture.subject].resolve().as_uri()
                for scheme in SCHEMES:
                    path = file_of(name, scheme)
                    print(f"{path}: {save(take(browser, picture, address, scheme), path):,} bytes")
        browser.close()


if __name__ == "__main__":
    main()
