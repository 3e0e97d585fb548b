"""A paid answer is acknowledged when it is on the disk, and is never paid for twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ClassVar

import pytest

from dmforge.curation.io import machine
from dmforge.curation.lake.journal import Answer, Journal, StoredAnswer
from dmforge.curation.lake.journal_lines import forget_answers
from dmforge.curation.lake.journal_table import answers
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import LakeError
from dmforge.schemas.ids import digest

VIDEO = digest("video", 1)


def key(number: int) -> bytes:
    return digest("ask", number)


def answering(answer: Answer) -> Callable[[], Awaitable[Answer]]:
    async def ask() -> Answer:
        await asyncio.sleep(0)
        return answer

    return ask


def write(workspace: WorkspaceFolder, numbers: range, video: bytes = VIDEO, writer: str = "main") -> None:
    async def all_at_once() -> None:
        journal = Journal(workspace, "org/model", writer)
        await asyncio.gather(*(journal.answer(key(n), video, answering({"score": n, "text": "é\n\ud800"})) for n in numbers))
        journal.close()

    asyncio.run(all_at_once())


def file_of(workspace: WorkspaceFolder) -> Path:
    return workspace.journal / "org-model" / "main.jsonl"


def test_what_was_recorded_is_found_by_the_next_run_and_by_other_writers(tmp_path: Path) -> None:
    workspace = WorkspaceFolder(tmp_path)
    write(workspace, range(100))
    write(workspace, range(100, 120), writer="rank-1")
    journal = Journal(workspace, "org/model", "rank-2")
    assert len(journal) == 120
    for number in range(120):
        assert journal.find(key(number)) == StoredAnswer({"score": number, "text": "é\n\ud800"}, None)
    assert journal.find(key(120)) is None


def test_many_answers_share_a_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes = []
    plain = Journal._append
    monkeypatch.setattr(Journal, "_append", lambda self, *where: (flushes.append(len(where[-1])), plain(self, *where))[1])
    write(WorkspaceFolder(tmp_path), range(200))
    assert len(flushes) < 20
    assert len(file_of(WorkspaceFolder(tmp_path)).read_text().splitlines()) == 200


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_torn_last_line_is_cut_and_nothing_else_is_lost(tmp_path: Path, cut: int) -> None:
    workspace = WorkspaceFolder(tmp_path)
    write(workspace, range(10))
    whole = file_of(workspace).read_bytes()
    file_of(workspace).write_bytes(whole[:-cut])
    journal = Journal(workspace, "org/model")
    assert len(journal) == 9
    write(workspace, range(9, 11))
    lines = file_of(workspace).read_text().splitlines()
    assert [json.loads(line)["answer"]["score"] for line in lines] == list(range(11))


def test_a_torn_line_longer_than_what_is_read_at_once_is_cut(tmp_path: Path) -> None:
    workspace = WorkspaceFolder(tmp_path)
    write(workspace, range(2))
    whole = file_of(workspace).read_bytes()
    file_of(workspace).write_bytes(whole + b'{"key": "' + b"x" * 200_000)
    assert len(Journal(workspace, "org/model")) == 2
    assert file_of(workspace).read_bytes() == whole


def test_a_journal_of_half_a_line_is_empty(tmp_path: Path) -> None:
    workspace = WorkspaceFolder(tmp_path)
    file_of(workspace).parent.mkdir(parents=True)
    file_of(workspace).write_bytes(b'{"key": "ask_')
    assert len(Journal(workspace, "org/model")) == 0


def test_a_line_of_which_a_power_cut_left_some_sectors_was_never_there(tmp_path: Path) -> None:
    # found by the simulation: the file has its length, some sectors of its last lines are still zeros
    workspace = WorkspaceFolder(tmp_path)
    write(workspace, range(5))
    lines = file_of(workspace).read_bytes().splitlines(keepends=True)
    lines[3] = b"\0" * 64 + lines[3][64:]
    file_of(workspace).write_bytes(b"".join(lines))
    journal = Journal(workspace, "org/model")
    assert journal.find(key(3)) is None
    assert [number for number in range(5) if journal.find(key(number))] == [0, 1, 2, 4]
    write(workspace, range(5))
    assert Journal(workspace, "org/model").find(key(3)) is not None
    assert forget_answers(workspace, [VIDEO]) == 6
    assert file_of(workspace).read_bytes() == b""


def test_a_blank_that_became_a_zero_is_damage_and_no_power_cut(tmp_path: Path) -> None:
    """One flipped bit makes a zero of a blank. Passed over, the question would be asked and paid for again."""
    workspace = WorkspaceFolder(tmp_path)
    write(workspace, range(3))
    content = file_of(workspace).read_bytes()
    place = content.index(b" ", len(content) // 2)
    file_of(workspace).write_bytes(content[:place] + b"\0" + content[place + 1 :])
    with pytest.raises(LakeError, match="line 2") as refused:
        Journal(workspace, "org/model").find(key(1))
    assert refused.value.where == str(file_of(workspace))


def test_the_folders_of_a_journal_are_synced_also_where_a_killed_process_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noting(machine.Machine):
        synced: ClassVar[set[Path]] = set()

        def fsync(self, descriptor: int) -> None:
            self.synced.add(Path(f"/proc/self/fd/{descriptor}").readlink())

    workspace = WorkspaceFolder(tmp_path)
    file_of(workspace).parent.mkdir(parents=True)
    monkeypatch.setattr(machine, "current", Noting())
    Journal(workspace, "org/model").close()
    assert {tmp_path, workspace.journal, file_of(workspace).parent} <= Noting.synced


def test_a_damaged_line_is_named_with_its_place(tmp_path: Path) -> None:
    workspace = WorkspaceFolder(tmp_path)
    write(workspace, range(3))
    path = file_of(workspace)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"not a line\n" + lines[2])
    with pytest.raises(LakeError, match="line 2 ") as error:
        Journal(workspace, "org/model")
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": 2}, {"prompt_tokens": 1.5, "completion_tokens": 2},
        {"prompt_tokens": 10**30, "completion_tokens": 2}, {"prompt_tokens": 2**61, "completion_tokens": 2},
        {"prompt_tokens": float("nan"), "completion_tokens": 2}, {"prompt_tokens": True, "completion_tokens": 2},
        {"prompt_tokens": "9", "completion_tokens": 2}, {"prompt_tokens": None, "completion_tokens": 2}, "many", [1, 2], 7,
    ],
)  # fmt: skip
def test_a_line_that_counts_no_tokens_stops_no_audit_and_is_named_with_its_place(tmp_path: Path, usage: object) -> None:
    workspace = WorkspaceFolder(tmp_path)
    write(workspace, range(2))
    lines = file_of(workspace).read_bytes().splitlines(keepends=True)
    good, spoilt = (json.loads(line) for line in lines)
    spoilt["answer"]["usage"] = usage
    good["answer"]["usage"] = {"prompt_tokens": 3, "completion_tokens": 4}
    del good["sha256"], spoilt["sha256"]  # as in journals of before, whose lines have no seal
    file_of(workspace).write_text(f"{json.dumps(good)}\n{json.dumps(spoilt)}\n")
    first, second = answers(workspace).to_pylist()
    assert (first["input_tokens"], first["output_tokens"], first["fault"]) == (3, 4, None)
    assert (second["request"], second["input_tokens"]) == (key(1), None)
    assert second["output_tokens"] == (2 if isinstance(usage, dict) else None)
    assert second["fault"].startswith("journal/org-model/main.jsonl, line 2: its usage counts no tokens")
    journal = Journal(workspace, "org/model")
    assert journal.find(key(1)) is not None
    journal.close()


@pytest.mark.parametrize(
    "damage",
    [b"not a line", b"", b"\xff\xfe", b"[" * 200_000, b'{"key": 3}', b"9" * 5000, b'{"answer": {}, "model": "\\ud800"}'],
)
def test_a_damaged_line_stops_no_audit_of_the_others(tmp_path: Path, damage: bytes) -> None:
    workspace = WorkspaceFolder(tmp_path)
    write(workspace, range(2))
    lines = file_of(workspace).read_bytes().splitlines(keepends=True)
    file_of(workspace).write_bytes(lines[0] + damage + b"\n" + lines[1])
    first, second, third = answers(workspace).to_pylist()
    assert [row["request"] for row in (first, second, third)] == [key(0), None, key(1)]
    assert [row["fault"] for row in (first, third)] == [None, None]
    assert second["fault"].startswith("journal/org-model/main.jsonl, line 2: ")
    with pytest.raises(LakeError, match="line 2 "):
        Journal(workspace, "org/model")


def test_lines_about_a_forgotten_video_go_and_the_others_stay(tmp_path: Path) -> None:
    workspace, other = WorkspaceFolder(tmp_path), digest("video", 2)
    write(workspace, range(5))
    write(workspace, range(5, 9), video=other)
    assert forget_answers(workspace, [VIDEO]) == 5
    journal = Journal(workspace, "org/model")
    assert [number for number in range(9) if journal.find(key(number))] == [5, 6, 7, 8]
    assert file_of(workspace).stat().st_mode & 0o077 == 0


def test_a_models_name_makes_one_folder_inside_the_journal(tmp_path: Path) -> None:
    for name in ("../../evil", "a/b", "..", ""):
        Journal(WorkspaceFolder(tmp_path), name, name).close()
    assert all(path.parent.parent == tmp_path / "journal" for path in tmp_path.rglob("*.jsonl"))
    assert len(list(tmp_path.rglob("*.jsonl"))) == 3


def test_others_on_the_machine_cannot_read_the_journal(tmp_path: Path) -> None:
    write(WorkspaceFolder(tmp_path), range(1))
    assert file_of(WorkspaceFolder(tmp_path)).stat().st_mode & 0o077 == 0
