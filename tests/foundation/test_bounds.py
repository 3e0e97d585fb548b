"""What a stage's start costs is bounded: a range opens the parts that it needs, and a finished journal is not read again."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dmforge.curation.contract.collective import StageCounts
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.lake import commits, compaction
from dmforge.curation.lake import journal as journals
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.journal import Journal
from dmforge.curation.lake.journal_index_file import index_path, open_index
from dmforge.curation.lake.journal_lines import forget_answers
from dmforge.curation.lake.partition import ALL, Bounds
from dmforge.curation.lake.parts import ANY_VIDEO, Extent, Part
from dmforge.curation.lake.progress_ranges import MAX_CUTS, progress_ranges
from dmforge.curation.lake.video_range import FILTERED_VIDEOS, distinct_videos, video_range
from dmforge.curation.lake.views import PART, LakeView
from dmforge.curation.lake.worklist import pending_batches
from dmforge.curation.soundness.journal_files import check_indexes
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.curation.workspace_format import read_format
from dmforge.schemas import formats
from dmforge.schemas.columns import id_list
from dmforge.schemas.errors import LakeError
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.records import Outcome, Task
from tests.foundation.lakes import logical, run, view, write_recipe


def column(videos: list[Id]) -> pa.Array[Any]:
    return pa.array(videos, pa.binary(16))


@pytest.mark.parametrize("count", [1, 3, 60, FILTERED_VIDEOS + 1])
@pytest.mark.parametrize("width", [2**128, 2**121])
def test_a_range_misses_no_video_and_names_few_that_are_not_there(count: int, width: int) -> None:
    draw = random.Random(count)
    videos = [(draw.randrange(width) + 2**120).to_bytes(17, "big")[1:] for _ in range(count)]
    known = video_range([distinct_videos(column(videos[::2])), distinct_videos(column(videos[1::2]))])
    assert all(known.may_have(video) for video in videos)
    others = [draw.randbytes(16) for _ in range(1000)]
    for low, high in pairwise(others):
        if any(low <= video < high for video in videos):
            assert known.overlaps(low.hex(), high.hex())
    if known.slots:
        assert sum(map(known.may_have, others)) < 350
    assert bool(known.slots) == (1 < count <= FILTERED_VIDEOS and width == 2**128)


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """A lake of forty parts a table, in which the second stage has done nothing."""
    write_recipe(tmp_path / "ws", tasks=400, batch=10)
    run(tmp_path / "ws", until="count")
    return tmp_path / "ws"


def scoring(lake_view: LakeView) -> AnyStage:
    return next(stage for stage in lake_view.stages if stage.name == "score")


def without_ranges(root: Path) -> None:
    """Make commits what earlier versions wrote."""
    for path in (root / "lake/commits").glob("*/*.json"):
        values = json.loads(path.read_text())
        values = values | {"parts": [{k: v for k, v in part.items() if k != "videos"} for part in values["parts"]]}
        values.pop("sha256")
        path.write_text(json.dumps(values | {"sha256": commits._seal(values)}, indent=1))  # pyright: ignore[reportPrivateUsage]


def test_a_range_names_the_parts_that_it_needs_and_all_ranges_give_all_rows(counted: Path) -> None:
    lake_view = view(counted)
    inputs = lake_view.inputs(scoring(lake_view))
    named, ids = list[int](), list[Id]()
    for bounds in ALL.ranges(20):
        sql = inputs.within(bounds)
        named.append(len(PART.findall(sql)))
        ids += id_list(lake_view.table(sql, bounds).column("id"))
    assert len(PART.findall(inputs.sql)) == 40
    assert max(named) <= 8
    assert sorted(ids) == sorted(task.id for task in lake_view.all_rows(Task))


def test_what_was_never_begun_is_counted_and_begun_without_the_parts_that_it_doesnt_need(counted: Path) -> None:
    parts = [part for commit in Lake(WorkspaceFolder(counted)).commits.values() for part in commit.of(Task.table)]
    last = max(parts, key=lambda part: part.videos.first).path(counted / "lake")
    last.write_bytes(bytes(last.stat().st_size))
    lake_view = view(counted)
    score = scoring(lake_view)
    assert lake_view.tally(score).pending == 360
    lake_view.table(lake_view.inputs(score).within(next(ALL.ranges(20))), next(ALL.ranges(20)))
    with pytest.raises(LakeError, match=last.name):
        list(pending_batches(lake_view, score))


def test_an_interrupted_stage_is_counted_and_gone_on_with_without_the_parts_that_are_settled(counted: Path) -> None:
    run(counted, until="score")
    finished = logical(counted)
    first, *_, last = sorted(
        (commit for commit in Lake(WorkspaceFolder(counted)).commits.values() if commit.stage == "score"),
        key=lambda commit: commit.first,
    )
    first.path(counted / "lake/commits").unlink()
    settled = last.of(Outcome.table)[0].path(counted / "lake")
    sound = settled.read_bytes()
    settled.write_bytes(bytes(len(sound)))
    lake_view = view(counted)
    score = scoring(lake_view)
    assert lake_view.tally(score) == StageCounts(pending=first.inputs, made=360 - first.inputs, rejected=0, quarantined=0)
    assert sum(len(batch.inputs) for batch in pending_batches(lake_view, score)) == first.inputs
    settled.write_bytes(sound)
    run(counted, until="score")
    assert logical(counted) == finished


def part_of(rows: Sequence[tuple[Id, Id]], name: str) -> Part:
    """A part as a commit says it, of rows with these ids about these videos."""
    extent = Extent.of(column([row_id for row_id, _ in rows]))
    videos = video_range([distinct_videos(column([video for _, video in rows]))])
    return Part("outcomes", f"part-{name}.parquet", extent.count, 1, "", extent.low, extent.high, videos)


def cut(draw: random.Random, rows: Sequence[tuple[Id, Id]], name: str, late_share: float) -> dict[str, list[tuple[Id, Id]]]:
    """Rows cut into parts as batches are: in order, a share of them later over all videos; the rows of each, by its name."""
    late = set(draw.sample(range(len(rows)), int(len(rows) * late_share)))
    rows_by_part = dict[str, list[tuple[Id, Id]]]()
    for is_late in (False, True):
        piece = [row for number, row in enumerate(rows) if (number in late) == is_late]
        at = 0
        while at < len(piece):
            size = draw.choice((1, 4, 4, 7, 20))
            rows_by_part[f"part-{name}-{len(rows_by_part)}.parquet"] = piece[at : at + size]
            at += size
    return rows_by_part


@pytest.mark.parametrize("seed", range(40))
def test_what_commits_settle_is_settled_and_what_they_say_is_untouched_is_pending(seed: int) -> None:
    draw = random.Random(seed)
    late_share = draw.choice((0, 0, 0.1))
    rows = sorted((digest("video", number // 3), digest("task", number)) for number in range(draw.choice((30, 300))))
    inputs = [(task, video) for video, task in rows]
    begun = inputs[: draw.randint(0, len(inputs))]
    if draw.random() < 0.3:
        begun = sorted(draw.sample(begun, len(begun) * 9 // 10), key=lambda row: row[::-1])
    is_prefix = begun == inputs[: len(begun)]
    gone = [(digest("gone", number), digest("video", number)) for number in range(draw.choice((0, 0, 2)))]
    input_rows = cut(draw, inputs, "in", late_share)
    outcome_rows = cut(draw, sorted(begun + gone, key=lambda row: row[::-1]), "out", late_share)
    rows_by_part, read = {**input_rows, **outcome_rows}, set[str]()

    def extent(parts: Sequence[Part], bounds: Bounds) -> Extent:
        read.update(part.name for part in parts)
        pieces = (rows_by_part[part.name] for part in parts)
        ids = [row_id for piece in pieces for row_id, video in piece if bounds["low"] <= video < bounds["high"]]
        return Extent.of(column(ids))

    parts_of = [[part_of(piece, name[5:-8]) for name, piece in some.items()] for some in (input_rows, outcome_rows)]
    ranges = progress_ranges(parts_of[0], parts_of[1], extent)
    assert all(
        "mixed" not in (first.progress, second.progress) or first.progress != second.progress
        for first, second in pairwise(ranges)
    )
    assert all(first.high <= second.low for first, second in pairwise(ranges))
    for some in ranges:
        in_range = {row_id for row_id, video in inputs if some.low <= video < some.high}
        done = {row_id for row_id, video in begun if some.low <= video < some.high}
        if some.progress == "settled":
            assert in_range == done
            across = extent(some.outcomes_across, some.bounds).count if some.outcomes_across else 0
            assert sum(part.rows for part in some.outcomes_inside) + across == len(done)
        if some.progress == "untouched":
            assert not done
        assert some.progress == "mixed" or some.inputs == len(in_range)
    assert all(any(some.low <= video < some.high for some in ranges) for _, video in inputs)
    if len(inputs) == 300 and is_prefix and not (late_share or gone):
        assert len(read) < len(rows_by_part) * 0.8


def test_where_pending_inputs_lie_here_and_there_few_ranges_are_cut() -> None:
    rows = sorted((digest("video", number // 3), digest("task", number)) for number in range(6000))
    inputs = [(task, video) for video, task in rows]
    done = [row for number, row in enumerate(inputs) if number % 10]
    parts_of = [[part_of(some[at : at + 3], f"{at}") for at in range(0, len(some), 3)] for some in (inputs, done)]
    rows_by_part = {
        part: some[3 * number : 3 * number + 3]
        for parts, some in zip(parts_of, (inputs, done), strict=True)
        for number, part in enumerate(parts)
    }
    reads = list[int]()

    def extent(parts: Sequence[Part], bounds: Bounds) -> Extent:
        reads.append(len(parts))
        pieces = (rows_by_part[part] for part in parts)
        return Extent.of(column([task for piece in pieces for task, video in piece if bounds["low"] <= video < bounds["high"]]))

    ranges = progress_ranges(parts_of[0], parts_of[1], extent)
    assert [some.progress for some in ranges] == ["mixed"]
    assert len(reads) <= 2 * (1 + 2 * MAX_CUTS)


def test_commits_of_before_are_read_alike_and_get_their_ranges_when_they_are_joined(
    counted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shutil.copytree(counted, tmp_path / "before")
    without_ranges(before)
    assert all(part.videos == ANY_VIDEO for commit in Lake(WorkspaceFolder(before)).commits.values() for part in commit.parts)
    assert named_in_ranges(before) == named_in_ranges(counted)
    monkeypatch.setattr(compaction, "MANY", 4)
    for root in (before, counted):
        run(root)
    assert logical(before) == logical(counted)
    joined = [commit for commit in Lake(WorkspaceFolder(before)).commits.values() if commit.kind == "compaction"]
    assert joined
    assert all(part.videos.first <= part.videos.last != "" for commit in joined for part in commit.parts)


def named_in_ranges(root: Path) -> list[list[tuple[str, str]]]:
    lake_view = view(root)
    inputs = lake_view.inputs(scoring(lake_view))
    return [sorted(PART.findall(inputs.within(bounds))) for bounds in ALL.ranges(4)]


def test_who_writes_says_so_in_the_format_number(counted: Path) -> None:
    assert read_format(counted).format == formats.WORKSPACE == 3


def key(number: int) -> Id:
    return digest("ask", number)


def written(root: Path, numbers: range, writer: str = "main") -> Path:
    """A journal of these answers, and its file."""

    async def write() -> None:
        journal = Journal(WorkspaceFolder(root), "m", writer)
        for number in numbers:

            async def ask(number: int = number) -> dict[str, Any]:
                return {"content": f"{number}" + 300 * "x"}

            await journal.answer(key(number), digest("video", number % 7), ask, 100)
        journal.close()

    asyncio.run(write())
    return root / "journal/m" / f"{writer}.jsonl"


def answers(root: Path, numbers: range) -> dict[int, str | None]:
    """What a journal has to these questions."""
    journal = Journal(WorkspaceFolder(root), "m", read_only=True)
    stored = {number: journal.find(key(number)) for number in numbers}
    journal.close()
    return {number: None if one is None else one.answer["content"][:4].rstrip("x") for number, one in stored.items()}


def texts(numbers: range) -> dict[int, str]:
    return {number: str(number) for number in numbers}


def test_a_finished_journal_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, range(100), "rank-0")
    written(tmp_path, range(100, 200), "rank-1")
    lines_read, check = list[bytes](), journals.checked_head

    def counted_head(line: bytes) -> re.Match[bytes]:
        lines_read.append(line)
        return check(line)

    monkeypatch.setattr(journals, "checked_head", counted_head)
    assert answers(tmp_path, range(200)) == texts(range(200))
    assert lines_read == []
    assert answers(tmp_path, range(200, 210)) == dict.fromkeys(range(200, 210))


def test_lines_that_came_since_are_found_and_an_index_grows_with_them(tmp_path: Path) -> None:
    path = written(tmp_path, range(100))
    covered = covered_bytes(path)
    assert covered == path.stat().st_size
    written(tmp_path, range(100, 105))
    assert covered_bytes(path) == covered
    assert answers(tmp_path, range(105)) == texts(range(105))
    written(tmp_path, range(105, 200))
    assert covered_bytes(path) == path.stat().st_size
    assert answers(tmp_path, range(200)) == texts(range(200))


def covered_bytes(path: Path) -> int:
    index = open_index(path)
    assert index is not None
    index.close()
    return index.covered_bytes


def test_an_answer_that_gives_way_is_told_from_the_one_that_counts_across_indexes(tmp_path: Path) -> None:
    async def asked(writer: str, limit: int, finish: str) -> None:
        journal = Journal(WorkspaceFolder(tmp_path), "m", writer)

        async def ask() -> dict[str, Any]:
            return {"content": finish + 400 * "x", "finish": finish}

        await journal.answer(key(1), digest("video", 1), ask, limit)
        journal.close()

    for number, writer, limit, finish in ((100, "a", 10, "length"), (200, "b", 20, "stop")):
        asyncio.run(asked(writer, limit, finish))
        written(tmp_path, range(number, number + 50), writer)
        assert covered_bytes(tmp_path / "journal/m" / f"{writer}.jsonl")
    journal = Journal(WorkspaceFolder(tmp_path), "m", read_only=True)
    stored = journal.find(key(1))
    assert stored is not None
    assert (stored.answer["finish"], stored.limit) == ("stop", 20)


def test_no_flip_and_no_cut_of_an_index_changes_what_is_found(tmp_path: Path) -> None:
    path = written(tmp_path, range(60))
    sound, draw = index_path(path).read_bytes(), random.Random(5)
    for _ in range(60):
        damaged, at = bytearray(sound), draw.randrange(len(sound))
        if draw.random() < 0.7:
            damaged[at] ^= 1 << draw.randrange(8)
        else:
            del damaged[at:]
        index_path(path).write_bytes(damaged)
        assert answers(tmp_path, range(65)) == texts(range(60)) | dict.fromkeys(range(60, 65))
        (defect,) = check_indexes(WorkspaceFolder(tmp_path))
        assert defect.file == "journal/m/main.jsonl.index"
    index_path(path).write_bytes(sound)
    assert not list(check_indexes(WorkspaceFolder(tmp_path)))


def test_a_journal_that_became_another_one_throws_its_index_away(tmp_path: Path) -> None:
    path = written(tmp_path, range(100))
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(others))
    assert open_index(path) is None
    assert answers(tmp_path, range(100)) == texts(range(100)) | {0: None}
    path.write_bytes(b"".join([*others[:50], first, *others[50:]]))  # as long as it was, and so its end
    assert answers(tmp_path, range(100)) == texts(range(100))


def test_a_takedown_takes_the_index_with_it(tmp_path: Path) -> None:
    path = written(tmp_path, range(100))
    assert forget_answers(WorkspaceFolder(tmp_path), [digest("video", 3)])
    assert not index_path(path).exists()
    kept = {number: str(number) for number in range(100) if number % 7 != 3}
    assert {number: text for number, text in answers(tmp_path, range(100)).items() if text is not None} == kept
