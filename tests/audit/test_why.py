"""Why a row is as it is: what is told of it stands in the files, and a byte that was changed anywhere on the way is found."""

from __future__ import annotations

import itertools
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from dmforge.commands.video_finder import video_finder
from dmforge.curation.audit.id_lookup import find, read_id
from dmforge.curation.audit.stored_rows import StoredRows
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.selection.select_cot import SelectCot
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import digest, show
from tests.audit.conftest import ask
from tests.audit.parts import digest_of, rows
from tests.judging.lakes import Given


def why(workspace: Path, *words: str, code: int = 0) -> dict[str, Any]:
    return json.loads(ask("why", *words, "-w", workspace, "--json", code=code).stdout)


def sample_of(workspace: Path) -> dict[str, Any]:
    return min(rows(workspace, "samples"), key=lambda row: row["id"])


def test_a_sample_is_followed_from_the_file_to_the_shard(workspace: Path) -> None:
    sample = sample_of(workspace)
    before = digest_of(workspace)
    found = why(workspace, show("sample", sample["id"]), "--check")
    assert digest_of(workspace) == before
    steps = {step["table"]: step for step in found["steps"]}
    assert list(steps) == ["files", "videos", "rows", "tasks", "candidates", "samples", "packed"]
    assert all(step["current"] for step in found["steps"])
    (task,) = (row for row in rows(workspace, "tasks") if row["id"] == sample["task"])
    (candidate,) = (row for row in rows(workspace, "candidates") if row["id"] == sample["candidate"])
    assert steps["tasks"]["row"]["question"] == task["question"]
    assert steps["tasks"]["row"]["origin"] == steps["rows"]["row"]["origin"]
    assert steps["candidates"]["row"]["task"] == show("task", task["id"])
    assert steps["candidates"]["prompts"]
    assert Path(found["source"]["path"]).is_file()
    verdicts = {(row["subject"], row["filter"]): row["score"] for row in rows(workspace, "verdicts")
                if row["subject"] in (candidate["id"], task["id"], sample["video"])}  # fmt: skip
    kinds = {"candidate": candidate["id"], "task": task["id"], "video": sample["video"]}
    told = {(kinds[one["subject"].partition("_")[0]], one["filter"]): one["score"] for one in found["verdicts"]}
    assert told == verdicts
    assert [one["request"] for one in found["answers"]] == [show("ask", key) for key in candidate["requests"]]
    for one in found["answers"]:
        with (workspace / one["path"]).open("rb") as lines:
            lines.seek(one["offset"])
            line = json.loads(lines.readline())
        assert (line["key"], line["answer"]["content"]) == (one["request"], one["text"])
    (place,) = found["shards"]
    with tarfile.open(workspace / place["path"]) as tar:
        for member in place["members"]:
            info = tar.getmember(member["name"])
            assert (info.offset_data, info.size) == (member["offset"], member["size"])
        document = tar.extractfile(place["members"][1]["name"])
        assert document is not None
        assert json.loads(document.read())["samples"][place["nth"]]["id"] == found["id"]
    assert found["checks"]
    assert all(check["holds"] for check in found["checks"])


def test_every_way_to_give_an_id_leads_to_the_row(workspace: Path) -> None:
    for table, kind in (("tasks", "task"), ("candidates", "candidate"), ("videos", "video"), ("samples", "sample")):
        row = rows(workspace, table)[0]["id"]
        whole = show(kind, row)
        for text in (whole, whole[:-14], row.hex(), row.hex()[:14], whole.upper().replace(kind.upper(), kind)):
            assert why(workspace, text)["id"] == whole
    verdict = rows(workspace, "verdicts")[0]
    assert why(workspace, show("verdict", verdict["id"]))["steps"][-1]["row"]["filter"] == verdict["filter"]


def test_every_way_to_give_an_id_names_the_video_that_is_forgotten(workspace: Path) -> None:
    lake = Lake(WorkspaceFolder(workspace))
    first, *others = (row["id"] for row in rows(workspace, "videos"))
    whole, bare = show("video", first), show("video", first).removeprefix("video_")
    for text in (whole, whole.upper(), f" {whole} ", whole[:-14], bare, bare[:12], first.hex(), first.hex()[:12]):
        assert video_finder([text])(lake) == [first]
    assert video_finder([show("video", other) for other in others])(lake) == others
    elsewhere = digest("video", "one that is not here yet")
    assert video_finder([show("video", elsewhere)])(lake) == [elsewhere]
    task = rows(workspace, "tasks")[0]["id"]
    for text, told in (
        (show("task", task), "is the id of a task"), (task.hex(), "is the id of no video here"),
        (elsewhere.hex(), "is the id of no video here"), ("vide", "is the id of no video here"), ("v", "too short"),
    ):  # fmt: skip
        assert told in ask("forget", whole, text, "--reason", "asked", "-w", workspace, code=2).output
    assert not (workspace / "inputs/forgotten.jsonl").exists()


def test_several_videos_are_forgotten_at_once(workspace: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(workspace, tmp_path / "ws"))
    first, second, *_ = (row["id"] for row in rows(copy, "videos"))
    told = ask("forget", show("video", first), second.hex(), first.hex()[:8], "--reason", "asked", "-w", copy)
    assert told.stdout.startswith("removed 2 videos")
    assert {first, second}.isdisjoint(row["id"] for row in rows(copy, "videos"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("abc", "too short"),
        ("sampel_abcdefg", "did you mean 'sample'"),
        ("task_!!!!!!", "is not an id"),
        ("'; DROP TABLE tasks", "is not an id"),
        ("task_" + "a" * 26, "the nearest are task_"),
        ("0" * 32, "the nearest are"),
        ("f" * 80, "is not an id"),
    ],
)
def test_what_is_no_id_is_told_what_is_near(text: str, told: str, workspace: Path) -> None:
    assert told in ask("why", text, "-w", workspace, code=2).output


def test_a_beginning_of_several_ids_names_them(scored: tuple[Path, LakeView]) -> None:
    folder, view = scored
    verdicts = sorted(row["id"] for row in rows(folder, "verdicts"))
    one, other = next(pair for pair in itertools.pairwise(verdicts) if pair[0][:2] == pair[1][:2])
    stored = StoredRows(Lake(WorkspaceFolder(folder)), view, {"given": Given, "select_cot": SelectCot}.get)
    with pytest.raises(InputError, match="the beginning of several ids") as told:
        find(stored, read_id(one.hex()[:4]))
    assert show("verdict", one) in str(told.value)
    assert show("verdict", other) in str(told.value)
    assert find(stored, read_id(one.hex()))[:2] == ("verdicts", one)


def test_where_nothing_is_nothing_is_near(tmp_path: Path) -> None:
    empty = tmp_path / "ws"
    ask("init", empty, "--recipe", "demo")
    assert "the lake is empty" in ask("why", "abcdef", "-w", empty, code=2).output


@pytest.mark.parametrize("place", ["media/*/*.coarse.mp4", "lake/candidates/*.parquet", "shards/cot/*/*.tar", "media/*/*.json"])
def test_a_byte_that_was_changed_is_found(place: str, workspace: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(workspace, tmp_path / "ws"))
    sample = show("sample", sample_of(workspace)["id"])
    place_of = why(copy, sample)
    for path in copy.glob(place):
        data = bytearray(path.read_bytes())
        at = place_of["shards"][0]["members"][2]["offset"] + 100 if path.suffix == ".tar" else data.find(b"a", len(data) // 2)
        data[at] ^= 1
        path.write_bytes(data)
    found = why(copy, sample, "--check", code=1)
    assert not all(check["holds"] for check in found["checks"])


def test_a_row_of_an_earlier_recipe_says_so(workspace: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(workspace, tmp_path / "ws"))
    recipe = copy / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("attempts = 3 ", "attempts = 4 "))
    found = why(copy, show("sample", sample_of(workspace)["id"]))
    current = {step["table"]: step["current"] for step in found["steps"]}
    assert (current["tasks"], current["candidates"], found["current"]) == (True, False, False)
    assert "the recipe as it is now" in ask("why", found["id"], "-w", copy).output


def test_a_video_and_a_rejected_candidate_are_told_too(workspace: Path) -> None:
    video = rows(workspace, "videos")[0]["id"]
    found = why(workspace, show("video", video))
    assert {step["table"] for step in found["steps"]} == {"files", "videos"}
    rejected = [row for row in rows(workspace, "outcomes", "select_cot") if row["status"] == "rejected"]
    for row in rejected[:1]:
        told = why(workspace, show("candidate", row["input"]))
        assert row["reason"] in [one["reason"] for one in told["outcomes"]]
