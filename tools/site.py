"""Builds the documentation as a site: the README, docs/, and what they lead to, with links as they are here.

python -m tools.site --out site
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "benchmarks/results", "examples"]
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
GUIDES = [
    "concepts", "recipes", "sources", "video", "questions", "teachers", "judging", "planning", "shards", "student", "training",
    "audit", "report", "api", "commands", "extending",
]  # fmt: skip
"""The pages for people who use it, in the order in which one reads them; all others explain how it works."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="the folder of the site; what was there is replaced")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        copy_pages(source)
        config = Path(folder) / "mkdocs.yml"
        config.write_text(yaml.safe_dump(settings_of(source, arguments.out.absolute())))
        command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--clean", "--config-file", str(config)]
        sys.exit(subprocess.run(command).returncode)


def copy_pages(source: Path) -> None:
    """Copy every page, and every file that one links to, to the place that it has in the repository."""
    for path in pages():
        copy(path, source)
        for target in LINK.findall(path.read_text("utf-8")):
            linked = (path.parent / target).resolve()
            if linked.is_file() and linked.is_relative_to(ROOT):
                copy(linked, source)


def pages() -> list[Path]:
    places = [ROOT / place for place in PAGES]
    return [page for place in places for page in ([place] if place.is_file() else sorted(place.rglob("*.md")))]


def copy(path: Path, source: Path) -> None:
    target = source / path.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def settings_of(source: Path, site: Path) -> dict[str, object]:
    """The settings of MkDocs: a menu in the order of reading, and no request to anyone else's server."""
    decisions = sorted((source / "docs/decisions").glob("*.md"))
    rest = sorted(path.stem for path in (source / "docs").glob("*.md") if path.stem not in GUIDES)
    return {
        "site_name": "dmforge",
        "docs_dir": str(source),
        "site_dir": str(site),
        "theme": {"name": "readthedocs", "highlightjs": False, "include_search_page": True},
        "use_directory_urls": False,
        "nav": [
            {"dmforge": "README.md"},
            {"Guides": ["examples/README.md", *(f"docs/{name}.md" for name in GUIDES)]},
            {"How it works": [f"docs/{name}.md" for name in rest]},
            {"Why it is so": [f"docs/decisions/{path.name}" for path in decisions]},
            {
                "Measurements": [
                    f"benchmarks/results/{path.name}" for path in sorted((source / "benchmarks/results").glob("*.md"))
                ]
            },
            {"The project": ["CONTRIBUTING.md", "CHANGELOG.md"]},
        ],
        "validation": {"links": {"not_found": "warn", "anchors": "warn"}},
    }


if __name__ == "__main__":
    main()
