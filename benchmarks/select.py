"""A threshold is changed: how long until one knows what a corpus of a million candidates with eight million scores keeps?

The lake is written as the runner would have, with made-up rows. Measured are whole processes of the command line, from the
interpreter's start to its end, first as they come and then with another threshold in the recipe; beside them, in one process,
the SQL alone, and the naive way as the baseline: all scores grouped by subject and filter. No stage runs, nothing is written.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dmforge.commands import select
from dmforge.curation.contract.stage import Root
from dmforge.curation.contract.stage_results import MADE_FROM, row_schema
from dmforge.curation.lake.commits import CommitDraft, Lake
from dmforge.curation.lake.roster import EDITION, edition_of
from dmforge.curation.lake.views import LakeView
from dmforge.curation.video.fingerprint import Fingerprint
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas.columns import schema
from dmforge.schemas.ids import ID_BYTES, base32, digest
from dmforge.schemas.records import Candidate, Outcome, Provenance, Record, Task, Verdict, Video
from tests.support.tables import show

COMMAND = "python -m benchmarks.select"
FILTERS = ("answer", "answer_form", "cited_inside", "evidence", "grammar", "language", "own_span", "window")
RECIPE = """name = "large"
[stages.ingest]
[stages.import]
[stages.annotate]
model = "oracle"
[stages.rules]
[stages.citations]
[stages.verify]
[stages.select_cot]
[stages.select_cot.min_score]
"""
CHUNK = 100_000


def ids(count: int, seed: int) -> pa.Array[Any]:
    """Sorted, as batches are cut in their order."""
    raw = np.random.default_rng(seed).integers(0, 256, (count, ID_BYTES), dtype=np.uint8)
    raw = raw[np.lexsort(raw.T[::-1])]
    return pa.Array.from_buffers(pa.binary(ID_BYTES), count, [None, pa.py_buffer(raw.tobytes())])


def filled(columns: pa.Schema, count: int, **values: Any) -> pa.Table:
    """So many rows with these columns, and nothing in the others."""
    arrays = [values[field.name] if field.name in values else _nothing(field.type, count) for field in columns]
    return pa.Table.from_arrays([pa.array(array, field.type) if not isinstance(array, pa.Array) else array
                                 for array, field in zip(arrays, columns, strict=True)], schema=columns)  # fmt: skip


def _nothing(kind: pa.DataType, count: int) -> pa.Array[Any]:
    return pa.array([_default(kind)], kind).take(pa.array(np.zeros(count, np.int64)))


def _default(kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        return []
    if pa.types.is_struct(kind):
        return {field.name: _default(field.type) for field in kind}
    return "" if pa.types.is_string(kind) else b"\0" * ID_BYTES if pa.types.is_fixed_size_binary(kind) else 0


def publish(
    lake: Lake, stage: Any, inputs: pa.Array[Any], videos: pa.Array[Any], rows: dict[type[Record], Any], each: int
) -> None:
    """A commit of a stage that settled these inputs, with these tables."""
    if isinstance(stage, Root):
        column = {stage.reads.video_column: videos, "id": inputs}
        edition = {EDITION: base32(edition_of(lake.workspace, stage))}  # else it would not count: there are no inputs to scan
        roster = CommitDraft("roster", stage.name, digest("roster", stage.name), digest("roster", [stage.name]), edition)
        lake.publish(roster, {stage.reads.table: [filled(schema(stage.reads), len(inputs), **column)]})
    count = len(inputs)
    outcomes = filled(
        schema(Outcome), count, input=inputs, video=videos, stage=[stage.name] * count, status=["made"] * count,
        variant=pa.array([stage.variant], pa.binary(ID_BYTES)).take(pa.array(np.zeros(count, np.int64))),
        rows=np.full(count, each),
    )  # fmt: skip
    draft = CommitDraft("batch", stage.name, stage.variant, digest("batch", stage.name), {})
    lake.publish(draft, {Outcome.table: [outcomes], **{record.table: tables for record, tables in rows.items()}})


def build(folder: Path, candidates: int) -> WorkspaceFolder:
    """A workspace with so many candidates, two a task."""
    workspace = WorkspaceFolder(folder)
    workspace.inputs.mkdir(parents=True)
    workspace.recipe.write_text(RECIPE + "".join(f"{name} = 0.9\n" for name in FILTERS))
    stages = {stage.name: stage for stage in read_recipe(workspace.recipe).stages}
    videos, tasks, candidate_ids = ids(candidates // 50, 1), ids(candidates // 2, 2), ids(candidates, 3)
    of_task = videos.take(pa.array(np.sort(np.random.default_rng(4).integers(0, len(videos), len(tasks)))))
    twice = pa.array(np.repeat(np.arange(len(tasks)), 2))
    task, video = tasks.take(twice), of_task.take(twice)
    with workspace.held("benchmark"):
        lake = Lake(workspace)
        origin = {MADE_FROM: videos}
        provenances = filled(row_schema(Provenance), len(videos), id=ids(len(videos), 5), video=videos, **origin)
        films = filled(row_schema(Video), len(videos), id=videos, duration_cs=np.full(len(videos), 3000), **origin)
        publish(lake, stages["ingest"], videos, videos, {Video: [films], Provenance: [provenances], Fingerprint: []}, 2)
        task_rows = filled(
            row_schema(Task), len(tasks), id=tasks, video=of_task, task_kind=["mcq"] * len(tasks), **{MADE_FROM: tasks}
        )
        publish(lake, stages["import"], tasks, of_task, {Task: [task_rows], Candidate: []}, 1)
        attempts = np.tile([0, 1], len(tasks))
        candidate_rows = filled(
            row_schema(Candidate), candidates, id=candidate_ids, video=video, task=task, attempt=attempts, **{MADE_FROM: task}
        )
        publish(lake, stages["annotate"], tasks, of_task, {Candidate: [candidate_rows]}, 2)
        publish(lake, stages["rules"], candidate_ids, video, {Verdict: list(scores(candidate_ids, video))}, len(FILTERS))
    return workspace


def scores(candidates: pa.Array[Any], video: pa.Array[Any]) -> Iterator[pa.Table]:
    """One of each filter for every candidate; one in fifty is low."""
    draw = np.random.default_rng(6)
    for begin in range(0, len(candidates), CHUNK):
        count = min(CHUNK, len(candidates) - begin)
        which = pa.array(np.repeat(np.arange(begin, begin + count), len(FILTERS)))
        value = draw.random(count * len(FILTERS))
        yield filled(
            row_schema(Verdict), len(value), id=ids(len(value), begin), subject=candidates.take(which), video=video.take(which),
            subject_kind=["candidate"] * len(value), score=np.where(value < 0.02, value * 50, 1.0),
            n=np.ones(len(value), np.int64), **{"filter": list(FILTERS) * count, MADE_FROM: candidates.take(which)},
        )  # fmt: skip


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.monotonic()
    result = work()
    return time.monotonic() - began, result


def command(workspace: WorkspaceFolder, *more: str) -> Any:
    words = [sys.executable, "-m", "dmforge.cli", "select", "cot", "-w", str(workspace.root), "--json", *more]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ}).stdout)


def naive(workspace: WorkspaceFolder) -> int:
    """Scores by subject and filter first, as one would write it."""
    view = LakeView(Lake(workspace), read_recipe(workspace.recipe).stages[:-1])
    return view.connection.execute("""
        WITH measured AS (
            SELECT s.candidate, v.filter, min(v.score) AS score
            FROM (SELECT id AS candidate, unnest([id, task, video]) AS subject FROM candidates) s
            JOIN verdicts v ON v.subject = s.subject GROUP BY ALL
        )
        SELECT count(DISTINCT c.task) FROM candidates c
        ANTI JOIN (SELECT candidate FROM measured WHERE score < .9) f ON f.candidate = c.id
    """).fetchall()[0][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmforge-select-") as folder:
        workspace = build(Path(folder, "ws"), arguments.candidates)
        rows: list[list[object]] = []
        commits = sorted(workspace.commits.glob("*/*.json"))
        for name, more in (("select cot --dry-run", ("--dry-run",)), ("again, answer = 0.5 in the recipe", ("--dry-run",)),
                           ("--where 'answer > 0.7'", ("--where", "answer > 0.7"))):  # fmt: skip
            if "recipe" in name:
                workspace.recipe.write_text(workspace.recipe.read_text().replace("answer = 0.9", "answer = 0.5"))
            took_s, selection = timed(lambda more=more: command(workspace, *more))
            rows.append(
                [name, f"{took_s:.2f}", selection["kept"], sum(selection["rejected"].values()), selection["undetermined"]]
            )
        took_s, selection = timed(lambda: select.what_if(workspace, "cot", None))
        rows.append(
            [
                "the same within one process",
                f"{took_s:.2f}",
                selection.kept,
                sum(selection.rejected.values()),
                selection.undetermined,
            ]
        )
        workspace.recipe.write_text(workspace.recipe.read_text().replace("answer = 0.5", "answer = 0.9"))
        took_s, count = timed(lambda: naive(workspace))
        rows.append(["baseline: grouped by subject and filter", f"{took_s:.2f}", count, "", ""])
        assert commits == sorted(workspace.commits.glob("*/*.json"))
    title = f"Selection over {arguments.candidates:,} candidates with {arguments.candidates * len(FILTERS):,} verdicts"
    show(title, f"{COMMAND} --candidates {arguments.candidates}", ["what", "s", "kept", "rejected", "undetermined"], rows)


if __name__ == "__main__":
    main()
