"""The driver of one rank, for its share of the videos: there is no coordinator, only a folder that all ranks see.

Each stage is run on the share, then the next one. At a Collective, which needs all of its tables, ranks meet: rank 0 runs it
once every share is settled up to there, and the others go on when it is done. A waiting rank is not at work; where no rank has
been at work for a while, waiting ends. The rest is reported as pending then: the same command goes on later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console

from dmforge.curation.contract.budget import Budget
from dmforge.curation.contract.collective import Collective, StageCounts
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.engine.driver import WAITS_FOR_INPUTS, Driver, StageReport, require_askable
from dmforge.curation.engine.executors.batch_results import Executor
from dmforge.curation.engine.ranks.rank_locks import RankPresence
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.compaction import compact
from dmforge.curation.lake.partition import Share
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.records import Item, Record

WAITS_FOR_RANKS = "waits for other ranks"


class RankDriver(Driver):
    """Runs stages over its share of a lake that several ranks write at once. It removes no unfinished files."""

    def __init__(
        self,
        workspace: WorkspaceFolder,
        stages: Sequence[AnyStage],
        executor: Executor,
        console: Console,
        account: Budget,
        share: Share,
        wait_timeout_s: float,
    ) -> None:
        super().__init__(Lake(workspace), stages, executor, console, account)
        self._share, self._work_lock = share, RankPresence(workspace, wait_timeout_s)

    def run_share(self, stages: Sequence[AnyStage]) -> Iterator[StageReport]:
        """Run the share through these stages as far as possible; ends early where it waits in vain, and before a stage that
        awaits something."""
        stages, blocked_stage = self._begin(stages)
        require_askable(self._lake.workspace, self._view(), stages)
        pending_upstream = 0
        for stage_index, stage in enumerate(stages[: self._stage_count(stages)]):
            earlier_stages = [
                earlier_stage for earlier_stage in stages[:stage_index] if not isinstance(earlier_stage, Collective)
            ]
            if not isinstance(stage, Collective):
                stage_report = self._run_share_of(stage, earlier_stages, pending_upstream)
            elif pending_upstream:
                stage_report = StageReport(
                    stage.name,
                    StageCounts(pending_upstream, 0, 0, 0),
                    {WAITS_FOR_INPUTS.format(pending_upstream): pending_upstream},
                )
            else:
                stage_report = self._meet_at_collective(stage, earlier_stages)
            pending_upstream += stage_report.tally.pending
            yield stage_report
            if pending_upstream and isinstance(stage, Collective):
                return
        if blocked_stage is not None:
            yield StageReport(
                blocked_stage.name, self._view().tally(blocked_stage, self._share), {}, blocked_stage.blocked_by()
            )

    def _stage_count(self, stages: Sequence[AnyStage]) -> int:
        """How many stages this rank runs or waits for: rank 0 all, others up to the last that isn't a Collective."""
        own_stage_numbers = [
            stage_number
            for stage_number, stage in enumerate(stages, 1)
            if self._share.rank == 0 or not isinstance(stage, Collective)
        ]
        return max(own_stage_numbers, default=0)

    def _run_share_of(self, stage: AnyStage, earlier_stages: Sequence[AnyStage], pending_upstream: int) -> StageReport:
        """Run a stage on the share."""
        with self._work_lock.working():
            deferred_by_reason = self._settle_share(stage)
        share_counts = self._view().tally(stage, self._share)
        # some inputs need rows that other ranks still have to make
        if share_counts.pending and not deferred_by_reason and not pending_upstream:
            self._wait_until(lambda: self._all_settled(earlier_stages))
            with self._work_lock.working():
                deferred_by_reason = self._settle_share(stage)
            share_counts = self._view().tally(stage, self._share)
        still_pending = share_counts.pending - sum(deferred_by_reason.values())
        waiting_by_reason = {WAITS_FOR_RANKS: still_pending} if still_pending else {}
        return self._report(stage, share_counts, deferred_by_reason | waiting_by_reason)

    def _settle_share(self, stage: AnyStage) -> dict[str, int]:
        self._lake = Lake(self._lake.workspace)
        view = self._view()
        pending_inputs = view.tally(stage, self._share).pending
        return self._run_pending(view, stage, pending_inputs) if pending_inputs else {}

    def _meet_at_collective(self, stage: Collective[Item, Record], earlier_stages: Sequence[AnyStage]) -> StageReport:
        """Run a Collective on rank 0, and wait for it on the others."""
        is_first_rank = self._share.rank == 0
        is_ready = self._wait_until(
            lambda: self._all_settled(earlier_stages) and (is_first_rank or not self._view().tally(stage).pending)
        )
        if is_ready and is_first_rank:
            with self._work_lock.working():
                for earlier_stage in earlier_stages:
                    compact(self._lake, earlier_stage.name, earlier_stage.variant)
                self._run_collective(self._view(), stage)
        view = self._view()
        stage_counts = view.tally(stage)
        if is_ready:
            return StageReport(stage.name, stage_counts, {})
        pending_total = sum(view.tally(earlier_stage).pending for earlier_stage in earlier_stages) or stage_counts.pending
        return StageReport(stage.name, StageCounts(pending_total, 0, 0, 0), {WAITS_FOR_RANKS: pending_total})

    def _wait_until(self, is_ready: Callable[[], bool]) -> bool:
        def reload_and_check() -> bool:
            self._lake = Lake(self._lake.workspace)
            return is_ready()

        return self._work_lock.wait_until(reload_and_check)

    def _all_settled(self, stages: Sequence[AnyStage]) -> bool:
        view = self._view()
        return all(not view.tally(stage).pending for stage in stages)
