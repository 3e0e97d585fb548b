"""Columns beside a journal say what its lines say: damaged, outdated or of other lines, they are not used."""

from __future__ import annotations

import json
import os
import random
import stat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dmforge.curation.lake import journal_table
from dmforge.curation.lake.answer_columns import columns_path, open_columns
from dmforge.curation.lake.journal_lines import forget_answers
from dmforge.curation.lake.journal_seals import sealed_line
from dmforge.curation.lake.journal_table import ANSWERS, answers, keep_columns
from dmforge.curation.soundness.journal_files import check_columns
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import digest, show

VIDEOS = [digest("video", number) for number in range(5)]


def line(number: int) -> bytes:
    usage = {"prompt_tokens": number, "completion_tokens": 7} if number % 9 else {"prompt_tokens": "many"}
    asked = {"stage": "annotate", "prompt": "look", "prompt_sha256": "0" * 64, "attempt": number % 3}
    answer = {"content": "The door opens. " * 9, "usage": usage} | ({"asked": asked} if number % 4 else {})
    head = {"key": show("ask", digest("ask", number)), "video": show("video", VIDEOS[number % len(VIDEOS)])}
    return sealed_line({**head, "model": "m", "answer": answer})


def written(root: Path, numbers: range) -> Path:
    path = root / "journal" / "m" / "main.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.writelines(map(line, numbers))
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> WorkspaceFolder:
    written(tmp_path, range(200))
    return WorkspaceFolder(tmp_path)


def read_anew(workspace: WorkspaceFolder) -> pa.Table:
    """The answers as all lines say them, with no columns beside them."""
    paths = list(workspace.journal.glob("*/*.columns"))
    kept = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    table = answers(workspace)
    for path, content in zip(paths, kept, strict=True):
        path.write_bytes(content)
    return table


def test_an_audit_reads_only_lines_that_have_no_columns(workspace: WorkspaceFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    all_read = answers(workspace)
    keep_columns(workspace)
    assert stat.S_IMODE(os.stat(columns_path(workspace.journal / "m" / "main.jsonl")).st_mode) == 0o600
    written(workspace.root, range(200, 203))
    lines: list[bytes] = []
    read_line = journal_table.read_line

    def noted(journal_line: bytes) -> Any:
        lines.append(journal_line)
        return read_line(journal_line)

    monkeypatch.setattr(journal_table, "read_line", noted)
    table = answers(workspace)
    assert [*map(line, range(200, 203))] == lines
    assert table.slice(0, 200).equals(all_read)
    assert table.equals(read_anew(workspace))
    assert "journal/m/main.jsonl, line 10: its usage counts no tokens" in str(table["fault"][9])


def test_columns_grow_with_the_journal(workspace: WorkspaceFolder) -> None:
    keep_columns(workspace)
    written(workspace.root, range(200, 400))
    keep_columns(workspace)
    kept = open_columns(workspace.journal / "m" / "main.jsonl", ANSWERS)
    assert kept is not None
    assert kept.row_count == 400
    assert answers(workspace).equals(read_anew(workspace))
    assert not list(check_columns(workspace))


def test_a_line_that_cannot_be_read_is_read_again_each_time(workspace: WorkspaceFolder) -> None:
    path = workspace.journal / "m" / "main.jsonl"
    sound = path.read_bytes()
    lines = sound.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:150], lines[150].replace(b"opens", b"shuts"), *lines[151:]]))
    keep_columns(workspace)
    kept = open_columns(path, ANSWERS)
    assert kept is not None
    assert kept.row_count == 150
    assert "line 151: " in (answers(workspace)["fault"].to_pylist()[150] or "")
    path.write_bytes(sound)
    assert "line 151: " not in (answers(workspace)["fault"].to_pylist()[150] or "")


def test_no_flip_and_no_cut_of_columns_changes_an_answer(workspace: WorkspaceFolder) -> None:
    keep_columns(workspace)
    path, table, draw = columns_path(workspace.journal / "m" / "main.jsonl"), answers(workspace), random.Random(7)
    sound = path.read_bytes()
    for _ in range(60):
        damaged, at = bytearray(sound), draw.randrange(len(sound))
        if draw.random() < 0.7:
            damaged[at] ^= 1 << draw.randrange(8)
        else:
            del damaged[at:]
        path.write_bytes(damaged)
        assert answers(workspace).equals(table)
        (defect,) = check_columns(workspace)
        assert defect.file == "journal/m/main.jsonl.columns"
    path.write_bytes(sound)
    assert not list(check_columns(workspace))


def test_columns_of_other_lines_are_not_used(workspace: WorkspaceFolder) -> None:
    keep_columns(workspace)
    path = workspace.journal / "m" / "main.jsonl"
    _, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(others))
    assert open_columns(path, ANSWERS) is None
    assert answers(workspace).num_rows == 199
    assert list(check_columns(workspace))


def test_what_is_forgotten_is_in_no_columns(workspace: WorkspaceFolder) -> None:
    keep_columns(workspace)
    assert forget_answers(workspace, [VIDEOS[0]]) == 40
    assert not list(workspace.journal.glob("*/*.columns"))
    keep_columns(workspace)
    assert VIDEOS[0] not in set(answers(workspace)["video"].to_pylist())


def test_columns_that_say_something_else_are_named(workspace: WorkspaceFolder) -> None:
    path = workspace.journal / "m" / "main.jsonl"
    keep_columns(workspace)
    lines = path.read_bytes().splitlines(keepends=True)
    record = json.loads(lines[3])
    del record["sha256"]
    record["answer"]["usage"]["prompt_tokens"] = 4  # as long as before, and far from the tail
    path.write_bytes(b"".join([*lines[:3], sealed_line(record), *lines[4:]]))
    (defect,) = check_columns(workspace)
    assert "something else" in defect.reason
