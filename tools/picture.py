"""The picture of a report that stands in the README: the top of the page and one sample, as a browser shows them.

dmforge demo --out demo
dmforge report demo/report.html -w demo/workspace
python -m tools.picture demo/report.html docs/report.png
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 980, 1280


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(arguments.report.resolve().as_uri())
        # the two that say most, one under the other
        page.evaluate("""() => {
            for (const id of ['distributions', 'scores', 'cost', 'agreement']) document.getElementById(id)?.remove();
            const aside = '#samples > :not(h2):not(.card), .card:nth-of-type(n + 2), #funnel details';
            for (const element of document.querySelectorAll(aside)) element.remove();
        }""")
        page.screenshot(path=arguments.picture, full_page=True)
        browser.close()
    Image.open(arguments.picture).convert("RGB").quantize(192).save(arguments.picture, optimize=True)
    print(f"{arguments.picture}: {arguments.picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
