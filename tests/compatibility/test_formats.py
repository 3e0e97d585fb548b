"""Formats have numbers: a newer one is refused by name, an older one is read as it is or brought up, and names in keys last."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pytest
from pydantic import Field, PositiveInt
from typer.testing import CliRunner

from dmforge import __version__, cli
from dmforge.commands import upgrade
from dmforge.curation import workspace_format
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.io.toml_keys import renamed_text
from dmforge.curation.lake.commits import CommitDraft, Lake
from dmforge.curation.lake.parts import read_part
from dmforge.curation.lake.views import LakeView
from dmforge.curation.shards.folders import MANIFEST
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas import formats
from dmforge.schemas.config import Config, Formerly, Later, Operational, parse_config
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import digest
from dmforge.schemas.record_fields import later
from dmforge.schemas.records import TABLES, Task, format_of
from tests.compatibility import shapes
from tests.compatibility.test_59a9f4a import unpack
from tests.foundation.lakes import run, write_recipe

SHAPES = shapes.shapes()
READS_A_WORKSPACE = (
    "plan", "run", "select cot --dry-run", "select cot", "pack cot", "export cot --to trl", "status", "digest", "merge {ws}",
    "forget --reason x --source y", "upgrade", "ingest {ws}/recipe.toml", "import jsonl {ws}/recipe.toml", "review cot --as x",
    "audit funnel", "audit --sql SELECT", "report {ws}.html", "why task_mzxw6ytboi3gk4tfon2ca5dfpm", "evaluate {ws}.toml",
    "audit difference --with {ws}", "audit likeness --with {ws}", "audit changes --with {ws}",
)  # fmt: skip


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What commit 59a9f4a left behind."""
    return unpack(tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that a dmforge of the future has written to."""
    root = tmp_path_factory.mktemp("newer") / "ws"
    assert CliRunner().invoke(cli.app, ["init", str(root), "--recipe", "demo"]).exit_code == 0
    stamp(root, format=formats.WORKSPACE + 1)
    root.with_suffix(".toml").write_text('checkpoint = "./x"\ncorpora = ["x"]\nworkspace = "ws"\n')
    return root


def stamp(root: Path, **numbers: Any) -> None:
    path = root / workspace_format.FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"written_by": "7.8.9"} | numbers))


@pytest.mark.parametrize("command", READS_A_WORKSPACE)
def test_a_newer_workspace_is_refused_by_every_command(command: str, newer: Path) -> None:
    words = [word.format(ws=newer) for word in command.split()]
    beside = [] if words[0] == "evaluate" else ["-w", str(newer)]
    before = {path: path.read_bytes() for path in newer.rglob("*") if path.is_file()}
    result = CliRunner().invoke(cli.app, [*words, *beside])
    assert result.exit_code == 2, result.output
    assert f"is of format {formats.WORKSPACE + 1}" in result.output
    assert "dmforge 7.8.9 or later" in result.output
    assert {path: path.read_bytes() for path in newer.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ({"journal": 99}, "its journal is of format 99"),
        ({"tables": {"tasks": 99}}, "its table tasks is of format 99"),
        ({"format": "two"}, "the format number of the workspace is 'two'"),
        ({"format": True}, "the format number of the workspace is True"),
        ({"tables": 3}, "format.json can't be read"),
    ],
)
def test_what_is_newer_or_no_number_is_named(numbers: dict[str, Any], named: str, tmp_path: Path) -> None:
    assert CliRunner().invoke(cli.app, ["init", str(tmp_path / "ws"), "--recipe", "demo"]).exit_code == 0
    stamp(tmp_path / "ws", **numbers)
    result = CliRunner().invoke(cli.app, ["status", "-w", str(tmp_path / "ws")])
    assert result.exit_code == 2
    assert named in result.output


@pytest.mark.parametrize("number", ["format", "documents", "frames"])
def test_newer_shards_are_refused(number: str, old: Path, tmp_path: Path) -> None:
    (source,) = (old / "cot/shards/cot").iterdir()
    shards = shutil.copytree(source, tmp_path / "shards")
    manifest = json.loads((shards / MANIFEST).read_text())
    (shards / MANIFEST).write_text(json.dumps(manifest | {number: 99}))
    settings = (old / "sft.toml").read_text().replace(str(source.relative_to(old)), str(shards))
    (tmp_path / "sft.toml").write_text(settings)
    invoke("upgrade", tmp_path / "sft.toml")
    for words in (["verify", shards], ["train", "sft", tmp_path / "sft.toml"]):
        result = CliRunner().invoke(cli.app, list(map(str, words)))
        assert result.exit_code in (1, 2)
        assert "is of format 99" in result.output


@pytest.mark.parametrize("words", ["train sft", "train sdgrpo", "evaluate"])
def test_newer_training_files_are_refused(words: str, tmp_path: Path) -> None:
    file = tmp_path / "file.toml"
    file.write_text("format = 99\n")
    result = CliRunner().invoke(cli.app, [*words.split(), str(file)])
    assert result.exit_code == 2
    assert "the file is of format 99" in result.output


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_that_changes_gets_a_number(name: str) -> None:
    number, sha256 = SHAPES[name]
    told = f"{name} has changed: raise its number, say how older ones are read, then python -m tests.compatibility.shapes"
    assert shapes.known()[name].get(str(number)) == sha256, told


def test_frames_of_older_recipes_stay_as_they_were() -> None:
    assert shapes.known()["frames"]["1"] == shapes.frames_of_format_1()


def test_documents_without_boxes_and_quotas_stay_as_they_were() -> None:
    assert shapes.known()["documents"]["1"] == shapes.documents_of_format_1()


def test_documents_whose_targets_are_one_look_stay_as_they_were() -> None:
    assert shapes.known()["documents"]["2"] == shapes.documents_of_format_2()


class First(Config):
    """As it was."""

    most_tokens: PositiveInt = 7
    """So many."""


class Inner(Config):
    """A table inside."""

    max_words: Annotated[PositiveInt, Formerly("most_words")] = 3
    """So many."""


class Now(Config):
    """As it is: a setting has another name, and others came."""

    max_tokens: Annotated[PositiveInt, Formerly("most_tokens")] = 7
    """So many."""
    look_size: Later[str] = "fixed"
    """What came later."""
    inner: Later[Inner] = Field(default_factory=Inner)
    """A table that came later."""
    several: Later[tuple[Inner, ...]] = ()
    """Tables that came later."""
    speed: Operational[int] = 1
    """How, not what."""


def test_a_rename_and_a_new_setting_at_its_default_make_no_work_anew() -> None:
    assert Now().semantic() == First().semantic() == {"most_tokens": 7}
    assert Now(max_tokens=9).semantic() == First(most_tokens=9).semantic()
    changed = Now(look_size="floor", inner=Inner(max_words=4), several=(Inner(),))
    assert changed.semantic() == {
        "most_tokens": 7, "look_size": "floor", "inner": {"most_words": 4}, "several": [{"most_words": 3}],
    }  # fmt: skip


def test_what_was_kept_by_first_names_is_read_back() -> None:
    changed = Now(max_tokens=9, look_size="floor")
    assert Now.from_semantic(changed.semantic(), where="here") == changed


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"most_tokens": 3}, "'most_tokens' is 'max_tokens' now"),
        ({"inner": {"most_words": 3}}, "write inner.max_words"),
        ({"several": [{"most_words": 3}]}, "'most_words' is 'max_words' now"),
    ],
)
def test_an_old_name_is_refused_by_its_new_one(values: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        parse_config(Now, values, where="file.toml")


RECIPE = """# most_words stays: least is a comment here
name = "least"   # least
[stages."select_cot".least]  # the thresholds
least = 1.0
[stages.rules]
most_words = 5
texts = '''least = 1'''
rounds = { least = 3, most_words = "least = 2" }
"""
NAMES = {
    ("stages", "select_cot"): {"least": "min_score"},
    ("stages", "rules"): {"most_words": "max_words"},
    ("stages", "rules", "rounds"): {"least": "min_rounds"},
}


def test_keys_are_renamed_where_they_stand_and_nothing_else_is_touched() -> None:
    changed = renamed_text(RECIPE, lambda path: NAMES.get(path, {}), "recipe.toml")
    assert changed == (
        RECIPE.replace('[stages."select_cot".least]', "[stages.select_cot.min_score]")
        .replace("most_words = 5", "max_words = 5")
        .replace("{ least = 3", "{ min_rounds = 3")
    )


def test_what_cannot_be_renamed_line_by_line_is_left_to_a_person() -> None:
    text = "[stages.rules]\nrounds = { 'least' = 3 }\n"
    with pytest.raises(InputError, match=r"stages\.rules\.rounds\.least is min_rounds now"):
        renamed_text(text, lambda path: NAMES.get(path, {}), "recipe.toml")


def test_an_older_workspace_is_brought_up_and_keeps_all_it_has(old: Path, tmp_path: Path) -> None:
    root = shutil.copytree(old / "demo/workspace", tmp_path / "ws")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    would = invoke("upgrade", "--dry-run", "-w", root)
    assert (would["from"], would["to"]) == (1, formats.WORKSPACE)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert invoke("upgrade", "-w", root) == would
    assert all(
        path.read_bytes() == data for path, data in before.items() if path.parts[-2] != "runs" and path.suffix != ".toml"
    )
    stamped = json.loads((root / workspace_format.FILE).read_text())
    assert (stamped["format"], stamped["written_by"]) == (formats.WORKSPACE, __version__)
    again = invoke("upgrade", "-w", root)
    assert (again["from"], again["changes"]) == (formats.WORKSPACE, [])


def test_an_upgrade_that_was_killed_between_its_steps_goes_on(old: Path, tmp_path: Path) -> None:
    root = shutil.copytree(old / "demo/workspace", tmp_path / "ws")
    whole = shutil.copytree(root, tmp_path / "whole")
    invoke("upgrade", "-w", whole)
    upgrade.rewrite_recipe(WorkspaceFolder(root))  # and here the process dies: the number is still the old one
    invoke("upgrade", "-w", root)
    for name in ("recipe.toml", workspace_format.FILE):
        assert (root / name).read_bytes() == (whole / name).read_bytes()


def test_training_files_are_brought_up(old: Path, tmp_path: Path) -> None:
    for name in ("sft.toml", "sdgrpo.toml", "evaluate.toml"):
        shutil.copy(old / name, tmp_path / name)
        assert invoke("upgrade", tmp_path / name)["to"] == formats.TRAINING


def test_keys_of_the_engine_that_a_file_names_are_brought_up_or_refused_by_their_new_names(old: Path, tmp_path: Path) -> None:
    file = tmp_path / "sdgrpo.toml"
    text = (old / "sdgrpo.toml").read_text() + '\n[engine]\nkind = "vllm"\nrows = 8  # a comment\ncontext = 2048\n'
    file.write_text(text)
    result = CliRunner().invoke(cli.app, ["train", "sdgrpo", str(file)])
    assert result.exit_code == 2
    assert "'rows' is 'max_num_seqs' now" in " ".join(result.output.split())
    changes = invoke("upgrade", file)["changes"]
    assert "sdgrpo.toml: engine.rows -> max_num_seqs" in changes
    assert file.read_text().endswith('kind = "vllm"\nmax_num_seqs = 8  # a comment\nmax_model_len = 2048\n')


def test_a_recipe_outside_a_workspace_is_brought_up(old: Path, tmp_path: Path) -> None:
    recipe = Path(shutil.copy(old / "recipes/demo.toml", tmp_path / "demo.toml"))
    assert "demo.toml: stages.select_cot.least -> min_score" in invoke("upgrade", recipe)["changes"]
    assert invoke("upgrade", recipe)["changes"] == []
    assert read_recipe(recipe).stages


def invoke(*words: object) -> Any:
    result = CliRunner().invoke(cli.app, [*map(str, words), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def coloured() -> Iterator[type[Task]]:
    """Tasks as a later version may have them."""
    before = dict(TABLES)

    @dataclass(frozen=True, slots=True)
    class Coloured(Task):
        """Two columns came, one after the other."""

        colour: str = later("blue", since=2)
        shade: int | None = later(None, since=3)

    yield Coloured
    TABLES.clear()
    TABLES.update(before)


def test_rows_of_older_parts_have_the_defaults_of_columns_that_came_later(coloured: Any, tmp_path: Path) -> None:
    root = tmp_path / "ws"
    write_recipe(root, tasks=40)
    run(root, until="count")
    assert format_of(coloured) == 3
    stage = read_recipe(root / "recipe.toml").stages[0]
    tasks = {task.id: task for task in tasks_of(root, stage, Task)}
    type(stage).makes = (coloured,)
    try:
        assert {row.id: (row.colour, row.shade) for row in tasks_of(root, stage, coloured)} == dict.fromkeys(
            tasks, ("blue", None)
        )
        # one batch is done again by the later version: old and new parts lie beside each other
        lake = Lake(WorkspaceFolder(root))
        commit = lake.of("count", stage.variant)[0]
        parts = {part.table: pa.concat_tables(read_part(lake.workspace.lake, part)) for part in commit.parts}
        assert parts["tasks"].column("colour").unique().to_pylist() == ["blue"]
        at = parts["tasks"].column_names.index("colour")
        painted = parts["tasks"].set_column(at, "colour", pa.array(["red"] * len(parts["tasks"])))
        lake.withdraw(commit)
        draft = CommitDraft("batch", "count", stage.variant, b"\1" * 16, commit.config)
        lake.publish(draft, {name: [painted if name == "tasks" else rows] for name, rows in parts.items()})
        colours = Counter(row.colour for row in tasks_of(root, stage, coloured))
        assert colours == {"red": len(painted), "blue": len(tasks) - len(painted)}
    finally:
        type(stage).makes = (Task,)


def tasks_of(root: Path, stage: AnyStage, record: Any) -> list[Any]:
    view = LakeView(Lake(WorkspaceFolder(root)), [stage])
    return view.all_rows(record)


def test_a_later_column_at_its_default_leaves_an_id_as_it_is(coloured: Any) -> None:
    plain = (digest("video", 1), "open", "Which?", (), "a", (), "any")
    assert coloured(*plain).id == Task(*plain).id != coloured(*plain, colour="red").id
