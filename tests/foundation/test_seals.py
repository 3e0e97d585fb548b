"""What is written says by itself whether it was changed: journal lines, lists of inputs, records, finished folders."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from dmforge.curation.io.checksums import changed_files, write_checksums
from dmforge.curation.io.sealed_json import SEAL, sealed, unsealed
from dmforge.curation.lake.journal import read_line
from dmforge.curation.lake.journal_seals import reply_digest, sealed_line
from dmforge.curation.sources.annotation_format import Question
from dmforge.curation.sources.annotation_reader import PlacedQuestion
from dmforge.curation.sources.annotations import ImportedFiles, all_rows, store_questions
from dmforge.curation.sources.formats import find_format
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.sources.videos import listed, register
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError

ANSWER = {"content": "é", "refusal": "", "finish": "stop", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
LINE = sealed_line({"key": "ask_" + "a" * 26, "video": "video_" + "a" * 26, "limit": 9, "model": "m", "answer": ANSWER})


@pytest.mark.parametrize("offset", range(len(LINE) - 1))
def test_no_bit_of_a_line_of_the_journal_can_be_flipped_unseen(offset: int) -> None:
    for bit in range(8):
        flipped = bytearray(LINE)
        flipped[offset] ^= 1 << bit
        with pytest.raises(ValueError, match=r"."):
            read_line(bytes(flipped))


def test_a_line_without_a_seal_is_older_and_read_as_it_is() -> None:
    fields = json.loads(LINE)
    del fields["sha256"]
    assert read_line(json.dumps(fields).encode())["answer"] == ANSWER


def test_what_an_answer_says_does_not_depend_on_how_it_was_sent() -> None:
    assert reply_digest(ANSWER) == reply_digest(ANSWER | {"usage": {}, "limit": 3, "batched": True})
    assert reply_digest(ANSWER) != reply_digest(ANSWER | {"content": "e"})


def test_an_object_is_as_it_was_sealed_or_refused() -> None:
    values = {"a": 1, "b": ["é", None]}
    assert unsealed(json.loads(json.dumps(sealed(values)))) == values
    assert unsealed(values) == values
    with pytest.raises(ValueError, match="changed after it was written"):
        unsealed(sealed(values) | {"a": 2})


def test_a_list_of_videos_that_was_edited_is_named_and_one_without_seals_is_read(tmp_path: Path) -> None:
    workspace = WorkspaceFolder(tmp_path)
    (tmp_path / "film.mp4").write_bytes(b"film")
    register(workspace, [str(tmp_path / "film.mp4")], SourceInfo("here", "CC0-1.0"))
    path = workspace.inputs / "videos.jsonl"
    path.write_text(path.read_text().replace("CC0-1.0", "CC0-2.0"))
    with pytest.raises(InputError, match="changed after it was written") as error:
        listed(workspace)
    assert error.value.where == f"{path}:1"
    fields = json.loads(path.read_text())
    del fields[SEAL]
    path.write_text(json.dumps(fields) + "\n")
    assert [video.licence for video in listed(workspace).values()] == ["CC0-2.0"]


def test_annotations_that_were_cut_between_two_lines_are_named(tmp_path: Path) -> None:
    workspace, form = WorkspaceFolder(tmp_path), find_format("jsonl", "import")
    source = tmp_path / "tasks.jsonl"
    source.write_text("".join(json.dumps({"video": "a", "question": f"What is {n}?", "answer": "b"}) + "\n" for n in range(3)))
    files = ImportedFiles(form, (source,))
    placed = (PlacedQuestion(f"tasks.jsonl:{n}", Question("a", "open", f"What is {n}?")) for n in range(3))
    store_questions(workspace, files, placed, None, SourceInfo())
    assert len(list(all_rows(workspace))) == 3
    path = files.path(workspace)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match="2 lines are left of 3"):
        list(all_rows(workspace))


def test_checksums_of_a_folder_are_those_that_sha256sum_reads(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    write_checksums(tmp_path)
    subprocess.run(["sha256sum", "--check", "--quiet", "checksums.sha256"], cwd=tmp_path, check=True)
    assert not list(changed_files(tmp_path))
    (tmp_path / "two").write_bytes(b"3")
    (tmp_path / "deep/one").unlink()
    assert dict(changed_files(tmp_path)) == {tmp_path / "deep/one": "it is missing", tmp_path / "two": "its bytes were changed"}
    assert hashlib.sha256(b"3").hexdigest() not in (tmp_path / "checksums.sha256").read_text()
