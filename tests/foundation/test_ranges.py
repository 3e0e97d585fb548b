"""The driver works through ranges of video ids: how they are cut decides what is in memory at once, and nothing else."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from benchmarks.invented import TASKS_A_VIDEO, chain
from dmforge.curation.executors.local import LocalExecutor
from dmforge.curation.lake import views, worklist
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.spool import Spool
from dmforge.curation.lake.whereabouts import Whereabouts
from dmforge.curation.runner import Driver
from dmforge.curation.shards import index, pack
from dmforge.curation.workspace import Workspace
from dmforge.filters import select


def made(root: Path, tasks: int) -> dict[str, str]:
    """Every file that a whole chain leaves in lake and shards, by what it holds."""
    workspace, stages = Workspace(root), chain(tasks)
    with workspace.held("test"):
        for report in Driver(Lake(workspace), stages, LocalExecutor(), Console(file=io.StringIO())).run(stages):
            assert not report.tally.pending
    files = (path for folder in (workspace.lake, workspace.shards) for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_how_ranges_are_cut_changes_no_byte_of_lake_and_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(tmp_path / "whole", 30 * TASKS_A_VIDEO)
    ranges = (worklist, "RANGE_ROWS"), (views, "RANGE_ROWS"), (pack, "RANGE_SAMPLES"), (select, "RANGE_SUBJECTS")
    for module, name in ranges:
        monkeypatch.setattr(module, name, 40)
    monkeypatch.setattr(index, "ROWS", index.GROUP // 4)
    assert made(tmp_path / "cut", 30 * TASKS_A_VIDEO) == whole
    assert any(name.endswith(".tar") for name in whole)


def test_the_first_place_of_a_key_counts_until_another_is_noted() -> None:
    places = Whereabouts(iter([("b", 0, 7), ("a", 1, 3), ("b", 2, 9)]))
    assert (len(places), places.find("a"), places.find("b"), places.find("c")) == (2, (1, 3), (0, 7), None)
    places.note([("c", 1, 20), ("b", 1, 30)])
    assert (len(places), places.find("b"), places.find("c")) == (3, (1, 30), (1, 20))


def test_pieces_come_out_of_a_spool_as_they_went_in() -> None:
    pieces = [pa.table({"id": list(range(at, at + 3))}) for at in (0, 3)]
    with Spool() as spool:
        for piece in pieces:
            spool.add("rows", piece)
        spool.add("others", pa.table({"name": ["x"]}))
        assert {table: [row.to_pydict() for row in rows] for table, rows in spool.tables().items()} == {
            "rows": [{"id": [0, 1, 2]}, {"id": [3, 4, 5]}],
            "others": [{"name": ["x"]}],
        }
