"""Ids on the command line: one spelling each, every reading looked for, and what a takedown did to them said in plain words."""

from __future__ import annotations

import base64
import json
import re
import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from dmforge.commands.audit import ask_sql
from dmforge.curation.audit.id_lookup import LAST_LETTERS, LETTERS, find, read_id
from dmforge.curation.audit.printed_ids import by_column, with_ids
from dmforge.curation.audit.sql_sandbox import SqlLimits
from dmforge.curation.audit.stored_rows import StoredRows
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import show
from dmforge.schemas.records import Task, Video
from dmforge.schemas.visible import QUOTED_CHARS
from tests.audit.conftest import ask
from tests.audit.parts import digest_of
from tests.judging.lakes import Given, GivenConfig, judged

PRINTED = "63dce" + "a" * 20 + "q"
"""A printed id that begins like another one in hex."""
IN_HEX = "63dce" + "0" * 59
ABSENT = "video_" + "a" * 26


def video_of(sha256: str) -> Video:
    return Video(sha256, 1000, 64, 64, Fraction(25), "h264", 0, 9)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos, of which one begins as it is printed like the other in hex, with a question about each."""
    folder = tmp_path_factory.mktemp("ids") / "ws"
    videos = [video_of(base64.b32decode(PRINTED.upper() + "======").hex() + "0" * 32), video_of(IN_HEX)]
    judged(folder, [*videos, *(Task(video.id, "open", "What?", (), "two", (), "any") for video in videos)])
    return folder


@pytest.fixture
def copied(lake: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lake, tmp_path / "ws"))


def stored(folder: Path) -> StoredRows:
    lake = Lake(WorkspaceFolder(folder))
    return StoredRows(lake, LakeView(lake, [Given(GivenConfig())]), {"given": Given}.get)


def forget(folder: Path, *words: str, code: int = 0) -> tuple[str, str]:
    """What is printed as the result, and what beside it."""
    result = ask("forget", *words, "--reason", "the owner asked", "-w", folder, code=code)
    return result.stdout, " ".join(result.stderr.split())


def test_a_beginning_is_looked_for_in_both_readings(lake: Path) -> None:
    printed, in_hex = show("video", video_of(IN_HEX).id), f"video_{PRINTED}"
    with pytest.raises(InputError, match="is the beginning of several ids") as refused:
        find(stored(lake), read_id("63dce"))
    assert {printed, in_hex} <= set(re.findall(r"video_[a-z2-7]{26}", refused.value.hint))
    assert show("video", find(stored(lake), read_id("video_63dce")).id) == f"video_{PRINTED}"
    assert show("video", find(stored(lake), read_id("63dcea")).id) == f"video_{PRINTED}"
    assert find(stored(lake), read_id("63dce0")).id == video_of(IN_HEX).id
    assert "the beginning of several videos' ids" in forget(lake, "63dce", code=2)[1]
    assert not (lake / "inputs/forgotten.jsonl").exists()


@pytest.mark.parametrize("prefix", ["video_", "", "VIDEO_"])
def test_a_printed_id_has_one_spelling(prefix: str) -> None:
    printed = "z" + PRINTED[1:]
    assert read_id(prefix + printed).whole_id == read_id(printed).whole_id
    for letter in set(LETTERS) - set(LAST_LETTERS):
        with pytest.raises(InputError, match=f"is mistyped: no id ends with '{letter}'"):
            read_id(prefix + printed[:-1] + letter)
    literal = f"SELECT 'video_{PRINTED[:-1]}r'"
    assert with_ids(literal) == literal
    assert "unhex" in with_ids(f"SELECT 'video_{PRINTED}'")


def test_a_takedown_before_its_video_says_so_and_counts_nothing(copied: Path) -> None:
    result, notes = forget(copied, ABSENT, f"video_{PRINTED}")
    assert result.startswith("removed 1 videos")
    assert notes == f"{ABSENT} is not in this workspace; if it comes, it is not taken in"
    assert ABSENT in (copied / "inputs/forgotten.jsonl").read_text()
    result, notes = forget(copied, ABSENT, f"video_{PRINTED}")
    assert result.startswith("removed 0 videos")
    assert notes.count("was forgotten before: the owner asked") == 2


def test_a_takedown_without_a_reason_is_refused(copied: Path) -> None:
    for reason in ("", " \t"):
        assert "the reason is empty" in ask("forget", ABSENT, "--reason", reason, "-w", copied, code=2).output
    assert not (copied / "inputs/forgotten.jsonl").exists()


def test_a_dry_run_says_what_a_takedown_would_remove(copied: Path) -> None:
    before = digest_of(copied)
    words = f"video_{PRINTED}", ABSENT
    rehearsed = json.loads(forget(copied, *words, "--dry-run", "--json")[0])
    result, notes = forget(copied, *words, "--dry-run")
    assert digest_of(copied) == before
    assert result.startswith("would remove 1 videos, ")
    assert f"{ABSENT} is not in this workspace" in notes
    assert rehearsed == json.loads(forget(copied, *words, "--json")[0])
    assert rehearsed["removed"]["rows"] > 1


def test_a_forgotten_video_is_said_to_be_forgotten(copied: Path) -> None:
    forget(copied, f"video_{PRINTED}")
    for text in (f"video_{PRINTED}", PRINTED[:9]):
        with pytest.raises(InputError, match=f"video_{PRINTED} was forgotten: the owner asked"):
            find(stored(copied), read_id(text))


def test_ids_of_questions_have_one_form_and_lead_to_their_answers(lake: Path) -> None:
    whole = read_id(PRINTED).whole_id
    assert whole is not None
    assert {by_column(column, [whole])[whole] for column in ("request", "requests")} == {f"ask_{PRINTED}"}
    for text, column in (("ask_", "request"), ("request_", "request"), ("variant_", "variant"), ("student_", "student")):
        with pytest.raises(InputError, match="no row of its own") as refused:
            find(stored(lake), read_id(text + PRINTED))
        kind = "ask_" if column == "request" else text
        assert f"WHERE {column} = '{kind}{PRINTED}'" in refused.value.hint


def test_a_kind_that_is_none_and_a_text_without_end_are_told_as_such(lake: Path) -> None:
    _, notes = forget(lake, "vidoe_abcdef", code=2)
    assert notes == "error: VIDEO: the lake has nothing of the kind 'vidoe' hint: did you mean 'video'?"
    _, notes = forget(lake, "z" * 5000, code=2)
    assert f"VIDEO: '{'z' * QUOTED_CHARS}...' is not an id" in notes
    assert len(notes) < 500


def test_a_damaged_part_names_its_commit_and_a_takedown_that_it_stops_goes_on(copied: Path) -> None:
    part = next((copied / "lake/tasks").glob("*.parquet"))
    intact = part.read_bytes()
    part.write_bytes(bytes([*intact[:40], intact[40] ^ 1, *intact[41:]]))
    (commit,) = (path for path in copied.glob("lake/commits/*/*.json") if part.name in path.read_text())
    _, notes = forget(copied, f"video_{PRINTED}", code=1)
    assert f"or delete {commit.relative_to(copied)}, and its batch will be done again" in notes
    assert "the takedown is written down in forgotten.jsonl, and goes on with the next run" in notes
    assert f"video_{PRINTED}" in (copied / "inputs/forgotten.jsonl").read_text()


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("id = 'video_nonsense'", "'video_nonsense' is the beginning of an id"),
        ("v.subject <> 'task_no10'", "'task_no10' is not an id"),
        (f"\"video\"='video_{PRINTED[:-1]}r'", "is mistyped: no id ends with 'r'"),
        ("source = 'video_r1' AND id = 'mine' -- id = 'video_no'", ""),
        ("id IN ('video_nonsense')", ""),
        (f"id = 'video_{PRINTED}'", ""),
    ],
)
def test_a_condition_that_no_id_can_meet_is_refused(condition: str, message: str) -> None:
    sql = f"SELECT 1 FROM verdicts v WHERE {condition}"
    if message:
        with pytest.raises(InputError, match=re.escape(message)) as refused:
            with_ids(sql)
        assert refused.value.where == "--sql"
    else:
        assert with_ids(sql)


def test_a_query_that_takes_an_id_for_a_text_is_told_how_to_look_one_up(tmp_path: Path) -> None:
    ask("init", tmp_path / "ws", "--recipe", "demo")
    with (
        pytest.raises(InputError, match="BLOB") as refused,
        ask_sql(WorkspaceFolder(tmp_path / "ws"), "SELECT id FROM videos WHERE id LIKE 'video_lif%'", SqlLimits()) as answer,
    ):
        answer.batches.read_all()
    assert "id = 'video_...'" in refused.value.hint
    assert "dmforge why BEGINNING" in refused.value.hint


def test_a_video_is_known_by_its_sha256_too_and_a_file_name_is_told_what_is_taken(lake: Path) -> None:
    assert find(stored(lake), read_id(IN_HEX)).id == video_of(IN_HEX).id
    with pytest.raises(InputError, match="is not an id") as refused:
        read_id("world-000001.mp4")
    assert "lists the names of files with their ids" in refused.value.hint


def test_a_file_that_is_quarantined_is_named(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films/broken.mp4").write_bytes(b"no film")
    ask("init", tmp_path / "ws", "--recipe", "demo")
    notes = ask("ingest", tmp_path / "films", "-w", tmp_path / "ws", code=1).stderr
    assert f"quarantined: not a video, as in {tmp_path}/films/broken.mp4: " in notes


def test_tasks_of_our_own_format_are_counted_and_linted_without_their_videos(tmp_path: Path) -> None:
    row = {"video": "a.mp4", "kind": "mcq", "question": "Which?", "options": ["red", "blue"], "answer": "red"}
    rows = [row, row | {"answer": "green"}, row | {"kind": "open", "question": "What can be heard?"}, row | {"kind": "x"}]
    file = tmp_path / "tasks.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    linted = json.loads(ask("lint", file, "--json", code=1).stdout)
    assert [(defect["record"], defect["rule"]) for defect in linted["defects"]] == [
        ("tasks.jsonl:2", "record"), ("tasks.jsonl:3", "silent"), ("tasks.jsonl:4", "record"),
    ]  # fmt: skip
    assert linted["defects"][0]["message"] == "answer not among the options"
    assert "--videos DIR" in ask("import", "jsonl", file, "--dry-run").stderr
    (tmp_path / "a.mp4").touch()
    assert "--videos DIR" not in ask("import", "jsonl", file, "--dry-run", "--videos", tmp_path).stderr
