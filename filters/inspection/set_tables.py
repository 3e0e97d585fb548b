"""A released set, a benchmark's file or a folder of shards as it is compared: its questions, trajectories and looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from dmforge.curation.audit.compared_corpora import CorpusTables
from dmforge.curation.audit.quantities import LOOKS, QUESTIONS, SCORES, TRAJECTORIES
from dmforge.curation.exports.conversation_rows import VIDEO_MARK
from dmforge.curation.io.batching import batched
from dmforge.curation.sources.annotation_format import RefusedQuestion
from dmforge.curation.sources.task_checks import check
from dmforge.curation.sources.video_names import parse
from dmforge.filters.inspection.set_files import HINT, ReleasedSet, open_set
from dmforge.filters.inspection.set_rows import SetRow, read_set
from dmforge.filters.rules.lint import MAX_LOOKS
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.grammar import parse as parse_trajectory
from dmforge.schemas.scoring import answer_options, choice
from dmforge.schemas.visible import storable

BATCH_ROWS = 10_000
Row = dict[str, Any]


def set_tables(place: Path) -> CorpusTables:
    """What is compared of a set. Rows that are no tasks are left out, as an import would."""
    released_set = open_set([place])
    tables: dict[str, list[pa.Table]] = {"questions": [], "trajectories": [], "looks": []}
    for batch in batched(_rows(released_set), BATCH_ROWS):
        for (name, parts), schema in zip(tables.items(), (QUESTIONS, TRAJECTORIES, LOOKS), strict=True):
            parts.append(pa.Table.from_pylist([row for table, row in _flat(batch) if table == name], schema))
    questions, trajectories, looks = (
        pa.concat_tables([schema.empty_table(), *parts])
        for parts, schema in zip(tables.values(), (QUESTIONS, TRAJECTORIES, LOOKS), strict=True)
    )
    if not len(questions):
        raise InputError("no row of it is a task that can be read", where=str(place), hint=HINT)
    return CorpusTables(place.name or str(place), questions, trajectories, looks, SCORES.empty_table())


def _flat(batch: Iterable[list[tuple[str, Row]]]) -> Iterator[tuple[str, Row]]:
    return (named_row for rows in batch for named_row in rows)


def _rows(released_set: ReleasedSet) -> Iterator[list[tuple[str, Row]]]:
    for row in read_set(released_set):
        yield list(_tables_of(row, released_set.files[row.file].split))


def _tables_of(row: SetRow, split: str) -> Iterator[tuple[str, Row]]:
    """The rows of each table that a row of the set is."""
    question, written = row.question, row.written
    if isinstance(question, RefusedQuestion):
        return
    duration_cs = None if question.duration_s is None else round(question.duration_s * 100)
    task = check(question, duration_cs)
    if isinstance(task, RefusedQuestion):
        return
    name = parse(question.video)
    about: Row = {
        "video": f"{name.id} {name.part or ''}".strip().encode("utf-8", "surrogatepass"),
        "duration_cs": duration_cs if duration_cs and duration_cs > 0 else None,
    }
    options = answer_options(task.kind, task.question, task.options, task.answer)
    right_index = choice(task.answer, options)
    windows = [{"start_cs": window.start_cs, "end_cs": window.end_cs} for window in task.windows]
    yield "questions", {
        **about, "kind": task.kind, "split": split or None, "question": storable(task.question),
        "answer": storable(task.answer),
        "options": len(options), "right": None if right_index is None else right_index + 1, "windows": windows,
    }  # fmt: skip
    if written is None or not written.text:
        return
    parsed = parse_trajectory(written.trajectory, MAX_LOOKS)
    looks = parsed.looks if isinstance(parsed, Trajectory) else ()
    look_count = len(looks) if isinstance(parsed, Trajectory) else None
    yield "trajectories", {**about, "looks": look_count, "words": len(written.text.replace(VIDEO_MARK, " ").split())}
    for look in looks:
        bounds = {"start_cs": look.window.start_cs, "end_cs": look.window.end_cs}
        yield "looks", {**about, **bounds, "fps": float(look.fps)}
