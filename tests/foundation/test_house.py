"""The house keeps its floors: imports run downwards in every room, help is light, every option says what it is for."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from dmforge.generators.inference.engines.engine_settings import TransformersSettings, VllmSettings
from dmforge.recipe import RECIPES, STAGES, RecipeFile, read_recipe, stage_class
from dmforge.schemas.config import Config
from dmforge.trainers.evaluation_settings import BootstrapSettings, EvaluationSettings, RollSettings
from dmforge.trainers.sdgrpo.sdgrpo_settings import (
    ColocatedSettings,
    InProcessSettings,
    PolicySettings,
    RolloutSettings,
    SdgrpoSettings,
)
from dmforge.trainers.training_settings import (
    Adapters,
    CorpusSettings,
    DataSettings,
    ModelSettings,
    OutSettings,
    SftSettings,
    StepSettings,
)

ROOT = Path(__file__).parents[2]
TOP = {
    "cli": 8, "__init__": 8, "command_line": 7, "api": 6, "commands": 5, "recipe": 4, "trainers": 3, "filters": 3,
    "generators": 2, "curation": 1, "schemas": 0,
}  # fmt: skip
ROOMS = {
    "curation": {
        "io": 0,
        "workspace_format": 1,
        "workspace_folder": 2,
        "output_paths": 3,
        "contract": 3,
        "sources": 4,
        "lake": 5,
        "video": 6,
        "shards": 7,
        "exports": 8,
        "engine": 8,
        "audit": 9,
        "packing": 10,
        "report": 10,
        "local_pages": 11,
        "review": 12,
        "browse": 12,
        "lifecycle": 11,
        "soundness": 11,
    },
    "generators": {
        "prompts": 0,
        "footage": 0,
        "video_part": 0,
        "rendition_footage": 1,
        "file_footage": 1,
        "look_tool": 2,
        "synthetic": 1,
        "teacher": 1,
        "student": 1,
        "inference": 2,
        "stages": 3,
    },
    "filters": {"rules": 0, "rollouts": 1, "near_duplicates": 1, "selection": 2, "inspection": 4},
    "trainers": {"sdgrpo": 1, "memory": 2},
    "commands": {"demo": 1},
}
"""Floors inside each room."""
LOOSE = {"curation": None, "generators": None, "filters": 3, "trainers": 0, "commands": 0}
"""The floor of modules that a room doesn't name; None where each has to be named."""
PEERS = {("trainers", "filters"), ("filters", "trainers")}
BESIDE = ("benchmarks", "chaos", "studies", "tools", "tests")
HEAVY = {"torch", "transformers", "trl", "vllm", "ray", "datasets", "decord"}


def modules() -> Iterator[Path]:
    yield from sorted(ROOT.glob("*.py"))
    for room in TOP:
        yield from sorted((ROOT / room).rglob("*.py"))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every import of a file, those inside functions too."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            names += [f"{node.module}.{name.name}" for name in node.names]
        elif isinstance(node, ast.Import):
            names += [name.name for name in node.names]
    return tuple(names)


def steps_of(name: str) -> list[str]:
    """The rooms of a dotted name of dmforge, without the file's ending."""
    return name.removeprefix("dmforge.").split(".")


def floor_in(room: str, name: str) -> int | None:
    return ROOMS[room].get(name, LOOSE[room])


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path: Path) -> None:
    here = list(path.relative_to(ROOT).with_suffix("").parts)
    for name in imports(path):
        if not name.startswith("dmforge."):
            assert name.partition(".")[0] not in BESIDE, f"{path.name} imports {name}, which is no part of the product"
            continue
        there = steps_of(name)
        if there[0] not in TOP:
            continue
        if there[0] != here[0]:
            assert (here[0], there[0]) not in PEERS, f"{path.name} imports {name}: neighbours don't know each other"
            assert TOP[there[0]] < TOP[here[0]], f"{path.name} imports {name}: an arrow up or across"
        elif here[0] in ROOMS and len(here) > 1 and here[1] != "__init__" and there[1] != here[1]:
            above, below = floor_in(here[0], here[1]), floor_in(there[0], there[1])
            assert above is not None, f"{here[0]}/{here[1]} has no floor"
            assert below is not None, f"{there[0]}/{there[1]} has no floor"
            is_loose = LOOSE[here[0]] is not None and here[1] not in ROOMS[here[0]] and there[1] not in ROOMS[here[0]]
            assert below < above or is_loose, f"{path.name} imports {name}: an arrow up or across in {here[0]}/"


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_first_why_it_exists(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_two_modules_import_each_other() -> None:
    names = {str(path.relative_to(ROOT).with_suffix("")).replace("/", "."): path for path in modules()}
    below: dict[str, set[str]] = {}
    for name, path in names.items():
        found = {imported.removeprefix("dmforge.") for imported in imports(path)}
        found |= {imported.rpartition(".")[0] for imported in found}
        below[name] = found & names.keys()
    graphlib.TopologicalSorter(below).prepare()


def test_no_two_folders_import_each_other() -> None:
    """Folders are rooms: whatever lies in one is on one side of another."""
    below: dict[str, set[str]] = {}
    for path in modules():
        folder = str(path.parent.relative_to(ROOT)).replace("/", ".")
        for name in imports(path):
            there = name.removeprefix("dmforge.").split(".")
            if not name.startswith("dmforge.") or there[0] not in TOP:
                continue
            deepest = max(
                (".".join(there[:n]) for n in range(1, len(there) + 1) if ROOT.joinpath(*there[:n]).is_dir()),
                key=len,
                default="",
            )
            is_within = deepest.startswith(folder) or folder.startswith(deepest)
            if deepest and not is_within:
                below.setdefault(folder, set()).add(deepest)
    graphlib.TopologicalSorter(below).prepare()


def test_tests_import_no_benchmark() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        assert not [name for name in imports(path) if name.partition(".")[0] == "benchmarks"], path


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, json; sys.argv = ['dmforge', '--help']\nfrom dmforge import cli\n"
    code += "try:\n    cli.main()\nexcept SystemExit:\n    pass\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert "typer" in loaded
    assert not loaded & (HEAVY | {"pyarrow", "duckdb", "pandas", "numpy"})


def test_a_whole_run_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, json\nfrom dmforge.commands import run\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in json.loads(done.stdout)} & HEAVY


def configs() -> list[type[Config]]:
    trainings = [Adapters, CorpusSettings, DataSettings, ModelSettings, OutSettings, SftSettings, StepSettings]
    trainings += [BootstrapSettings, EvaluationSettings, RollSettings, TransformersSettings, VllmSettings]
    trainings += [ColocatedSettings, InProcessSettings, PolicySettings, RolloutSettings, SdgrpoSettings]
    return [RecipeFile, *trainings, *(stage_class(name).config_class for name in STAGES)]


@pytest.mark.parametrize("config", configs(), ids=lambda config: config.__name__)
def test_every_option_is_documented_where_it_is_declared(config: type[Config]) -> None:
    assert config.__doc__
    for name, field in config.model_fields.items():
        assert field.description, f"{config.__name__}.{name} doesn't say what it is for"


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_read(recipe: Path) -> None:
    assert read_recipe(recipe).stages


def test_the_wheel_lists_every_package() -> None:
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {path.parent for path in modules()} - {ROOT}
    assert {"dmforge", "dmforge.recipes"} | {"dmforge." + str(f.relative_to(ROOT)).replace("/", ".") for f in folders} == listed


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_where_it_is_said_to_be_and_called_so(name: str) -> None:
    assert stage_class(name).name == name
