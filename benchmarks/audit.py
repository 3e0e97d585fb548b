"""How long does a question to a lake of a million candidates and eight million verdicts take, on two cores and in 2 GB?

The lake is written as the runner would have, with made-up rows: tasks of four kinds from three sources, candidates of two
teachers with thoughts of a usual length, six scores each, four scores a task, what was selected, and a tenth of the answers in
the journal. Each named question, one in SQL and `why` are asked in one process, five times, and the best counts; what a person
waits for beside that is Python starting, which is measured too. CPU is of both cores together: where others use the machine,
it says more than the clock. Memory is the most that the process ever held.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.select import CHUNK, filled, ids, publish
from dmforge.commands import audit
from dmforge.curation.audit.query import compares, names
from dmforge.curation.audit.sql_sandbox import SqlLimits
from dmforge.curation.contract.stage_results import MADE_FROM, row_schema
from dmforge.curation.lake.commits import CommitDraft, Lake
from dmforge.curation.lake.journal import Answer, Journal
from dmforge.curation.lake.journal_table import keep_columns
from dmforge.curation.lake.views import LakeView
from dmforge.curation.video.fingerprint import Fingerprint
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas.columns import schema
from dmforge.schemas.ids import ID_BYTES, digest
from dmforge.schemas.ids import show as print_id
from dmforge.schemas.records import Candidate, Outcome, Provenance, Sample, Task, Verdict, Video
from tests.support.tables import show

COMMAND = "python -m benchmarks.audit"
OF_CANDIDATES = ("answer", "evidence", "grammar", "cited_inside", "length", "window")
OF_TASKS = ("blind", "replay", "necessity", "unique")
RECIPE = """name = "large"
[prices.one]
input_usd = 1.0
output_usd = 4.0
[stages.ingest]
[stages.import]
[stages.needs_audio]
[stages.annotate]
model = "one"
[stages.rules]
[stages.select_cot]
"""
WORDS = np.array(["the", "car", "door", "opens", "at", "second", "red", "window", "look", "closer", "there", "before"])
KINDS = np.array(["grounding", "mcq", "grounded_mcq", "open"])
SOURCES = np.array(["charades", "activitynet", "raw"])
DENSITIES = np.array([1, 2, 3, 4, 6])
REASONS = np.array(["below threshold: answer", "below threshold: cited_inside", "another one of its task is kept"])
SQL = """
SELECT t.task_kind, v.filter, count(*) AS n, avg(v.score) AS score
FROM verdicts v JOIN candidates c ON c.id = v.subject JOIN tasks t ON t.id = c.task GROUP BY ALL ORDER BY ALL
"""
TIMES = 5
ANSWERED = 10
"""Of so many candidates one has its paid answer in the journal: that is read whole for what is asked of costs."""
AT_ONCE = 10_000
LOOKS = 4096
"""How many different looks are drawn from."""


class Build:
    """A workspace with so many candidates, two a task."""

    def __init__(self, folder: Path, candidates: int, seed: int = 7) -> None:
        self.workspace, self.draw = WorkspaceFolder(folder), np.random.default_rng(seed)
        self.workspace.inputs.mkdir(parents=True)
        self.workspace.recipe.write_text(RECIPE)
        self.stages = {stage.name: stage for stage in read_recipe(self.workspace.recipe).stages}
        self.videos, self.tasks, self.candidates = ids(candidates // 50, 1), loose(candidates // 2, 2), loose(candidates, 3)
        self.requests = loose(candidates, 4)
        self.of_task = self.videos.take(pa.array(np.sort(self.draw.integers(0, len(self.videos), len(self.tasks)))))
        twice = pa.array(np.repeat(np.arange(len(self.tasks)), 2))
        self.task, self.video = self.tasks.take(twice), self.of_task.take(twice)
        with self.workspace.held("benchmark"):
            self.lake = Lake(self.workspace)
            self._videos()
            self._tasks()
            self._candidates()
            self._selected()
            asyncio.run(self._answered(candidates // ANSWERED))

    def _videos(self) -> None:
        videos, files = self.videos, loose(len(self.videos), 9)
        origin = {MADE_FROM: files}
        source = self._some(SOURCES, len(videos))
        provenances = filled(
            row_schema(Provenance), len(videos), id=loose(len(videos), 5), video=videos, source=source, **origin
        )
        long = self.draw.integers(1000, 60_000, len(videos))
        films = filled(row_schema(Video), len(videos), id=videos, duration_cs=long, source=source, **origin)
        publish(
            self.lake, self.stages["ingest"], files, videos, {Video: [films], Provenance: [provenances], Fingerprint: []}, 2
        )

    def _tasks(self) -> None:
        count, lines = len(self.tasks), loose(len(self.tasks), 10)
        kinds = self.draw.integers(0, 4, count)
        start = self.draw.integers(0, 900, count)
        window = pa.StructArray.from_arrays(
            [pa.array(start), pa.array(start + self.draw.integers(50, 3000, count))], names=["start_cs", "end_cs"]
        )
        has_window = (kinds != 1).astype(np.int32)
        options = pa.array([["red", "green", "dark blue", "yellow"] if kind in (1, 2) else [] for kind in kinds.tolist()])
        letters = np.array(["A", "B", "C", "D"])[self.draw.choice(4, count, p=[0.2, 0.4, 0.2, 0.2])]
        answer = np.where((kinds == 1) | (kinds == 2), letters, self._some(np.array(["two", "three", "a red car"]), count))
        tasks = filled(
            row_schema(Task), count, id=self.tasks, video=self.of_task, task_kind=KINDS[kinds], options=options,
            windows=_lists(window, has_window), answer=answer, needs=["any"] * count, source=self._some(SOURCES, count),
            question=self.questions(count), split=self.splits(count),
            **{MADE_FROM: lines},
        )  # fmt: skip
        publish(self.lake, self.stages["import"], lines, self.of_task, {Task: [tasks], Candidate: []}, 1)
        scored = list(self._scores(self.tasks, self.of_task, OF_TASKS, "task", np.array([0.0, 0.25, 0.5, 0.75, 1.0])))
        publish(self.lake, self.stages["needs_audio"], self.tasks, self.of_task, {Verdict: scored}, len(OF_TASKS))

    def questions(self, count: int) -> list[str]:
        """The question of each task."""
        return ["Which colour does the car have that comes second after the door has opened?"] * count

    def splits(self, count: int) -> list[str]:
        """The split of each task."""
        return [""] * count

    def _candidates(self) -> None:
        count = len(self.candidates)
        publish(self.lake, self.stages["annotate"], self.tasks, self.of_task, {Candidate: list(self._written(count))}, 2)
        scored = list(self._scores(self.candidates, self.video, OF_CANDIDATES, "candidate", np.array([0.0, 0.6] + [1.0] * 18)))
        publish(self.lake, self.stages["rules"], self.candidates, self.video, {Verdict: scored}, len(OF_CANDIDATES))

    def _written(self, count: int) -> Iterator[pa.Table]:
        looks = self._looks()
        for begin in range(0, count, CHUNK):
            some = min(CHUNK, count - begin)
            transcripts = [{"pieces": [{"author": "policy", "text": text, "look": None}]} for text in self.thoughts(some)]
            columns = row_schema(Candidate)
            yield filled(
                columns, some, id=self.candidates.slice(begin, some), video=self.video.slice(begin, some),
                task=self.task.slice(begin, some), attempt=np.tile([0, 1], some // 2), answer=["B"] * some,
                teacher=self._some(np.array(["one", "two"]), some), window_source=["teacher"] * some,
                looks=looks.take(pa.array(self.draw.integers(0, len(looks), some))),
                transcript=pa.array(transcripts, columns.field("transcript").type),
                requests=_lists(self.requests.slice(begin, some), np.ones(some, np.int32)).cast(columns.field("requests").type),
                **{MADE_FROM: self.task.slice(begin, some)},
            )  # fmt: skip

    def thoughts(self, count: int) -> Iterator[str]:
        """So many thoughts of a usual length."""
        return (" ".join(row) for row in self._some(WORDS, (count, 60)).tolist())

    def _looks(self) -> pa.Array[Any]:
        """Lists of one look each, to be drawn from."""
        starts, lengths = self.draw.integers(0, 900, LOOKS).tolist(), self.draw.integers(50, 900, LOOKS).tolist()
        looks = [
            {"window": {"start_cs": start, "end_cs": start + length}, "fps": {"num": density, "den": 1}}
            for start, length, density in zip(starts, lengths, self._some(DENSITIES, LOOKS).tolist(), strict=True)
        ]
        return pa.array([[look] for look in looks], row_schema(Candidate).field("looks").type)

    def _scores(
        self, subjects: pa.Array[Any], videos: pa.Array[Any], filters: tuple[str, ...], kind: str, values: Any
    ) -> Iterator[pa.Table]:
        for begin in range(0, len(subjects), CHUNK):
            count = min(CHUNK, len(subjects) - begin)
            which = pa.array(np.repeat(np.arange(begin, begin + count), len(filters)))
            score = self._some(values, count * len(filters))
            yield filled(
                row_schema(Verdict), len(score), id=loose(len(score), begin + len(filters)), subject=subjects.take(which),
                video=videos.take(which), subject_kind=[kind] * len(score), score=score, n=np.full(len(score), 8),
                reason=np.where(score < 1, "not as it should be", ""),
                **{"filter": list(filters) * count, MADE_FROM: subjects.take(which)},
            )  # fmt: skip

    def _selected(self) -> None:
        """A selection as the stage would have made it: half of the candidates."""
        stage, count = self.stages["select_cot"], len(self.candidates)
        variant = LakeView(self.lake, list(self.stages.values())).variant(stage)
        selected = pa.array(np.arange(0, count, 2))
        status = np.tile(np.array(["made", "rejected"]), count // 2)
        outcomes = filled(
            schema(Outcome), count, input=self.candidates, video=self.video, stage=[stage.name] * count, status=status,
            reason=np.where(status == "made", "", self._some(REASONS, count)), rows=(status == "made").astype(np.int64),
            variant=pa.array([variant], pa.binary(ID_BYTES)).take(pa.array(np.zeros(count, np.int64))),
        )  # fmt: skip
        none, empty = (
            pa.array([value] * len(selected), schema(Sample).field(name).type)
            for name, value in (("target", None), ("further_targets", []))
        )
        samples = filled(
            row_schema(Sample), len(selected), id=loose(len(selected), 8), video=self.video.take(selected),
            corpus=["cot"] * len(selected), task=self.task.take(selected), candidate=self.candidates.take(selected),
            target=none, target_source=[None] * len(selected), further_targets=empty,
            **{MADE_FROM: self.candidates.take(selected)},
        )  # fmt: skip
        draft = CommitDraft("collective", stage.name, variant, digest("batch", stage.name), {})
        self.lake.publish(draft, {Outcome.table: [outcomes], Sample.table: [samples]})

    async def _answered(self, count: int) -> None:
        """What teachers were paid for the first candidates, as the runner writes it down."""
        journal = Journal(self.workspace, "one")
        message = {"content": " ".join(["The door opens before the car is seen."] * 8)}

        async def ask() -> Answer:
            return message | {"usage": {"prompt_tokens": 600, "completion_tokens": 60}}

        requests, videos = self.requests.slice(0, count).to_pylist(), self.video.slice(0, count).to_pylist()
        for begin in range(0, count, AT_ONCE):
            some = slice(begin, begin + AT_ONCE)
            pairs = zip(requests[some], videos[some], strict=True)
            await asyncio.gather(*(journal.answer(key, video, ask) for key, video in pairs))
        journal.close()
        keep_columns(self.workspace)

    def _some(self, values: Any, count: Any) -> Any:
        return values[self.draw.integers(0, len(values), count)]


def loose(count: int, seed: int) -> pa.Array[Any]:
    """In no order, as ids are in a part: rows are cut in the order of their videos, and ids are digests."""
    raw = np.random.default_rng(seed).integers(0, 256, (count, ID_BYTES), dtype=np.uint8)
    return pa.Array.from_buffers(pa.binary(ID_BYTES), count, [None, pa.py_buffer(raw.tobytes())])


def _lists(values: pa.Array[Any], lengths: Any) -> Any:
    """Lists of one value, or none."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, values.filter(pa.array(lengths.astype(bool))))


def best(work: Callable[[], Any]) -> list[object]:
    """The best of some times by the clock, and of CPU in this process, in ms."""
    took: list[tuple[float, float]] = []
    for _ in range(TIMES):
        began_s, used_s = time.monotonic(), time.process_time()
        work()
        took.append((time.monotonic() - began_s, time.process_time() - used_s))
    return [f"{1000 * min(times):.0f}" for times in zip(*took, strict=True)]


def sql_rows(workspace: WorkspaceFolder) -> int:
    with audit.ask_sql(workspace, SQL, SqlLimits()) as answer:
        return sum(batch.num_rows for batch in answer.batches)


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def measure(folder: Path) -> None:
    """Ask everything, of a lake that stands."""
    workspace = WorkspaceFolder(folder)
    rows: list[list[object]] = []
    for name in names():
        other = folder if compares(name) else None
        rows.append([name, *best(lambda name=name, other=other: audit.audit(workspace, name, other)), peak_mb()])
    for path in workspace.journal.glob("*/*.columns"):
        path.unlink()
    rows.append(["cost, every line of the journal read", *best(lambda: audit.audit(workspace, "cost")), peak_mb()])
    keep_columns(workspace)
    rows.append(["--sql: verdicts by kind and filter, another process", best(lambda: sql_rows(workspace))[0], "", ""])
    lake = LakeView(Lake(workspace), read_recipe(workspace.recipe).stages).connection
    for kind in ("video", "task", "candidate", "sample"):
        row_id = lake.execute(f"SELECT id FROM {kind}s ORDER BY hash(id) LIMIT 1").fetchall()[0][0]
        for label, text in ((kind, print_id(kind, row_id)), (f"{kind}, 8 hex digits", row_id.hex()[:8])):
            rows.append([f"why, a {label}", *best(lambda text=text: audit.why(workspace, text)), peak_mb()])
    command = [sys.executable, "-m", "dmforge.cli", "audit", "funnel", "-w", str(folder), "--json"]
    process_ms = best(lambda: subprocess.run(command, check=True, capture_output=True))
    rows.append(["dmforge audit funnel, the whole process", process_ms[0], "", ""])
    counts = lake.execute("SELECT (SELECT count(*) FROM candidates), (SELECT count(*) FROM verdicts)").fetchall()[0]
    title = f"Audits of {counts[0]:,} candidates with {counts[1]:,} verdicts"
    show(title, f"{COMMAND} --candidates {counts[0]}", ["what", "ms", "CPU ms", "peak MB"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1_000_000)
    parser.add_argument("--lake", type=Path, help="a lake that was made before, or where to leave one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmforge-audit-") as scratch:
        folder = arguments.lake or Path(scratch, "ws")
        if not (folder / "recipe.toml").exists():
            subprocess.run([sys.executable, "-c", BUILD, str(folder), str(arguments.candidates)], check=True)
        measure(folder)


BUILD = "import sys, pathlib, benchmarks.audit as a; a.Build(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"
"""In a process of its own: what making it takes is not what asking takes."""

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
