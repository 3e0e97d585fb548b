"""What published sets say: looks whose density is their tool's, what is kept beside a question; our own exports read back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands import intake
from dmforge.curation.exports import export
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.sources.annotation_format import Question, RefusedQuestion
from dmforge.curation.sources.annotation_reader import read_questions
from dmforge.curation.sources.formats import FORMATS
from dmforge.curation.sources.importing import _candidate  # pyright: ignore[reportPrivateUsage]
from dmforge.curation.sources.published_turns import NO_DENSITY, UNREADABLE
from dmforge.curation.sources.row_rest import REST_LEFT_OUT, ROW, TURNS
from dmforge.curation.sources.task_checks import CheckedTask, check
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.known_dialects import GROUNDING, SPAN, TOOL, dialect_of
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Task
from dmforge.schemas.transcript import COARSE, Piece
from tests.sources.fixture import Fixture, written
from tests.sources.published_rows import (
    CAPTIONS,
    CGBENCH,
    DONE,
    LAMP,
    MTVR,
    OMNI_STEPS,
    PUBLISHED,
    STGR,
    VERL_RL,
    ZOOMED,
    longvt,
    said,
    videotemp,
)
from tests.support.barcodes import CASES
from tests.support.corpora import filmed


def read(form: str, rows: Sequence[Any], folder: Path) -> list[Question | RefusedQuestion]:
    (folder / "a.json").write_text(json.dumps(rows))
    return [placed.question for placed in read_questions(FORMATS[form], [folder / "a.json"])]


def one(form: str, row: Any, folder: Path) -> Question:
    (question,) = read(form, [row], folder)
    assert isinstance(question, Question)
    return question


def looks_of(question: Question) -> tuple[Look, ...]:
    """The looks of its trajectory, which parses in its dialect, and makes a candidate with a clip behind each."""
    text = question.reply.replace("<video>", "")
    trajectory = dialect_of(text).parse(text, 9)
    assert isinstance(trajectory, Trajectory), trajectory
    task = Task(b"v" * 16, question.kind, question.question, question.options, question.answer, (), "any")
    candidate = _candidate(task, question.reply)
    assert tuple(piece.look for piece in candidate.transcript.pieces if piece.look) == trajectory.looks == candidate.looks
    return trajectory.looks


# looks


def look(start_s: float, end_s: float, fps: int) -> Look:
    return Look(Window(int(start_s * 100), int(end_s * 100)), Fraction(fps))


TWO_WINDOWS = [{"start_time": 30, "end_time": 40.5}, {"start_time": 50.25, "end_time": 52.25}]
DENSITIES: dict[str, tuple[str, Any, tuple[Look, ...]]] = {
    "VideoZoomer says it": ("llamafactory", ZOOMED, (look(4, 6.5, 2),)),
    "LongVT shows 1 fps": ("longvt", longvt(3.0, 9.5), (look(3, 9.5, 1),)),
    "VideoTemp-o3 shows 2 fps": ("videotemp_o3", videotemp(TWO_WINDOWS), (look(30, 40.5, 2), look(50.25, 52.25, 2))),
    "VITAL shows 2 fps": ("mtvr", MTVR[2], (look(3, 9.5, 2),)),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_a_density_that_a_sets_tool_is_built_with_counts_as_said(name: str, tmp_path: Path) -> None:
    form, row, looks = DENSITIES[name]
    question = one(form, row, tmp_path)
    assert looks_of(question) == looks
    assert (question.answer, question.flags) == ("B", ())
    assert TURNS not in question.extras


LIMITED: dict[str, tuple[str, Any, str]] = {
    "no more than 128 frames": ("longvt", longvt(3.0, 131.5), NO_DENSITY),
    "another function": ("longvt", json.loads(json.dumps(longvt(3.0, 9.5)).replace("crop_video\\", "show\\")), NO_DENSITY),
    "no fewer than four frames": ("videotemp_o3", videotemp([{"start_time": 30, "end_time": 31.5}]), NO_DENSITY),
    "no more than 64 frames": ("videotemp_o3", videotemp([{"start_time": 30, "end_time": 62.5}]), NO_DENSITY),
    "no more than three windows": ("videotemp_o3", videotemp(TWO_WINDOWS * 2), UNREADABLE),
    "no window": ("videotemp_o3", videotemp([]), UNREADABLE),
    "a set that isn't named": ("llamafactory", videotemp(TWO_WINDOWS[:1]), NO_DENSITY),
    "several windows of a set that isn't named": ("llamafactory", videotemp(TWO_WINDOWS), UNREADABLE),
    "an agent that reads captions": ("cgbench_train", {**CGBENCH, "output": CAPTIONS}, UNREADABLE),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITED)
def test_what_no_look_says_is_never_made_one_and_its_turns_are_kept(name: str, tmp_path: Path) -> None:
    form, row, flag = LIMITED[name]
    question = one(form, row, tmp_path)
    assert (question.reply, question.flags) == ("", (flag,))
    turns = [message["content"] for message in row.get("messages", ()) if message["role"] == "assistant"]
    texts = [turn if isinstance(turn, str) else turn[0]["text"] for turn in turns] or CAPTIONS
    assert question.extras[TURNS] == texts


def test_all_actions_of_an_agent_are_kept_with_its_last_step(tmp_path: Path) -> None:
    earlier, last = read("omniagent_steps", OMNI_STEPS, tmp_path)
    assert earlier == RefusedQuestion("videos/1.mp4", "a step before the last one of its trajectory")
    assert isinstance(last, Question)
    assert last.extras[TURNS] == [step["output"] for step in OMNI_STEPS]
    assert last.extras[ROW] == {
        "question_type": "MCQ_Long", "fps": 25.0, "has_audio": True, "mode": "sft", "question_id": "q", "traj_id": "t",
        "episode_reward": 1.0,
    }  # fmt: skip
    assert last.fps is None, "a video's own frame rate is no density"


# what a row says besides


def test_a_row_keeps_what_its_question_doesnt_hold(tmp_path: Path) -> None:
    grounded = one("stgr", STGR[0], tmp_path)
    assert grounded.extras[ROW] == {
        key: value for key, value in STGR[0].items() if key not in ("question", "answer", "video_path")
    }
    asked = one("verl", VERL_RL, tmp_path)
    assert asked.extras[ROW] == {
        "data_source": "longvt", "ability": "qa", "extra_info": {"index": 3}, "reward_model": {"style": "model"},
        "prompt": VERL_RL["prompt"],
    }  # fmt: skip
    reasoned = one("mtvr", MTVR[1], tmp_path)
    assert reasoned.extras[ROW] == {"id": 2, "reasoned": MTVR[1]["solution"]}
    traced = one("longvt", longvt(3.0, 9.5), tmp_path)
    assert traced.extras["instructions"][0].startswith("Think first, call **crop_video**")
    assert traced.extras[ROW] == {"id": "rft_1"}


@pytest.mark.parametrize("rest", [{"note": "x" * 60_000}, {"note": float("nan")}])
def test_a_rest_that_has_no_room_leaves_its_question_whole(rest: dict[str, Any], tmp_path: Path) -> None:
    question = one("stgr", {**STGR[2], **rest}, tmp_path)
    assert question.flags == (REST_LEFT_OUT,)
    assert question.extras[ROW] == {"task": "General video QA MCQ"}
    assert isinstance(check(question), CheckedTask)


def test_turns_that_have_no_room_leave_their_question_whole(tmp_path: Path) -> None:
    long_answer = {**CGBENCH, "output": ["<think>" + "x" * 60_000 + "</think>", CAPTIONS[1]]}
    question = one("cgbench_train", long_answer, tmp_path)
    assert question.flags == (UNREADABLE, REST_LEFT_OUT)
    assert TURNS not in question.extras
    assert isinstance(check(question), CheckedTask)


def as_parquet(rows: list[dict[str, Any]], path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_rows_are_read_from_parquet_as_from_json(tmp_path: Path) -> None:
    for form, row in (("verl", VERL_RL), ("longvt", longvt(3.0, 9.5)), ("llamafactory", ZOOMED)):
        file = as_parquet([row, row], tmp_path / f"{form}.parquet")
        first, second = (placed.question for placed in read_questions(FORMATS[form], [file]))
        assert first == second
        as_json = one(form, row, tmp_path)
        assert isinstance(first, Question)
        assert (first.question, first.answer, first.reply, first.windows) == (
            as_json.question, as_json.answer, as_json.reply, as_json.windows,
        )  # fmt: skip


def test_pictures_in_parquet_are_left_out_and_said(tmp_path: Path) -> None:
    file = as_parquet([{**VERL_RL, "images": [b"\x89PNG"]}], tmp_path / "a.parquet")
    (placed,) = read_questions(FORMATS["verl"], [file])
    assert isinstance(placed.question, Question)
    assert placed.question.flags == (REST_LEFT_OUT,)
    assert "images" not in placed.question.extras[ROW]


@pytest.mark.parametrize("fixture", PUBLISHED, ids=lambda fixture: fixture.form)
def test_every_row_comes_out_and_says_why_where_it_is_no_task(fixture: Fixture, tmp_path: Path) -> None:
    placed = list(read_questions(FORMATS[fixture.form], written(fixture, tmp_path)))
    rows = len(fixture.content.splitlines() if isinstance(fixture.content, str) else fixture.content)
    assert len({one.origin for one in placed}) == rows
    found = intake.dry_import(fixture.form, written(fixture, tmp_path), [])
    assert found.tasks + found.identical + sum(found.rejected.values()) == len(placed)


WRONG: dict[str, Any] = {
    "numbers": 7, "nothing": None, "a list": [1, [2]], "an object": {"a": {"b": []}}, "text": "\ud800 <think><tool_call>[",
    "a number without end": 10**400, "not a number": float("nan"), "nested": json.loads("[" * 200 + "]" * 200),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("fixture", PUBLISHED, ids=lambda fixture: fixture.form)
def test_a_row_with_nonsense_in_any_field_is_read_or_refused(fixture: Fixture, wrong: str, tmp_path: Path) -> None:
    rows = fixture.content
    sound = [json.loads(line) for line in rows.splitlines()] if isinstance(rows, str) else rows
    spoilt = [{**row, field: WRONG[wrong]} for row in sound for field in row]
    (tmp_path / "a.json").write_text(json.dumps([sound[0], *spoilt]))
    placed = list(read_questions(FORMATS[fixture.form], [tmp_path / "a.json"]))
    assert len({one.origin for one in placed}) == 1 + len(spoilt)
    for one in placed:
        assert isinstance(
            check(one.question) if isinstance(one.question, Question) else one.question, CheckedTask | RefusedQuestion
        )


def test_nested_conversations_are_read_or_refused(tmp_path: Path) -> None:
    messages = [said("user", f"<video>{LAMP}"), said("assistant", DONE)]
    for spoilt in WRONG.values():
        for wrong_messages in (
            [spoilt, *messages],
            [{**messages[0], "content": spoilt}, messages[1]],
            [*messages, {"role": spoilt}],
        ):
            rows = [{"messages": messages, "videos": ["d/1.mp4"]}, {"messages": wrong_messages, "videos": ["d/1.mp4"]}]
            assert len(read("llamafactory", rows, tmp_path)) >= 2
            prompts = [{**VERL_RL, "prompt": wrong_messages, "extra_info": None}]
            assert len(read("verl", [VERL_RL, *prompts], tmp_path)) >= 2


# our own exports


CASE = next(case for case in CASES if case.name == "a very long GOP")
EARLY, LATE = look(3, 5.5, 2), look(10, 12.25, 4)
SPARSE = Look(Window(0, 900), Fraction(1, 3), tokens=64)
BY_SPANS = Trajectory(("Two places.", "At 3.5 seconds.", "It turns."), (EARLY, LATE), "it turns")
ONCE = Trajectory(("A place.", "It turns."), (EARLY,), "it turns")
TOGETHER = Trajectory(("", "Closer.\n\nMuch closer.", "It turns."), (EARLY, LATE, SPARSE), "it turns", "\n", turns=(2, 1))
QUOTAS = Trajectory(("Here?", "It turns."), (Look(Window(300, 550), Fraction(2), tokens=6144),), "it turns")
ASKED = (COARSE, Piece("prompt", "What happens in 7?\nA. it turns\nB. it stops"))


def packed(folder: Path, *trajectories: tuple[Any, Trajectory]) -> Corpus:
    folder.mkdir()
    transcripts = [dialect.transcribe(ASKED, trajectory) for dialect, trajectory in trajectories]
    return Corpus(str(filmed(folder, CASE, EARLY, transcripts=transcripts)))


EXPORTED: dict[str, tuple[str, DialectName | None, str, str, str]] = {
    "messages": ("messages", None, "trajectories.jsonl", "messages", "tasks.jsonl"),
    "swift": ("swift", None, "trajectories.jsonl", "llamafactory", "tasks.jsonl"),
    "verl": ("verl", None, "sft.parquet", "llamafactory", "rl.parquet"),
    "llamafactory": ("llamafactory", "tool", "cot.json", "llamafactory", ""),
}
"""What is exported and how, where its trajectories are, the format that reads them, where its tasks are."""


@pytest.mark.parametrize("name", EXPORTED)
def test_our_exports_are_read_back_with_their_trajectories_and_tasks(name: str, tmp_path: Path) -> None:
    to, dialect, trajectories_file, form, tasks_file = EXPORTED[name]
    corpus = packed(tmp_path / "corpus", (SPAN, BY_SPANS), (TOOL, TOGETHER))
    export(corpus, to, tmp_path / to, dialect)
    placed = list(read_questions(FORMATS[form], [tmp_path / to / trajectories_file]))
    questions = [one.question for one in placed if isinstance(one.question, Question)]
    assert len(questions) == len(placed) == 2
    assert [looks_of(question) for question in questions] == [BY_SPANS.looks, TOGETHER.looks]
    for question, sample in zip(questions, (corpus[0].sample, corpus[1].sample), strict=True):
        assert (question.video, question.answer, question.flags) == (video_of(corpus), sample.gold, ())
        assert (question.kind, question.question, question.options) == ("mcq", sample.question, ("it turns", "it stops"))
    if tasks_file:
        (placed_task,) = read_questions(FORMATS[to], [tmp_path / to / tasks_file])
        assert isinstance(placed_task.question, Question)
        checked = check(placed_task.question, corpus.video(0).video.duration_cs)
        assert isinstance(checked, CheckedTask)
        task = corpus[2].sample
        assert (checked.kind, checked.question, checked.answer) == (task.kind, task.question, task.gold)
        assert placed_task.question.video == video_of(corpus)
        if to == "verl":
            assert (checked.windows, placed_task.question.fps) == ((EARLY.window,), 2.0)


def test_problems_of_our_export_are_read_back_with_their_targets(tmp_path: Path) -> None:
    corpus = packed(tmp_path / "corpus", (SPAN, ONCE))
    export(corpus, "easyr1", tmp_path / "easyr1")
    placed = list(read_questions(FORMATS["easyr1"], [tmp_path / "easyr1/train.parquet"]))
    for one, sample in zip(placed, (corpus[0].sample, corpus[1].sample), strict=True):
        assert isinstance(one.question, Question)
        checked = check(one.question, corpus.video(0).video.duration_cs)
        assert isinstance(checked, CheckedTask)
        assert (checked.kind, checked.options, checked.answer, checked.windows) == (
            sample.kind, sample.options, sample.gold, sample.windows or (EARLY.window,),
        )  # fmt: skip
        assert (one.question.video, one.question.fps, one.question.extras) == (video_of(corpus), 2.0, {})


def video_of(corpus: Corpus) -> str:
    """Its id, by which a workspace that has it finds it, whatever its file is called."""
    return corpus.video(0).video.video


@pytest.mark.parametrize(
    ("dialect", "written_by", "trajectory"), [("span", SPAN, ONCE), ("span", SPAN, BY_SPANS), ("grounding", GROUNDING, QUOTAS)]
)
def test_every_dialect_of_an_export_is_read_back(
    dialect: DialectName, written_by: Any, trajectory: Trajectory, tmp_path: Path
) -> None:
    corpus = packed(tmp_path / "corpus", (written_by, trajectory))
    for to, file in (("llamafactory", "cot.json"), ("swift", "trajectories.jsonl")):
        export(corpus, to, tmp_path / to, dialect)
        (placed,) = read_questions(FORMATS["llamafactory"], [tmp_path / to / file])
        assert isinstance(placed.question, Question)
        assert (looks_of(placed.question), placed.question.answer) == (trajectory.looks, "it turns")
        assert (placed.question.kind, placed.question.video) == ("mcq", video_of(corpus))


def test_rows_for_sft_given_as_rows_for_rl_are_told_apart(tmp_path: Path) -> None:
    corpus = packed(tmp_path / "corpus", (SPAN, ONCE))
    export(corpus, "verl", tmp_path / "verl")
    done = CliRunner().invoke(cli.app, ["import", "verl", str(tmp_path / "verl/sft.parquet"), "--dry-run"])
    assert done.exit_code == 2
    assert "it looks like llamafactory: " in done.stderr.replace("\n", " ")
