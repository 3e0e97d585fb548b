"""The lineage of a row: what it was made from, back to the file, its verdicts and outcomes, and where it lies in the shards."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from dmforge.curation.audit.id_lookup import RowLocation
from dmforge.curation.audit.paid_answers import PaidAnswer, paid_answers
from dmforge.curation.audit.shard_locations import PackedSample, places
from dmforge.curation.audit.stored_rows import StoredRow, StoredRows
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.shards.packed import Packed
from dmforge.curation.sources.videos import ListedVideo, listed
from dmforge.curation.video.media import Media, Receipt, read_receipt
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.ids import Id, base32, show
from dmforge.schemas.records import Candidate, Outcome, Rollout, Task, Verdict, Video

LISTED_APART = frozenset({Verdict.table, Rollout.table, Outcome.table})
"""Tables whose rows are listed apart from the steps: they are many."""


@dataclass(frozen=True, slots=True)
class Step:
    """A row on the way from the source to the shard, with the stage that made it."""

    row: StoredRow
    id: str
    stage: str
    current: bool
    """Whether it counts under the recipe as it is now."""
    prompts: tuple[str, ...]
    """sha256 of what decides the result beside the config, where the stage is configured as it was then."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """The steps from a row's source to its shards, and everything else that is known of it."""

    subject: Step
    above: tuple[Step, ...]
    """What it was made from, the source first."""
    video: tuple[Step, ...]
    """Its video, the source first; empty where that is not stored."""
    below: tuple[Step, ...]
    """What was made from it."""
    outcomes: tuple[StoredRow, ...]
    verdicts: tuple[StoredRow, ...]
    rollouts: tuple[StoredRow, ...]
    answers: tuple[PaidAnswer, ...]
    places: tuple[PackedSample, ...]
    source: ListedVideo | None
    """The file, as it was brought."""
    receipt: Receipt | None
    media: Media
    names: Mapping[Id, str] = field(default_factory=dict[Id, str])
    """The printed ids of all rows here."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """From the source to the shard."""
        chain = (*self.above, self.subject, *self.below)
        chain_ids = {step.id for step in chain}
        return (*(step for step in self.video if step.id not in chain_ids), *chain)


def lineage(stored: StoredRows, match: RowLocation) -> Lineage:
    """The lineage of a row that is stored."""
    return _Tracing(stored, match.video).of(match.table, match.id)


class _Tracing:
    """All rows about one video, linked to what they were made from."""

    def __init__(self, stored: StoredRows, video: Id) -> None:
        self._stored, self._view, self._video = stored, stored.view, video
        self._stages: Mapping[str, AnyStage] = {stage.name: stage for stage in stored.view.stages}
        self._variants, self._rows = self._read()
        self._by_id: dict[tuple[str, Id], StoredRow] = {}
        for table, rows in self._rows.items():
            if table != Outcome.table:
                for row in rows:
                    if (table, row.id) not in self._by_id or self._is_of_recipe(row):  # of several the one that counts
                        self._by_id[table, row.id] = row
        self._children: defaultdict[tuple[str | None, Id | None], list[StoredRow]] = defaultdict(list)
        for (table, _), row in self._by_id.items():
            if table not in LISTED_APART and row.commit.kind != "roster":
                self._children[stored.reads(row.commit.stage), row.made_from].append(row)

    def _read(self) -> tuple[dict[str, str], dict[str, list[StoredRow]]]:
        """The variant of each stage, by its name, and all rows. Each is half of the work, so they are read at once."""
        stored, view = self._stored, self._view
        tables = [table for table in (*stored.records, Outcome.table) if stored.has(table)]
        view.open()
        with ThreadPoolExecutor(2) as pool:
            variants = pool.submit(lambda: {stage.name: base32(view.variant(stage)) for stage in view.stages})
            rows = dict(zip(tables, pool.map(stored.about, tables, itertools.repeat(self._video)), strict=True))
            return variants.result(), rows

    def of(self, table: str, id: Id) -> Lineage:
        subject = self._by_id[table, id]
        above, below = list(self._above(subject)), list(self._below(subject))
        chain = [*above, subject, *below]
        subject_ids = {row.id for row in chain} | {self._video}
        task_ids = {row.id for row in chain if row.table == Task.table} | {row.values.get("task") for row in chain}
        video_row = self._by_id.get((Video.table, self._video))
        candidates = [row for row in chain if row.table == Candidate.table]
        workspace = self._stored.lake.workspace
        media = Media(workspace, self._video)
        names = self._names([row for rows in self._rows.values() for row in rows if "id" in row.values])
        return Lineage(
            self._step(subject),
            tuple(map(self._step, above)),
            tuple(map(self._step, (*self._above(video_row), video_row))) if video_row else (),
            tuple(map(self._step, below)),
            tuple(row for row in self._rows.get(Outcome.table, []) if row.values["input"] in subject_ids),
            tuple(_ordered_verdicts(row for row in self._rows.get(Verdict.table, []) if row.values["subject"] in subject_ids)),
            tuple(row for row in self._rows.get(Rollout.table, []) if row.values["task"] in task_ids),
            tuple(paid_answers(workspace, candidates)),
            tuple(places(workspace, [row for row in chain if row.table == Packed.table], names)),
            next((entry for entry in listed(workspace).values() if entry.video == self._video), None),
            _receipt(media),
            media,
            names,
        )

    def _above(self, row: StoredRow) -> Sequence[StoredRow]:
        """The rows that a row was made from, the source first."""
        table = self._stored.reads(row.commit.stage)
        made_from = row.made_from
        if table is None or made_from is None or row.commit.kind == "roster":
            return ()
        parent = self._by_id.get((table, made_from))
        return () if parent is None else (*self._above(parent), parent)

    def _below(self, row: StoredRow) -> Iterable[StoredRow]:
        for child in self._children[row.table, row.id]:
            yield child
            yield from self._below(child)

    def _step(self, row: StoredRow) -> Step:
        stage = self._stages.get(row.commit.stage)
        prompts: tuple[str, ...] = ()
        if stage is not None and self._is_of_recipe(row) and row.commit.kind != "roster":
            prompts = tuple(hashlib.sha256(text.encode()).hexdigest() for text in stage.cache_key_parts())
        return Step(row, self._name(row), row.commit.stage, self._is_current(row), prompts)

    def _is_current(self, row: StoredRow) -> bool:
        """Whether a row and all that it was made from are as the recipe makes them."""
        return all(self._is_of_recipe(ancestor) for ancestor in (*self._above(row), row))

    def _is_of_recipe(self, row: StoredRow) -> bool:
        stage = self._stages.get(row.commit.stage)
        if stage is None:
            return False
        return row.commit.kind == "roster" or row.commit.variant == self._variants[stage.name]

    def _name(self, row: StoredRow) -> str:
        return show(self._stored.records[row.table].kind, row.id)

    def _names(self, rows: Iterable[StoredRow]) -> dict[Id, str]:
        return {row.id: self._name(row) for row in rows}


def _ordered_verdicts(rows: Iterable[StoredRow]) -> list[StoredRow]:
    return sorted(rows, key=lambda row: (row.values["subject_kind"] != "candidate", row.values["filter"], row.id))


def _receipt(media: Media) -> Receipt | None:
    try:
        return read_receipt(media)
    except DmforgeError:
        return None  # whether it should be there, a check will say
