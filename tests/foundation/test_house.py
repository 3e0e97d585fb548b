"""The house keeps its floors: imports run downwards, the command line is light, every option says what it is for."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmforge.generators.inference.engines.engine_settings import ServerSettings, TransformersSettings, VllmSettings
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
FLOORS = {
    "cli": 10,
    "printing": 9,
    "demo": 8,
    "reviewing": 8,
    "reporting": 7,
    "ranked": 6,
    "schooling": 6,
    "intake": 6,
    "selecting": 6,
    "upgrading": 6,
    "auditing": 6,
    "pipeline": 5,
    "recipe": 4,
    "trainers": 3,
    "filters": 3,
    "generators": 2,
    "curation": 1,
    "schemas": 0,
}
HEAVY = {"torch", "transformers", "trl", "vllm", "ray", "datasets", "decord"}


def modules() -> Iterator[Path]:
    yield from sorted(ROOT.glob("*.py"))
    for floor in FLOORS:
        yield from sorted((ROOT / floor).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def floor_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path: Path) -> None:
    here = floor_of(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "dmforge" and len(parts) > 1 and parts[1] in FLOORS:
            there = parts[1]
            assert there == here or FLOORS[there] < FLOORS[here], f"{path.name} imports {name}: an arrow up or across"


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_first_why_it_exists(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_two_modules_import_each_other() -> None:
    names = {str(path.relative_to(ROOT).with_suffix("")).replace("/", "."): path for path in modules()}
    below: dict[str, set[str]] = {}
    for name, path in names.items():
        body = ast.parse(path.read_text()).body
        found = {str(node.module) for node in body if isinstance(node, ast.ImportFrom)}
        below[name] = {module.removeprefix("dmforge.") for module in found} & names.keys()
    graphlib.TopologicalSorter(below).prepare()


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, json; sys.argv = ['dmforge', '--help']\nfrom dmforge import cli\n"
    code += "try:\n    cli.main()\nexcept SystemExit:\n    pass\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert "typer" in loaded
    assert not loaded & (HEAVY | {"pyarrow", "duckdb", "pandas", "numpy"})


def test_a_whole_run_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, json\nfrom dmforge import pipeline\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in json.loads(done.stdout)} & HEAVY


def configs() -> list[type[Config]]:
    trainings = [Adapters, CorpusSettings, DataSettings, ModelSettings, OutSettings, SftSettings, StepSettings]
    trainings += [BootstrapSettings, EvaluationSettings, RollSettings, ServerSettings, TransformersSettings, VllmSettings]
    trainings += [
        ColocatedSettings,
        InProcessSettings,
        PolicySettings,
        RolloutSettings,
        SdgrpoSettings,
    ]
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
