"""What the pages show can be typed: Python runs, TOML is read by what it is for, shell names what exists, tables are tables."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import datasets
import pytest
import typer
from pydantic import TypeAdapter

from dmforge import cli
from dmforge.generators.inference.engines.engine_settings import EngineSettings
from dmforge.recipe import STAGES, RecipeFile, stage_class, stage_values
from dmforge.schemas.config import parse_config
from dmforge.schemas.looks import Look, Window
from dmforge.trainers.evaluation_settings import EvaluationSettings
from dmforge.trainers.sdgrpo.sdgrpo_settings import SdgrpoSettings, WriterSettings
from dmforge.trainers.training_settings import SftSettings
from tests.student.students import speck
from tests.support.barcodes import Case, write
from tests.support.corpora import filmed

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "benchmarks/results").glob("*.md"))]
OF_MODULES = ROOT / "docs/extending.md"
"""Its blocks are files of a package, and used as such: `test_extending.py`."""
OF_A_WORKSPACE = ROOT / "docs/api.md"
"""Its blocks need a finished workspace: `tests/api/test_api.py`."""
ELSEWHERE = "# needs "
"""How a block begins that needs what a test hasn't got, such as a GPU."""
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?<=\n\n)((?:    .*\n|\n(?=    ))+)")


def fenced(page: Path, language: str) -> list[str]:
    return [body for name, body in FENCED.findall(page.read_text("utf-8")) if name == language]


def indented(page: Path) -> list[str]:
    return [block.replace("\n    ", "\n")[4:] for block in INDENTED.findall(FENCED.sub("", page.read_text("utf-8")))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# tables


def rows(page: Path) -> Iterator[list[tuple[int, str]]]:
    """The tables of a page: lines that begin with a bar, one after the other, with their numbers."""
    table: list[tuple[int, str]] = []
    for number, line in enumerate([*page.read_text("utf-8").splitlines(), ""], 1):
        if line.startswith("|"):
            table.append((number, line))
        elif table:
            yield table
            table = []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_table_has_a_head_and_rows_of_as_many_cells(page: Path) -> None:
    for (number, head), *others in rows(page):
        assert others, f"line {number}: a row on its own"
        assert re.fullmatch(r"(\|\s*:?-+:?\s*)+\|", others[0][1]), f"line {number}: a table without a head"
        for at, line in others:
            assert cells(line) == cells(head), f"line {at}: {cells(line)} cells below {cells(head)} heads"


def cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line))


# Python


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the pages are read: with two packed selections and a student."""
    folder = tmp_path_factory.mktemp("reader")
    packed = folder / "ws/shards/cot/qx7"
    packed.mkdir(parents=True)
    filmed(packed, Case("twenty seconds", file_name="raw.mp4"), Look(Window(50, 150), 2))
    write(Case("half a minute", file_name="clip.mp4", times_s=tuple(Fraction(n, 10) for n in range(300))), folder)
    (folder / "other/shards/cot").mkdir(parents=True)
    (folder / "other/shards/cot/b4k").symlink_to(packed)
    speck().save(folder / "runs/sft/checkpoint-2000")
    return folder


PYTHON = [page for page in PAGES if page not in (OF_MODULES, OF_A_WORKSPACE) and fenced(page, "python")]


@pytest.mark.parametrize("page", PYTHON, ids=name_of)
def test_python_of_a_page_runs_from_top_to_bottom(
    page: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [block for block in fenced(page, "python") if not block.startswith(ELSEWHERE)]
    (tmp_path / "shown.py").write_text("\n".join(blocks))
    monkeypatch.chdir(place)
    monkeypatch.setattr(datasets.config, "TORCHCODEC_AVAILABLE", datasets.config.TORCHCODEC_AVAILABLE)  # a page sets it
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    runpy.run_path(str(tmp_path / "shown.py"), run_name="shown")


@pytest.mark.parametrize("page", PYTHON, ids=name_of)
def test_python_that_needs_more_than_a_test_has_imports_what_there_is_and_names_nothing_else(page: Path) -> None:
    for block in fenced(page, "python"):
        if block.startswith(ELSEWHERE):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom):
                    module = importlib.import_module(node.module or "")
                    assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
            lint = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "-"]
            assert not subprocess.run(lint, input=block, text=True, capture_output=True).returncode, block


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_python_escapes_by_standing_indented(page: Path) -> None:
    for block in indented(page):
        assert not re.search(r"^(from \w|import \w|def |class |\w+ = \w+\()", block, re.MULTILINE), block


# TOML


def tables(page: Path) -> list[str]:
    return [*fenced(page, "toml"), *(block for block in indented(page) if re.match(r"\[+[a-z]+[\].]", block))]


TOML = [(name_of(page), block) for page in PAGES if page != OF_MODULES for block in tables(page)]


@pytest.mark.parametrize(("page", "block"), TOML, ids=[f"{page}: {block.splitlines()[0]}"[:60] for page, block in TOML])
def test_toml_of_a_page_is_read_by_what_it_is_for(page: str, block: str) -> None:
    values = tomllib.loads(block)
    if "training" in values:
        parse_config(SdgrpoSettings if "rollout" in values else SftSettings, values, where=page)
    elif "checkpoint" in values:
        parse_config(EvaluationSettings, values, where=page)
    elif "engine" in values:
        kinds = WriterSettings if page == "docs/training.md" else EngineSettings
        TypeAdapter[Any](kinds).validate_python(values["engine"])
    else:
        of_a_recipe(values, page)


def of_a_recipe(values: dict[str, Any], page: str) -> None:
    recipe = parse_config(RecipeFile, {"name": "shown", "stages": {}, **values}, where=page)
    for name in recipe.stages:
        if name == "length":  # the page's own, docs/stages.md
            continue
        assert name in STAGES
        config_class = stage_class(name).config_class
        parse_config(config_class, stage_values(recipe, name, config_class), where=f"{page}: [stages.{name}]")


# shell


def typed() -> Iterator[tuple[str, str]]:
    """Lines of shell on the pages."""
    for page in PAGES:
        for block in (*indented(page), *fenced(page, "sh")):
            for line in block.splitlines():
                if re.match(r"(\$ )?(pip|python|make|torchrun|srun|export|ray|\.) ", line):
                    yield name_of(page), line.removeprefix("$ ")


SHELL = [*typed()]


def test_there_is_shell_to_look_at() -> None:
    assert len(SHELL) > 10


@pytest.mark.parametrize(("page", "line"), SHELL, ids=[f"{page}: {line}"[:70] for page, line in SHELL])
def test_shell_names_modules_targets_extras_and_commands_that_exist(page: str, line: str) -> None:
    del page
    line = line.partition("   ")[0]
    for module in re.findall(r"-m ((?:dmforge|benchmarks|chaos|studies|tools)[\w.]*)", line):
        relative = module.removeprefix("dmforge.").replace(".", "/")
        assert (ROOT / relative).with_suffix(".py").is_file() or (ROOT / relative / "__main__.py").is_file(), module
    for target in re.findall(r"\bmake ([a-z-]+)", line):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE), target
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for extra in re.findall(r"(?:dmforge|\.)\[(\w+)\]", line):
        assert extra in project["optional-dependencies"], extra
    for constraints in re.findall(r"-c (\S+\.txt)", line):
        assert (ROOT / constraints).is_file(), constraints
    for call in re.findall(r"(?:-m dmforge\.cli|sh -c 'dmforge) ([^']+)", line):
        name, *words = re.sub(r"\$\w+", "1", call).split()
        typer.main.get_command(cli.app).commands[name].make_context(name, words)  # type: ignore[attr-defined]
