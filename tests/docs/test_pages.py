"""The pages say what the code says: what was written from it is fresh, commands exist, links lead somewhere."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dmforge import cli
from tools import commands, keys

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "benchmarks/results").glob("*.md"))]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
GROUP = typer.main.get_command(cli.app)


def test_keys_of_recipes_are_those_of_the_code() -> None:
    assert keys.PAGE.read_text("utf-8") == keys.page(), "stale: make docs"


def test_options_of_commands_are_those_of_the_code() -> None:
    written = commands.without_transcripts(commands.PAGE.read_text("utf-8"))
    assert written == commands.without_transcripts(commands.page({})), "stale: make docs"


def test_every_command_is_shown_at_work() -> None:
    shown = commands.shown(commands.PAGE.read_text("utf-8"))
    assert set(shown) == set(GROUP.commands)  # type: ignore[attr-defined]
    for name, text in shown.items():
        assert text.startswith(f"$ dmforge {name}"), name
        assert re.search(r"^[^$\n]", text, re.MULTILINE), f"{name} says nothing"


@pytest.mark.parametrize(("command", "words"), [("import", ["import", "--list"]), ("audit", ["audit"])])
def test_what_never_varies_is_what_is_shown(command: str, words: list[str]) -> None:
    said = [line.rstrip() for line in CliRunner().invoke(cli.app, words).stdout.splitlines()]
    shown = commands.shown(commands.PAGE.read_text("utf-8"))[command].split("\n$ ")[0].splitlines()[1:]
    assert shown[: commands.MAX_LINES] == said[: commands.MAX_LINES], "stale: make docs"


def typed(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Every call of the program on a page, or in the head of a recipe: its line, and what it is told."""
    fenced = False
    for line in page.read_text("utf-8").splitlines():
        fenced ^= line.startswith("```")
        is_code = line.startswith("#   ") if page.suffix == ".toml" else fenced or line.startswith("    ")
        text = line.lstrip("# $")
        if not is_code or not text.startswith("dmforge "):
            continue
        shell = shlex.shlex(text.split("   ")[0], posix=True, punctuation_chars=";|&")
        shell.whitespace_split = True
        for is_end, words in itertools.groupby(shell, key=lambda word: set(word) <= set(";|&")):
            call = [] if is_end else [*words]
            if call[:1] == ["dmforge"] and len(call) > 1 and not call[1].startswith("-"):
                yield line, call[1:]


CALLS = [(path.name, line, words) for path in (*PAGES, *RECIPES) if path != commands.PAGE for line, words in typed(path)]


def test_there_are_calls_to_look_at() -> None:
    assert len(CALLS) > 80


@pytest.mark.parametrize(("page", "line", "words"), CALLS, ids=[f"{page}: {' '.join(words)}"[:70] for page, _, words in CALLS])
def test_a_command_that_a_page_names_exists_and_takes_these_options(page: str, line: str, words: list[str]) -> None:
    del page, line
    name, *told = words
    GROUP.commands[name].make_context(name, told)  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor and target.suffix == ".md":
            heads = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            known = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in known, f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_points_to_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    for place in re.findall(
        r"`((?:tests|benchmarks|chaos|studies|tools|recipes|commands|generators|filters|curation|schemas|trainers)/[\w./-]+)`",
        text,
    ):
        assert (ROOT / place).exists() or (ROOT / f"{place}.py").is_file(), place
    for module, options in re.findall(r"python -m ((?:benchmarks|chaos|studies|tools)\.\w+)([^`\n#]*)", text):
        place = ROOT / module.replace(".", "/")
        source = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__main__.py"
        assert source.is_file(), module
        for option in re.findall(r"--[a-z][a-z-]*", options):
            assert f'"{option}"' in source.read_text("utf-8"), f"{module} {option}"
    for test in re.findall(r"`(test_\w+)`", text):
        assert any(f"def {test}(" in file.read_text("utf-8") for file in (ROOT / "tests").rglob("test_*.py")), test
