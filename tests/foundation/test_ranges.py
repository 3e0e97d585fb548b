"""The driver works through ranges of video ids: how they are cut decides what is in memory at once, and nothing else."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.lake import views, worklist
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.journal_index import JournalIndex
from dmforge.curation.lake.journal_place import Place
from dmforge.curation.lake.parts import write_part
from dmforge.curation.lake.spool import Spool
from dmforge.curation.packing import pack
from dmforge.curation.shards import index
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters import duplicates
from dmforge.filters.selection import select_cot, select_rl, task_sampling
from tests.support.invented import TASKS_A_VIDEO, chain, sets


def made(root: Path, stages: Sequence[AnyStage]) -> dict[str, str]:
    """Every file that stages leave in lake and shards, by what it holds."""
    workspace = WorkspaceFolder(root)
    with workspace.held("test"):
        for report in Driver(Lake(workspace), stages, LocalExecutor(), Console(file=io.StringIO())).run(stages):
            assert not report.tally.pending
    files = (path for folder in (workspace.lake, workspace.shards) for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("stages", [chain, sets])
def test_how_ranges_are_cut_changes_no_byte_of_lake_and_shards(
    stages: Callable[[int], Sequence[AnyStage]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(tmp_path / "whole", stages(30 * TASKS_A_VIDEO))
    for module, name in (
        (worklist, "RANGE_ROWS"), (views, "RANGE_ROWS"), (duplicates, "RANGE_ROWS"), (pack, "RANGE_SAMPLES"),
        (select_cot, "RANGE_SUBJECTS"), (select_rl, "RANGE_SUBJECTS"), (task_sampling, "CHUNK_TASKS"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, 40)
    monkeypatch.setattr(index, "ROWS_PER_BATCH", index.ROWS_PER_GROUP // 4)
    assert made(tmp_path / "cut", stages(30 * TASKS_A_VIDEO)) == whole
    assert any(name.startswith("lake/samples/") for name in whole)


def test_how_pieces_are_cut_changes_no_byte_of_a_part(tmp_path: Path) -> None:
    """Texts of so many bytes that pages end within a row group."""
    count, texts = 10_000, [f"{number:0400d}" for number in range(10_000)]
    ids = pa.array([hashlib.sha256(text.encode()).digest()[:16] for text in texts], pa.binary(16))
    rows = pa.table({"id": ids, "text": texts})
    cuts = {size: [rows.slice(start, size) for start in range(0, count, size)] for size in (700, 4096, count)}
    parts = [write_part(tmp_path, "texts", f"part-{size}.parquet", pieces) for size, pieces in cuts.items()]
    assert len({part.sha256 for part in parts if part}) == 1


def test_one_line_of_a_key_counts() -> None:
    """The first that isn't cut off, by its limit; else the one with the largest limit."""
    lines = [
        Place("b", file=0, offset=7), Place("a", file=1, offset=3), Place("b", file=2, offset=9),
        Place("cut", 512, True, 0, 1), Place("cut", 2048, True, 1, 2), Place("cut", 1024, True, 2, 3),
        Place("whole", 512, True, 0, 4), Place("whole", 4096, False, 0, 5), Place("whole", 2048, False, 1, 6),
    ]  # fmt: skip
    places = JournalIndex(iter(lines))
    assert len(places) == 4
    assert (places.find("a"), places.find("b"), places.find("c")) == (lines[1], lines[0], None)
    assert (places.find("cut"), places.find("whole")) == (lines[4], lines[8])
    places.note([Place("c", file=1, offset=20), Place("cut", 4096, False, 1, 30)])
    assert (len(places), places.find("cut"), places.find("c")) == (
        5,
        Place("cut", 4096, False, 1, 30),
        Place("c", file=1, offset=20),
    )


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
