"""Asking as a person does: a row is found by a name, a line or its words; what fails stands first; takedowns take lists."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dmforge.schemas.ids import show
from tests.audit.conftest import ask
from tests.audit.parts import digest_of, rows


def why(workspace: Path, text: str) -> dict[str, Any]:
    return json.loads(ask("why", text, "-w", workspace, "--json").stdout)


def brought(workspace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workspace / "inputs/videos.jsonl").read_text().splitlines()]


def printed(listed_video: dict[str, Any]) -> str:
    return show("video", bytes.fromhex(listed_video["sha256"])[:16])


def test_a_video_is_found_by_its_name_its_file_and_its_path(workspace: Path) -> None:
    for listed_video in brought(workspace)[:2]:
        path = listed_video["path"]
        for text in (listed_video["source_id"], Path(path).name, path, f" {path} "):
            assert why(workspace, text)["id"] == printed(listed_video)


def test_a_row_is_found_by_its_line_and_by_its_words(workspace: Path) -> None:
    row = rows(workspace, "rows")[0]
    assert why(workspace, row["origin"])["id"] == show("row", row["id"])
    assert why(workspace, f"some/folder/{row['origin']}")["id"] == show("row", row["id"])
    candidates = {
        show("candidate", row["id"]): " ".join(
            " ".join(piece["text"] for piece in row["transcript"]["pieces"] if piece["author"] == "policy").lower().split()
        )
        for row in rows(workspace, "candidates")
    }
    for candidate, text in candidates.items():
        words = text[5:60]
        having = {id for id, other in candidates.items() if words in other}
        if having == {candidate}:
            spread = "  " + words.upper().replace(" ", "\n ") + " "
            assert why(workspace, spread)["id"] == candidate
            break
    else:
        pytest.fail("no candidate says words of its own")


def test_words_of_several_rows_list_all_of_them(workspace: Path) -> None:
    tasks = rows(workspace, "tasks")
    words = tasks[0]["question"][:5].upper()
    result = ask("why", words, "-w", workspace, "--json", code=2)
    matches = dict(json.loads(result.stdout)["rows"])
    having = {show("task", row["id"]): row["question"] for row in tasks if words.lower() in row["question"].lower()}
    assert len(having) > 1
    assert having == {id: text for id, text in matches.items() if id.startswith("task_")}
    assert f"{len(matches)} rows have {words.strip()!r}" in result.stderr
    table = ask("why", words, "-w", workspace, code=2).stdout
    assert all(id in table for id in having)


def test_what_nothing_says_is_told_so_with_a_hint(workspace: Path) -> None:
    result = ask("why", "nobody says this of anything", "-w", workspace, code=2)
    assert "nor is it the name of a video, a line of a file, or said in a question" in " ".join(result.stderr.split())
    assert "lists the names of files with their ids" in " ".join(result.stderr.split())
    assert not result.stdout


def test_a_file_that_no_run_has_seen_says_so(workspace: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(workspace, tmp_path / "ws"))
    new = brought(copy)[0] | {"sha256": "ab" * 32, "path": "/elsewhere/new.mp4", "source_id": "new"}
    del new["seal"]
    with (copy / "inputs/videos.jsonl").open("a") as lines:
        lines.write(json.dumps(new) + "\n")
    assert "no run has seen it yet" in ask("why", "new.mp4", "-w", copy, code=2).output


def test_failing_verdicts_stand_first_and_none_is_left_out(workspace: Path) -> None:
    thresholds = tomllib.loads((workspace / "recipe.toml").read_text())["stages"]["select_cot"]["min_score"]
    rejected = next(row for row in rows(workspace, "outcomes", "select_cot") if row["reason"].startswith("below threshold"))
    candidate = show("candidate", rejected["input"])
    verdicts = why(workspace, candidate)["verdicts"]
    failing = [one for one in verdicts if one["score"] < thresholds.get(one["filter"], -1)]
    assert failing
    assert verdicts[: len(failing)] == failing
    assert [one["misses"] for one in failing] == [[f"below {thresholds[one['filter']]:g} of select_cot"] for one in failing]
    assert not any(one["misses"] for one in verdicts[len(failing) :])
    lines = ask("why", candidate, "-w", workspace).stdout.splitlines()
    assert lines[:3] == [candidate, "", "failing verdicts"]
    others = lines[lines.index("other verdicts") + 1 :]
    assert len(others[: others.index("")]) == len(verdicts) - len(failing)
    assert lines[lines.index("outcomes") + 1].startswith(f"  select_cot of {candidate}: rejected")


def test_a_verdict_of_an_earlier_recipe_fails_nothing(workspace: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(workspace, tmp_path / "ws"))
    recipe = copy / "recipe.toml"
    rejected = next(row for row in rows(copy, "outcomes", "select_cot") if row["reason"].startswith("below threshold"))
    recipe.write_text(recipe.read_text().replace("attempts = 3 ", "attempts = 4 "))
    verdicts = [one for one in why(copy, show("candidate", rejected["input"]))["verdicts"] if one["subject"][:4] == "cand"]
    assert verdicts
    assert not any(one["current"] or one["misses"] for one in verdicts)


def test_a_takedown_takes_names_and_lists(workspace: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(workspace, tmp_path / "ws"))
    first, second, third, *_ = brought(copy)
    names = tmp_path / "names.txt"
    names.write_text(f"{second['source_id']}\n\n{Path(first['path']).name}\r\n{printed(third)}\n", encoding="utf-8-sig")
    before = digest_of(copy)
    words = (first["source_id"], f"@{names}", "--reason", "asked", "-w", copy)
    assert ask("forget", *words, "--dry-run").stdout.startswith("would remove 3 videos")
    assert digest_of(copy) == before
    assert ask("forget", *words).stdout.startswith("removed 3 videos")
    assert {printed(one) for one in (first, second, third)}.isdisjoint(show("video", row["id"]) for row in rows(copy, "videos"))


def test_a_list_with_a_name_that_is_nobodys_removes_nothing(workspace: Path, tmp_path: Path) -> None:
    first, *_ = brought(workspace)
    names = tmp_path / "names.txt"
    words = (f"@{names}", "--reason", "asked", "-w", workspace)
    for content, told in (
        (f"{first['source_id']}\nnobody at all\n".encode(), f"{names}:2: 'nobody at all' is not an id"),
        (f"{first['source_id']}\nabcdefgh\n".encode(), f"{names}:2: 'abcdefgh' is the id of no video here"),
        (b" \n", "the list is empty"),
        (b"\xff\xfe", "not UTF-8"),
    ):
        names.write_bytes(content)
        assert told in ask("forget", *words, code=2).output
    names.unlink()
    assert "there is no such list" in ask("forget", *words, code=2).output
    assert not (workspace / "inputs/forgotten.jsonl").exists()


def test_a_name_of_two_videos_is_refused_for_a_takedown(workspace: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(workspace, tmp_path / "ws"))
    first, second, *others = brought(copy)
    second["also"] = [first["source_id"]]
    del second["seal"]
    (copy / "inputs/videos.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (first, second, *others)))
    result = ask("forget", first["source_id"], "--reason", "asked", "-w", copy, code=2)
    assert "may mean several videos" in result.output
    assert printed(first) in result.output
    assert printed(second) in result.output
    result = ask("why", first["source_id"], "-w", copy, code=2)
    assert printed(first) in result.stdout
    assert printed(second) in result.stdout
