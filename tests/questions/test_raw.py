"""From a folder of videos and nothing else: questions of every type, right by the scripts that nobody was shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands import run
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.shards.folders import read_manifest
from dmforge.curation.sources import videos
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.worlds.imagine import LEVELS
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.recipe import read_recipe
from dmforge.schemas.replies import QuestionType
from tests.support.raw_chain import LOWEST, at_lowest_levels, ran


def rows(workspace: WorkspaceFolder, sql: str) -> list[tuple[Any, ...]]:
    return LakeView(Lake(workspace), read_recipe(workspace.recipe).stages).connection.execute(sql).fetchall()


def dmforge(*words: object, code: int = 0) -> Any:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.stderr.replace("\n", " ")


@pytest.mark.slow
def test_every_type_is_reached_and_is_what_the_script_says() -> None:
    found = {one.type: one for one in at_lowest_levels(24)}  # of twelve, a level may have none that isn't guessed blind
    assert set(LOWEST) <= set(found)
    for one in found.values():
        if one.level == LOWEST[one.type]:
            assert one.right / one.tasks >= 0.95, one
            assert one.candidates > 0, one


@pytest.mark.slow
def test_one_command_packs_a_folder_and_each_question_is_accounted_for(tmp_path: Path) -> None:
    settings = WorldSettings(videos=6, knobs=LEVELS[2], longest_s=40)
    with ran(tmp_path, settings, list(LOWEST), 6) as workspace:
        drafts, tasks, reasons = (
            rows(workspace, sql)[0][0]
            for sql in (
                "SELECT count(*) FROM drafts",
                "SELECT count(*) FROM tasks",
                "SELECT count(*) FROM outcomes WHERE stage = 'admit' AND status <> 'made' AND reason <> ''",
            )
        )
        assert len(rows(workspace, "SELECT DISTINCT duration_cs FROM videos")) > 1
        assert drafts == tasks + reasons > 6
        (folder,) = (workspace.root / "shards/cot").glob("*/")
        packed = read_manifest(folder).samples
        assert 0 < packed == rows(workspace, "SELECT count(*) FROM samples")[0][0]
        digest = dmforge("digest", "-w", workspace.root, "--json")
        again = dmforge("run", "-w", workspace.root, "--json")  # nothing is left to do, and nobody is asked
        assert all(stage["pending"] == 0 for stage in again["stages"])
        assert dmforge("digest", "-w", workspace.root, "--json") == digest
        recipe = workspace.recipe.read_text()
        quota = "[stages.draw.types]\nobject = 1\n\n[stages.duplicates]"
        workspace.recipe.write_text(recipe.replace("[stages.duplicates]", quota))
        dmforge("run", "-w", workspace.root)  # of those that were answered before: nobody is asked
        of_type = "SELECT count(DISTINCT c.task) FROM candidates c JOIN authored a ON a.task = c.task WHERE a.type = 'object'"
        assert rows(workspace, of_type) == [(1,)]
        over = rows(workspace, "SELECT DISTINCT reason FROM outcomes WHERE stage = 'draw' AND status = 'rejected'")
        assert over == [("over its quota",)]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ('[stages.questions]\nmodel = "m"\ntypes = {colour = 1}', "correct 'types.colour.[key]'"),
        ('[stages.questions]\nmodel = "m"\ntypes = {object = 0}', "asks for nothing"),
        ('[stages.segments]\nmodel = "m"\nfps = 0', "correct 'fps'"),
        ('[stages.segments]\nmodel = "m"\nlongest_s = 0.01', "correct 'longest_s'"),
        ('[stages.questions]\nmodel = "m"\nper_video = 100000000', "correct 'per_video'"),
        ("[stages.needles]\nhides = {one = 0}", "makes nothing"),
        ('[stages.segments]\nmodel = "m"\nbase_url = "http://me:SECRET@host/v1"', "api_key_env"),
        ('[bring]\nvideo = "a"', "unknown key 'bring.video'"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_told_where(told: str, said: str, tmp_path: Path) -> None:
    place = tmp_path / "ws"
    (place / "inputs").mkdir(parents=True)
    stages = "" if "[stages" in told else "[stages.ingest]\n"
    (place / "recipe.toml").write_text(f'name = "test"\n{told}\n{stages}')
    told = dmforge("plan", "-w", place, code=2)
    assert said in told
    assert "SECRET" not in told


def test_a_folder_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    workspace = run.init(tmp_path / "ws", "from-raw-video")
    said = dmforge("run", "-w", workspace.root, code=2)
    assert "films/videos" in said
    assert "hint:" in said


def test_files_that_look_as_they_did_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_worlds(tmp_path / "films", WorldSettings(videos=3))
    place = WorkspaceFolder(tmp_path / "ws")
    place.inputs.mkdir(parents=True)
    place.recipe.write_text('name = "test"\n[bring]\nvideos = ["../films/videos"]\n[stages.ingest]\n')
    assert "3 files of the recipe's [bring] are not taken in yet" in dmforge("plan", "-w", place.root)
    monkeypatch.chdir(tmp_path / "films")  # it doesn't matter from where
    assert dmforge("run", "-w", place.root, "--json")["stages"][0]["made"] == 3
    read: list[str] = []
    own = videos.sha256_of
    monkeypatch.setattr(videos, "sha256_of", lambda file: read.append(str(file)) or own(file))
    dmforge("run", "-w", place.root)
    assert read == []
    (tmp_path / "films/videos/world-000001.mp4").touch()
    dmforge("run", "-w", place.root)
    assert [Path(file).name for file in read] == ["world-000001.mp4"]
    place.recipe.write_text(place.recipe.read_text().replace("[bring]", '[bring]\nlicence = "CC0-1.0"'))
    dmforge("run", "-w", place.root)
    assert rows(place, "SELECT DISTINCT licence FROM provenances") == [("CC0-1.0",)]
    shutil.rmtree(tmp_path / "films")  # originals may be archived
    dmforge("run", "-w", place.root)


def test_types_in_a_recipe_are_all_types() -> None:
    from typing import get_args

    assert set(get_args(QuestionType)) == set(LOWEST)
