"""Whose window it is, how many candidates, which teacher, and what another model makes of the clip."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.video.decoders import Frames
from dmforge.curation.video.read_frames import read_grid
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.generators.teacher import interview
from dmforge.generators.teacher.teacher_config import URL
from dmforge.recipe import read_recipe
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Video
from tests.support.made_once import made_once

STAGES = "[stages.ingest]\n[stages.import]\n[stages.annotate]\n"


def dmforge(*words: object, code: int = 0) -> Any:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.stderr.replace("\n", " ")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Worlds, and beside them a workspace, `ws`, in which they are rendered and their tasks imported."""

    def make(folder: Path) -> None:
        make_worlds(folder, WorldSettings(videos=6))
        place = folder / "ws"
        (place / "inputs").mkdir(parents=True)
        (place / "recipe.toml").write_text('name = "test"\n[stages.ingest]\n[stages.import]\n')
        dmforge("ingest", folder / "videos", "-w", place)
        dmforge("import", "jsonl", folder / "tasks.jsonl", "-w", place)
        dmforge("run", "-w", place)

    return made_once(tmp_path_factory, "annotate", make)


@contextmanager
def oracle(worlds: Path, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serving(worlds, behaviour) as url:
        monkeypatch.setenv(URL, url)
        yield url


def answered(url: str) -> Counter[str]:
    """How often the server answered each question."""
    with httpx2.Client(trust_env=False) as client:
        return Counter(client.get(url.removesuffix("/v1") + "/asked").json()["answered"])


def workspace(folder: Path, worlds: Path, annotate: str, more: str = "", tasks: Path | None = None) -> Path:
    place = shutil.copytree(worlds / "ws", folder / "ws")
    (place / "recipe.toml").write_text(f'name = "test"\n{STAGES}{annotate}\n{more}')
    if tasks:
        for path in place.glob("inputs/annotations/*"):
            path.unlink()
        dmforge("import", "jsonl", tasks, "-w", place)
    return place


def rows(place: Path, sql: str) -> list[tuple[Any, ...]]:
    stages = read_recipe(place / "recipe.toml").stages
    return LakeView(Lake(WorkspaceFolder(place)), stages).connection.execute(sql).fetchall()


GROUNDING = """
SELECT c.window_source, c.looks[1].window.start_cs AS "from", c.looks[1].window.end_cs AS "to",
    t.windows[1].start_cs AS gold_from, t.windows[1].end_cs AS gold_to, c.attempt
FROM candidates c JOIN tasks t ON t.id = c.task WHERE t.task_kind = 'grounding'
"""


def test_the_papers_way_gives_gold_to_every_task_that_has_it(
    worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace(tmp_path, worlds, 'model = "oracle"\nwindow_source = "gold"')
    with oracle(worlds, Behaviour(), monkeypatch):
        dmforge("run", "-w", place)
    same = "c.looks[1].window = t.windows[1]"
    found = rows(place, f"SELECT c.window_source, {same}, len(t.windows) FROM candidates c JOIN tasks t ON t.id = c.task")
    assert {(source, same) for source, same, windows in found if windows} == {("gold", True)}
    assert {source for source, _, windows in found if not windows} <= {"teacher"}
    assert "closer look will be" not in json.dumps(rows(place, "SELECT transcript FROM candidates"), default=str)


def test_a_window_that_misses_gold_is_tried_again_and_at_last_given(
    worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace(tmp_path, worlds, 'model = "oracle"\nwindow_source = "gold_padded"\nattempts = 2')
    with oracle(worlds, Behaviour(unknown=1.0), monkeypatch):  # it sees nothing, and guesses
        dmforge("run", "-w", place)
    found = rows(place, GROUNDING)
    assert found
    assert "gold_padded" in {row[0] for row in found}
    for source, start, end, gold_start, gold_end, attempt in found:
        length = gold_end - gold_start
        if source == "gold_padded":
            assert start <= gold_start < gold_end <= end
            assert end - start <= 3 * length
            assert attempt == 1
        else:
            covered = min(end, gold_end) - max(start, gold_start)
            assert covered >= 0.9 * length
            assert end - start <= 4 * length


def test_a_teacher_that_sees_keeps_its_own_windows(worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = workspace(tmp_path, worlds, 'model = "oracle"\nwindow_source = "gold_padded"')
    with oracle(worlds, Behaviour(), monkeypatch):
        dmforge("run", "-w", place)
    assert {row[0] for row in rows(place, GROUNDING)} == {"teacher"}


@pytest.mark.slow
def test_several_candidates_of_several_teachers(worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = "candidates = 2\n" + "".join(
        f'[[stages.annotate.teachers]]\nmodel = "{name}"\nshare = {share}\n' for name, share in (("one", 3), ("two", 1))
    )
    place = workspace(tmp_path, worlds, told, "[prices.one]\ninput_usd = 1.0\n[prices.two]\ninput_usd = 2.0\n")
    with oracle(worlds, Behaviour(), monkeypatch):
        planned = dmforge("plan", "-w", place, "--json")
        done = dmforge("run", "-w", place, "--json")
    tasks = rows(place, "SELECT count(*) FROM tasks")[0][0]
    found = rows(place, "SELECT task, teacher, attempt FROM candidates")
    assert sorted(attempt for _, _, attempt in found) == [0] * tasks + [3] * tasks
    by_task = {task: {teacher for one, teacher, _ in found if one == task} for task, _, _ in found}
    assert all(len(teachers) == 1 for teachers in by_task.values())
    share = Counter(teacher for teachers in by_task.values() for teacher in teachers)
    assert 0.5 < share["one"] / tasks < 0.95
    assert next(stage for stage in planned["stages"] if stage["name"] == "annotate")["calls"] == 4 * tasks
    assert done["cost"] > 0
    records = [json.loads(path.read_text()) for path in (place / "runs").glob("*.json")]
    spent = max(records, key=lambda record: record["started"])["spent"]
    assert {one["model"]: one["calls"] for one in spent} == {name: 4 * number for name, number in share.items()}
    told = dmforge("audit", "cost", "-w", place, "--json")
    costs = [dict(zip(told["columns"], row, strict=True)) for row in told["rows"]]
    assert {one["model"]: one["answers"] for one in costs} == {name: 4 * number for name, number in share.items()}
    assert {one["model"]: one["candidates"] for one in costs} == {name: 2 * number for name, number in share.items()}
    assert sum(one["usd"] for one in costs) == pytest.approx(done["cost"], abs=2e-4)


@pytest.mark.slow
def test_another_model_reads_the_clip_only(worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = workspace(tmp_path, worlds, 'model = "oracle"', '[stages.crosscheck]\nmodel = "another"\n')
    with oracle(worlds, Behaviour(defects={"wrong_answer": 0.3}), monkeypatch):
        dmforge("run", "-w", place)
    found = rows(place, "SELECT score, reason FROM verdicts WHERE filter = 'crosscheck'")
    assert len(found) == rows(place, "SELECT count(*) FROM candidates")[0][0]
    wrong = [reason for score, reason in found if score < 1]
    assert 0 < len(wrong) < len(found)
    assert set(wrong) == {"another model answers otherwise"}
    models = {path.name for path in (place / "journal").iterdir()}
    assert models == {"oracle", "another"}


@pytest.mark.parametrize("told", ["", 'model = "a"\n[[stages.annotate.teachers]]\nmodel = "b"'])
def test_one_model_or_several_teachers(told: str, tmp_path: Path) -> None:
    place = tmp_path / "ws"
    (place / "inputs").mkdir(parents=True)
    (place / "recipe.toml").write_text(f'name = "test"\n{STAGES}{told}\n')
    said = dmforge("plan", "-w", place, code=2)
    assert "name one `model`, or several `teachers`" in said
    assert re.search(r"hint:", said)


def test_an_edited_row_or_more_concurrency_asks_nothing_else_again(
    worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.loads(line) for line in (worlds / "tasks.jsonl").read_text().splitlines()]
    edited = next(line for line in lines if len(line.get("options", [])) > 2)
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(json.dumps(line) + "\n" for line in lines))
    place = workspace(tmp_path, worlds, 'model = "oracle"', tasks=tasks)
    with oracle(worlds, Behaviour(), monkeypatch) as url:
        dmforge("run", "-w", place)
        before = answered(url)
        edited["options"] = edited["options"][::-1]
        tasks.write_text("".join(json.dumps(line) + "\n" for line in lines))
        dmforge("import", "jsonl", tasks, "-w", place)
        recipe = place / "recipe.toml"
        recipe.write_text(recipe.read_text().replace("[stages.annotate]", "[stages.annotate]\nconcurrency = 2"))
        planned = dmforge("plan", "-w", place, "--json")
        dmforge("run", "-w", place)
        after = answered(url)
    assert next(stage for stage in planned["stages"] if stage["name"] == "annotate")["pending"] == 1
    assert sum(before.values()) == 2 * len(lines)
    assert [after[key] - before[key] for key in after if after[key] != before[key]] == [1, 1]  # both calls of the one row


@pytest.mark.parametrize("late", [0, 1])
def test_pictures_that_are_late_by_one_frame_are_caught(
    late: int, worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace(tmp_path, worlds, 'model = "oracle"', "[stages.verify]\n")

    def read_late(clips: Clips, video: Video, look: Look, grid: Path) -> Frames:
        return read_grid(grid, [max(0, index - late) for index in clips.look(video, look).indices])

    monkeypatch.setattr(interview, "read_look", read_late)
    with oracle(worlds, Behaviour(), monkeypatch):
        dmforge("run", "-w", place)
    # some questions need no look
    seen = "t.task_kind <> 'mcq' AND len(t.windows) > 0 AND v.filter = 'answer'"
    sql = (
        f"SELECT avg(v.score) FROM verdicts v JOIN candidates c ON c.id = v.subject JOIN tasks t ON t.id = c.task WHERE {seen}"
    )
    share = rows(place, sql)[0][0]
    assert share >= 0.9 if not late else share < 0.5


@pytest.mark.slow
def test_another_model_finishes_what_the_first_began(worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the first model's tasks are done, and one has a look but no answer, when the second one takes over."""
    place = workspace(tmp_path, worlds, 'model = "one"')
    other = 'name = "test"\n' + STAGES + 'model = "two"\nearlier_models = ["one"]\n'
    journal = place / "journal"
    with oracle(worlds, Behaviour(), monkeypatch) as url:
        dmforge("run", "-w", place, "--videos", 3)
        before = rows(place, "SELECT id, teacher FROM candidates")
        (path,) = journal.glob("one/*.jsonl")
        *lines, last = path.read_bytes().splitlines(keepends=True)
        asked_of_one = sum(answered(url).values())
        path.write_bytes(b"".join(lines))  # as if a kill had come before this answer
        (place / "recipe.toml").write_text(other)
        dmforge("run", "-w", place)
        after = dict(rows(place, "SELECT id, teacher FROM candidates"))
        digest = dmforge("digest", "-w", place, "--json")
        asked_of_two = sum(answered(url).values()) - asked_of_one
        (place / "recipe.toml").write_text(other.replace('["one"]', '["oen"]'))
        assert "the journal holds no answer of 'oen'" in dmforge("run", "-w", place, code=2)
        (place / "recipe.toml").write_text(other)
    assert {teacher for _, teacher in before} == {"one"}
    assert asked_of_two == 2 * (len(after) - len(before)) + 1
    assert sum(after.get(candidate) == "one" for candidate, _ in before) == len(before) - 1
    assert set(after.values()) == {"one", "two"}
    assert last.startswith(b'{"key"')
    shutil.rmtree(place / "lake")  # with nobody to ask: sources, recipe and journal are all it takes
    dmforge("run", "-w", place)
    assert dmforge("digest", "-w", place, "--json") == digest
