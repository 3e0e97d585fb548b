"""A rank is the driver of its share of the videos: no coordinator, only a folder that all ranks see.

Every stage is taken as far as the share goes, then the next one. At a Collective, which needs all of its tables, ranks meet:
rank 0 runs it once every share is settled up to there, and the others go on when it is done. Who waits is not at work; where
nobody has been at work for a while, waiting ends. What is missing is reported as pending then: the same command goes on later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console

from dmforge.curation.accounts import Account
from dmforge.curation.executors.finished import Executor
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.compaction import compact
from dmforge.curation.lake.shares import Share
from dmforge.curation.lake.views import AnyStage, Tally
from dmforge.curation.ranks import Working
from dmforge.curation.runner import WAITS, Driver, StageReport, refuse_missing, unblocked
from dmforge.curation.stage import Ask, Collective
from dmforge.curation.workspace import Workspace
from dmforge.schemas.records import Item, Record

OTHERS = "waits for other ranks"


class RankDriver(Driver):
    """Runs stages over its share of a lake that several ranks write at once. It sweeps nothing away."""

    def __init__(
        self,
        workspace: Workspace,
        stages: Sequence[AnyStage],
        executor: Executor,
        console: Console,
        account: Account,
        share: Share,
        patience_s: float,
    ) -> None:
        super().__init__(Lake(workspace), stages, executor, console, account)
        self._share, self._work_lock = share, Working(workspace, patience_s)

    def run_share(self, stages: Sequence[AnyStage]) -> Iterator[StageReport]:
        """Bring the share through these stages as far as it comes; ends early where it waits in vain, and before a stage that
        awaits something."""
        stages, blocked = unblocked(stages)
        for stage in stages:
            if isinstance(stage, Ask):
                stage.account = self.account
            stage.begin(self._lake.workspace)
        refuse_missing(self._view(), stages)
        waiting = 0
        for number, stage in enumerate(stages[: self._end(stages)]):
            earlier = [one for one in stages[:number] if not isinstance(one, Collective)]
            if not isinstance(stage, Collective):
                report = self._brought(stage, earlier, waiting)
            elif waiting:
                report = StageReport(stage.name, Tally(waiting, 0, 0, 0), {WAITS.format(waiting): waiting})
            else:
                report = self._met(stage, earlier)
            waiting += report.tally.pending
            yield report
            if waiting and isinstance(stage, Collective):
                return
        if blocked is not None:
            yield StageReport(blocked.name, self._view().tally(blocked, self._share), {}, blocked.awaits())

    def _end(self, stages: Sequence[AnyStage]) -> int:
        """Where its work ends: rank 0 sees to it all, the others have nothing to wait for after the last of their share."""
        own = [number for number, stage in enumerate(stages, 1) if self._share.rank == 0 or not isinstance(stage, Collective)]
        return max(own, default=0)

    def _brought(self, stage: AnyStage, earlier: Sequence[AnyStage], waiting: int) -> StageReport:
        """A stage, as far as the share goes."""
        with self._work_lock.working():
            deferred = self._settled_share(stage)
        tally = self._view().tally(stage, self._share)
        if tally.pending and not deferred and not waiting:  # some stand beside rows that other shares are still to make
            self._wait_until(lambda: self._all_settled(earlier))
            with self._work_lock.working():
                deferred = self._settled_share(stage)
            tally = self._view().tally(stage, self._share)
        held = tally.pending - sum(deferred.values())
        return StageReport(stage.name, tally, deferred | ({OTHERS: held} if held else {}))

    def _settled_share(self, stage: AnyStage) -> dict[str, int]:
        self._lake = Lake(self._lake.workspace)
        view = self._view()
        pending = view.tally(stage, self._share).pending
        return self._settle(view, stage, pending) if pending else {}

    def _met(self, stage: Collective[Item, Record], earlier: Sequence[AnyStage]) -> StageReport:
        """A Collective: run by rank 0, awaited by the others."""
        first = self._share.rank == 0
        ready = self._wait_until(lambda: self._all_settled(earlier) and (first or not self._view().tally(stage).pending))
        if ready and first:
            with self._work_lock.working():
                for one in earlier:
                    compact(self._lake, one.name, one.variant)
                self._gather(self._view(), stage)
        view = self._view()
        tally = view.tally(stage)
        if ready:
            return StageReport(stage.name, tally, {})
        missing = sum(view.tally(one).pending for one in earlier) or tally.pending
        return StageReport(stage.name, Tally(missing, 0, 0, 0), {OTHERS: missing})

    def _wait_until(self, ready: Callable[[], bool]) -> bool:
        def looked() -> bool:
            self._lake = Lake(self._lake.workspace)
            return ready()

        return self._work_lock.wait_until(looked)

    def _all_settled(self, stages: Sequence[AnyStage]) -> bool:
        view = self._view()
        return all(not view.tally(stage).pending for stage in stages)
