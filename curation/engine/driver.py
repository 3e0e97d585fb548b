"""The driver: for each stage, it finds pending inputs, has an executor process them, and commits. It alone writes the lake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
from rich.console import Console

from dmforge.curation.contract.budget import Budget
from dmforge.curation.contract.collective import Collective, StageCounts
from dmforge.curation.contract.run_events import BatchCommitted, StageBegan
from dmforge.curation.contract.stage import AnyStage, Ask, Gate, Root
from dmforge.curation.contract.stage_results import Origin, StageResults
from dmforge.curation.engine.executors.batch_results import Executor
from dmforge.curation.engine.progress import StageProgress
from dmforge.curation.lake.commits import CommitDraft, Lake
from dmforge.curation.lake.compaction import compact
from dmforge.curation.lake.database import interruptible
from dmforge.curation.lake.partition import ALL, Share
from dmforge.curation.lake.parts import Extent
from dmforge.curation.lake.roster import publish_roster
from dmforge.curation.lake.spool import Spool
from dmforge.curation.lake.views import LakeView
from dmforge.curation.lake.worklist import pending_batches
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.ids import Id, base32, digest
from dmforge.schemas.records import Item, Outcome, Record

OutcomeCounts = Counter[tuple[str, str]]
"""Inputs by status and reason."""
WAITS_FOR_INPUTS = "waits for {} inputs of earlier stages"


@dataclass(frozen=True, slots=True)
class StageReport:
    """The state of a stage after a run, with the reasons why inputs are pending."""

    name: str
    tally: StageCounts
    deferred: dict[str, int]
    """Reason -> inputs that stay pending for it."""
    blocked_by: str = ""
    """What has to be made by other means before this stage can work: the run ended before it, in good order."""
    is_in_vain: bool = False
    """All of its inputs, and there are some, are rejected since no reply of a teacher could be used."""
    to_change: str = ""
    """What to change before it is run again, where as it is it would end alike."""


def split_at_blocked(stages: Sequence[AnyStage]) -> tuple[Sequence[AnyStage], AnyStage | None]:
    """The stages before the first that awaits something made elsewhere, and that stage, if there is one."""
    blocked_stage = next((stage for stage in stages if stage.blocked_by()), None)
    return (stages, None) if blocked_stage is None else (stages[: stages.index(blocked_stage)], blocked_stage)


def require_askable(workspace: WorkspaceFolder, view: LakeView, stages: Sequence[AnyStage]) -> None:
    """Raise an Ask stage's missing endpoint or price before any request, if it has inputs or paid replies will lead to some.

    A stage that has settled inputs before, or whose journal has answers, may have paid answers for all that come: it raises at
    the first input that has none. So whatever the lake has lost comes back from the journal, with no endpoint named.
    """
    if not any(isinstance(stage, Ask) and stage.missing() for stage in stages):
        return
    coming_records: set[type[Record]] = set()
    earlier_may_ask = is_new_work = False
    for stage in stages:
        stage_counts = view.tally(stage)
        is_new_work = is_new_work or (stage_counts.pending > 0 and not view.superseded(stage))
        if stage.reads not in coming_records and not stage_counts.pending:
            continue
        coming_records |= {*stage.makes, stage.reads} if isinstance(stage, Gate) else {*stage.makes}
        if not isinstance(stage, Ask):
            continue
        if (error := stage.missing()) is None:
            earlier_may_ask = True
        elif not (view.superseded(stage) or stage.may_be_answered(workspace)) and (
            stage_counts.pending or earlier_may_ask or (is_new_work and not view.ever_settled(stage))
        ):
            raise error


class Driver:
    """Runs stages over a lake that is held for writing."""

    _share: Share = ALL
    """The share of the videos that this driver works on."""

    def __init__(
        self,
        lake: Lake,
        stages: Sequence[AnyStage],
        executor: Executor,
        console: Console,
        account: Budget | None = None,
        *,
        last_video: Id | None = None,
    ) -> None:
        self._lake, self._stages, self._executor, self._console = lake, stages, executor, console
        self.last_video = last_video
        """Of a pilot: what is about later ones is not seen."""
        self.account = account or Budget()

    def run(
        self, stages: Sequence[AnyStage], video_count: int | None = None, *, partial: bool = False
    ) -> Iterator[StageReport]:
        """Run each of these stages as far as possible; with `videos`, only on inputs about the first so many videos.

        A Collective waits until all inputs of earlier stages are settled; with `partial` it runs on those that are. The run
        ends before a stage that awaits something, and the last report says what.
        """
        stages, blocked_stage = self._begin(stages)
        self._lake.sweep()
        for stage in self._stages:
            if isinstance(stage, Root):
                publish_roster(self._lake, stage)
        if video_count is not None:
            self.last_video = LakeView(self._lake, self._stages).last_of_first(video_count)
        require_askable(self._lake.workspace, self._view(), stages)
        waiting_inputs = 0
        for stage in stages:
            view = self._view()
            if not isinstance(stage, Collective):
                deferred_by_reason = self._run_stage(view, stage, waiting_inputs)
            elif waiting_inputs and not partial:
                deferred_by_reason = {WAITS_FOR_INPUTS.format(waiting_inputs): view.tally(stage).pending}
            else:
                deferred_by_reason = self._run_collective(view, stage)
            stage_report = self._report(stage, self._view().tally(stage), deferred_by_reason)
            waiting_inputs += stage_report.tally.pending
            pa.default_memory_pool().release_unused()  # it would keep as much memory as the largest stage took
            yield stage_report
        if blocked_stage is not None:
            yield StageReport(blocked_stage.name, self._view().tally(blocked_stage), {}, blocked_stage.blocked_by())

    def _report(self, stage: AnyStage, tally: StageCounts, deferred_by_reason: dict[str, int]) -> StageReport:
        is_in_vain = self._is_in_vain(stage, tally)
        to_change = self.account.to_change.get(stage.name, "")
        return StageReport(stage.name, tally, deferred_by_reason, is_in_vain=is_in_vain, to_change=to_change)

    def _is_in_vain(self, stage: AnyStage, tally: StageCounts) -> bool:
        if not isinstance(stage, Ask) or not stage.unreadable_reason or not tally.rejected or tally.made or tally.quarantined:
            return False
        view = self._view()
        other_inputs = view.table(
            f"SELECT 1 FROM ({view.outcomes(stage)}) WHERE reason <> $reason", {"reason": stage.unreadable_reason}
        )
        return other_inputs.num_rows == 0

    def _begin(self, stages: Sequence[AnyStage]) -> tuple[Sequence[AnyStage], AnyStage | None]:
        """Begin the stages before the first that awaits something; return them, and that stage."""
        stages, blocked_stage = split_at_blocked(stages)
        for stage in stages:
            if isinstance(stage, Ask):
                stage.account = self.account
            stage.begin(self._lake.workspace)
        return stages, blocked_stage

    def _view(self) -> LakeView:
        return LakeView(self._lake, self._stages, last_video=self.last_video)

    def _run_stage(self, view: LakeView, stage: AnyStage, waiting_inputs: int) -> dict[str, int]:
        pending_inputs = view.tally(stage).pending
        deferred_by_reason = self._run_pending(view, stage, pending_inputs) if pending_inputs else {}
        if waiting_inputs:  # some of what is pending here may wait for a row of an earlier stage
            waiting_count = self._view().tally(stage).pending - sum(deferred_by_reason.values())
            return deferred_by_reason | ({"waits for earlier stages": waiting_count} if waiting_count else {})
        if not deferred_by_reason and self.last_video is None:
            # also where nothing was pending: a kill may have come between the last batch and this
            compact(self._lake, stage.name, stage.variant)
        return deferred_by_reason

    def _run_pending(self, view: LakeView, stage: AnyStage, pending_inputs: int) -> dict[str, int]:
        deferred_by_reason: Counter[str] = Counter()
        origin, config = stage.origin, stage.config.semantic()
        with (
            StageProgress(self._console, stage.name, pending_inputs) as progress,
            self.account.events.followed_by(progress.follow),
        ):
            self.account.events.emit(StageBegan(stage.name, base32(origin.variant), pending_inputs))
            batches = pending_batches(view, stage, self._share)
            for finished_batch in self._executor.execute(stage, self._lake.workspace, batches, progress.advance):
                if finished_batch.settled is not None:
                    commit_draft = CommitDraft(
                        "batch", stage.name, origin.variant, _batch_id(origin, finished_batch.settled), config
                    )
                    self._lake.publish(commit_draft, _tables(finished_batch.settled))
                    self.account.events.emit(_batch_committed(origin, _outcome_counts(finished_batch.settled.outcomes)))
                deferred_by_reason.update(deferred_input.reason for deferred_input in finished_batch.deferred)
        self._refuse_repeats(stage)
        return dict(deferred_by_reason)

    def _run_collective(self, view: LakeView, stage: Collective[Item, Record]) -> dict[str, int]:
        origin = Origin(stage.name, view.variant(stage))
        inputs_extent = view.extent(view.inputs(stage))
        if view.tally(stage).pending == 0:
            return {}
        self.account.events.emit(StageBegan(stage.name, base32(origin.variant), inputs_extent.count))
        earlier_view = LakeView(self._lake, self._stages[: self._stages.index(stage)], last_video=self.last_video)
        with Spool() as spool:
            settled_extent, outcome_counts = self._run_into_spool(stage, earlier_view, origin, spool, inputs_extent.count)
            self._refuse_unsettled(stage, settled_extent, inputs_extent)
            # what stands under this variant was settled in part only (rows were taken down, or reopened): all is settled anew
            partial_commits = tuple(sorted(commit.id for commit in self._lake.of(stage.name, origin.variant)))
            commit_name = digest("collective", [stage.name, origin.variant, *partial_commits])
            commit_draft = CommitDraft(
                "collective", stage.name, origin.variant, commit_name, stage.config.semantic(), supersedes=partial_commits
            )
            self._lake.publish(commit_draft, spool.tables())
        self.account.events.emit(_batch_committed(origin, outcome_counts))
        return {}

    def _run_into_spool(
        self, stage: Collective[Item, Record], earlier_view: LakeView, origin: Origin, spool: Spool, input_count: int
    ) -> tuple[Extent, OutcomeCounts]:
        """Run a Collective into a spool on disk; the extent of the inputs that it settled, and the counts of their outcomes."""
        settled_extent, outcome_counts = Extent(), OutcomeCounts()
        with StageProgress(self._console, stage.name, input_count) as progress:
            stage.open(self._lake.workspace)
            with interruptible():
                for results_piece in stage.process(earlier_view, origin):
                    for table_name, table_rows in {Outcome.table: results_piece.outcomes, **results_piece.rows}.items():
                        spool.add(table_name, table_rows)
                    settled_extent += Extent.of(results_piece.outcomes.column("input"))
                    outcome_counts += _outcome_counts(results_piece.outcomes)
                    progress.advance(results_piece.outcomes.num_rows)
            stage.close()
        return settled_extent, outcome_counts

    def _refuse_unsettled(self, stage: Collective[Item, Record], settled: Extent, inputs: Extent) -> None:
        if settled != inputs:
            raise DmforgeError(
                f"stage {stage.name!r} settled {settled.count} inputs; it was given {inputs.count}, each needs an outcome",
                hint=f"each row of {stage.reads.table} needs one; a stage that gives rows twice says `allows_duplicate_rows`",
            )

    def _refuse_repeats(self, stage: AnyStage) -> None:
        # once a run, on its new rows: later stages and corpora would count such a row twice
        repeated_id = None if stage.allows_duplicate_rows else LakeView(self._lake, self._stages).repeated(stage)
        if repeated_id is not None:
            raise DmforgeError(
                f"stage {stage.name!r} made one and the same row from two inputs: {repeated_id}",
                hint=f"if that is as it should be, set `allows_duplicate_rows = True` in {type(stage).__name__}",
            )


def _batch_id(origin: Origin, settled: StageResults) -> Id:
    return digest("batch", [origin.stage, origin.variant, settled.outcomes.column("input").to_pylist()])


def _outcome_counts(outcomes: pa.Table) -> OutcomeCounts:
    counted_groups = outcomes.group_by(["status", "reason"], use_threads=False).aggregate([([], "count_all")])
    return OutcomeCounts(
        {(group_row["status"], group_row["reason"]): group_row["count_all"] for group_row in counted_groups.to_pylist()}
    )


def _batch_committed(origin: Origin, counts: OutcomeCounts) -> BatchCommitted:
    made_count, rejected_count, quarantined_count = (
        sum(outcome_count for (status, _), outcome_count in counts.items() if status == wanted_status)
        for wanted_status in ("made", "rejected", "quarantined")
    )
    count_by_reason = {reason: outcome_count for (_, reason), outcome_count in counts.items() if reason}
    return BatchCommitted(origin.stage, base32(origin.variant), made_count, rejected_count, quarantined_count, count_by_reason)


def _tables(settled: StageResults) -> dict[str, list[pa.Table]]:
    return {Outcome.table: [settled.outcomes]} | {table_name: [table_rows] for table_name, table_rows in settled.rows.items()}
