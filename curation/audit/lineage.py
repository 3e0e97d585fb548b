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
from dmforge.curation.audit.thresholds import bounds, missed
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
class Judgement:
    """A verdict, held against the recipe as it is now."""

    row: StoredRow
    current: bool
    """Whether it counts under the recipe: one of an earlier configuration fails nothing."""
    misses: tuple[str, ...]
    """The thresholds that it fails: `below 0.9 of select_cot`."""


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
    verdicts: tuple[Judgement, ...]
    """Those that fail first."""
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
        traced_steps = (*self.above, self.subject, *self.below)
        chain_ids = {step.id for step in traced_steps}
        return (*(step for step in self.video if step.id not in chain_ids), *traced_steps)


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
        for table_name, table_rows in self._rows.items():
            if table_name != Outcome.table:
                for traced_row in table_rows:
                    # of several the one that counts
                    if (table_name, traced_row.id) not in self._by_id or self._is_of_recipe(traced_row):
                        self._by_id[table_name, traced_row.id] = traced_row
        self._children: defaultdict[tuple[str | None, Id | None], list[StoredRow]] = defaultdict(list)
        for (table_name, _), row in self._by_id.items():
            if table_name not in LISTED_APART and row.commit.kind != "roster":
                self._children[stored.reads(row.commit.stage), row.made_from].append(row)

    def _read(self) -> tuple[dict[str, str], dict[str, list[StoredRow]]]:
        """The variant of each stage, by its name, and all rows. Each is half of the work, so they are read at once."""
        stored, view = self._stored, self._view
        stored_tables = [table_name for table_name in (*stored.records, Outcome.table) if stored.has(table_name)]
        view.open()
        with ThreadPoolExecutor(2) as thread_pool:
            variants_future = thread_pool.submit(lambda: {stage.name: base32(view.variant(stage)) for stage in view.stages})
            rows_by_table = dict(
                zip(stored_tables, thread_pool.map(stored.about, stored_tables, itertools.repeat(self._video)), strict=True)
            )
            return variants_future.result(), rows_by_table

    def of(self, table: str, row_id: Id) -> Lineage:
        subject_row = self._by_id[table, row_id]
        ancestor_rows, descendant_rows = list(self._above(subject_row)), list(self._below(subject_row))
        chain_rows = [*ancestor_rows, subject_row, *descendant_rows]
        subject_ids = {chain_row.id for chain_row in chain_rows} | {self._video}
        task_ids = {chain_row.id for chain_row in chain_rows if chain_row.table == Task.table} | {
            chain_row.values.get("task") for chain_row in chain_rows
        }
        video_row = self._by_id.get((Video.table, self._video))
        candidate_rows = [chain_row for chain_row in chain_rows if chain_row.table == Candidate.table]
        workspace = self._stored.lake.workspace
        media = Media(workspace, self._video)
        printed_ids = self._names([row for table_rows in self._rows.values() for row in table_rows if "id" in row.values])
        return Lineage(
            self._step(subject_row),
            tuple(map(self._step, ancestor_rows)),
            tuple(map(self._step, (*self._above(video_row), video_row))) if video_row else (),
            tuple(map(self._step, descendant_rows)),
            tuple(
                sorted(
                    (row for row in self._rows.get(Outcome.table, []) if row.values["input"] in subject_ids),
                    key=lambda row: row.values["status"] == "made",
                )
            ),
            tuple(
                self._judgements(
                    verdict_row
                    for verdict_row in self._rows.get(Verdict.table, [])
                    if verdict_row.values["subject"] in subject_ids
                )
            ),
            tuple(rollout_row for rollout_row in self._rows.get(Rollout.table, []) if rollout_row.values["task"] in task_ids),
            tuple(paid_answers(workspace, candidate_rows)),
            tuple(places(workspace, [chain_row for chain_row in chain_rows if chain_row.table == Packed.table], printed_ids)),
            next((listed_video for listed_video in listed(workspace).values() if listed_video.video == self._video), None),
            _receipt(media),
            media,
            printed_ids,
        )

    def _above(self, row: StoredRow) -> Sequence[StoredRow]:
        """The rows that a row was made from, the source first."""
        parent_table = self._stored.reads(row.commit.stage)
        made_from = row.made_from
        if parent_table is None or made_from is None or row.commit.kind == "roster":
            return ()
        parent_row = self._by_id.get((parent_table, made_from))
        return () if parent_row is None else (*self._above(parent_row), parent_row)

    def _below(self, row: StoredRow) -> Iterable[StoredRow]:
        for child_row in self._children[row.table, row.id]:
            yield child_row
            yield from self._below(child_row)

    def _step(self, row: StoredRow) -> Step:
        stage = self._stages.get(row.commit.stage)
        prompt_digests: tuple[str, ...] = ()
        if stage is not None and self._is_of_recipe(row) and row.commit.kind != "roster":
            prompt_digests = tuple(
                hashlib.sha256(cache_key_part.encode()).hexdigest() for cache_key_part in stage.cache_key_parts()
            )
        return Step(row, self._name(row), row.commit.stage, self._is_current(row), prompt_digests)

    def _is_current(self, row: StoredRow) -> bool:
        """Whether a row and all that it was made from are as the recipe makes them."""
        return all(self._is_of_recipe(ancestor_row) for ancestor_row in (*self._above(row), row))

    def _is_of_recipe(self, row: StoredRow) -> bool:
        stage = self._stages.get(row.commit.stage)
        if stage is None:
            return False
        return row.commit.kind == "roster" or row.commit.variant == self._variants[stage.name]

    def _judgements(self, rows: Iterable[StoredRow]) -> list[Judgement]:
        recipe_bounds = tuple(bounds(self._view.stages))
        judgements = [
            Judgement(row, is_current, tuple(missed(row.values, recipe_bounds)) if is_current else ())
            for row in rows
            for is_current in [self._is_current(row)]
        ]
        return sorted(
            judgements,
            key=lambda judgement: (
                not judgement.misses,
                judgement.row.values["subject_kind"] != Candidate.kind,
                judgement.row.values["filter"],
                judgement.row.id,
            ),
        )

    def _name(self, row: StoredRow) -> str:
        return show(self._stored.records[row.table].kind, row.id)

    def _names(self, rows: Iterable[StoredRow]) -> dict[Id, str]:
        return {row.id: self._name(row) for row in rows}


def _receipt(media: Media) -> Receipt | None:
    try:
        return read_receipt(media)
    except DmforgeError:
        return None  # whether it should be there, a check will say
