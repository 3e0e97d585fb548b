"""The driver: stage after stage, it finds what is pending, has it worked on, and commits. It alone writes the lake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
from rich.console import Console

from dmforge.curation.accounts import Account
from dmforge.curation.executors.finished import Executor
from dmforge.curation.lake.commits import Draft, Lake
from dmforge.curation.lake.compaction import compact
from dmforge.curation.lake.parts import Extent
from dmforge.curation.lake.roster import publish_roster
from dmforge.curation.lake.shares import ALL, Share
from dmforge.curation.lake.spool import Spool
from dmforge.curation.lake.views import AnyStage, Tally, View, interruptible
from dmforge.curation.lake.worklist import pending_batches
from dmforge.curation.progress import StageProgress
from dmforge.curation.settled import Origin, Settled
from dmforge.curation.stage import Ask, Collective, Gate, Root
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.records import Item, Outcome, Record

WAITS = "waits for {} inputs of earlier stages"


@dataclass(frozen=True, slots=True)
class StageReport:
    """How a stage stands after a run, and why what is pending is."""

    name: str
    tally: Tally
    deferred: dict[str, int]
    """Reason -> inputs that stay pending for it."""
    awaits: str = ""
    """What has to be made by other means before this stage can work: the run ended before it, as it should."""


def unblocked(stages: Sequence[AnyStage]) -> tuple[Sequence[AnyStage], AnyStage | None]:
    """The stages up to the first that awaits what has to be made elsewhere, and that one."""
    blocked = next((stage for stage in stages if stage.awaits()), None)
    return (stages, None) if blocked is None else (stages[: stages.index(blocked)], blocked)


def refuse_missing(view: View, stages: Sequence[AnyStage]) -> None:
    """Raise what a stage can't ask without, before anybody is asked, if it surely has questions or paid replies lead to some.

    A stage that has settled inputs before may find each that comes to be answered: it raises when it comes to one that isn't.
    """
    if not any(isinstance(stage, Ask) and stage.missing() for stage in stages):
        return
    coming: set[type[Record]] = set()
    is_paid = False
    for stage in stages:
        tally = view.tally(stage)
        if stage.reads not in coming and not tally.pending:
            continue
        coming |= {*stage.makes, stage.reads} if isinstance(stage, Gate) else {*stage.makes}
        if not isinstance(stage, Ask):
            continue
        if (error := stage.missing()) is None:
            is_paid = True
        elif tally.pending or is_paid or not view.ever_settled(stage):
            raise error


class Driver:
    """Runs stages over a lake that is held for writing."""

    _share: Share = ALL
    """The videos whose work is this driver's."""

    def __init__(
        self, lake: Lake, stages: Sequence[AnyStage], executor: Executor, console: Console, account: Account | None = None
    ) -> None:
        self._lake, self._stages, self._executor, self._console = lake, stages, executor, console
        self._upto: Id | None = None
        self.account = account or Account()

    def run(self, stages: Sequence[AnyStage], videos: int | None = None, *, partial: bool = False) -> Iterator[StageReport]:
        """Bring each of these stages as far as it comes. With `videos`, only what is about the first so many videos.

        A Collective waits until all inputs of earlier stages are settled; with `partial` it takes what there is. Before a
        stage that awaits something the run ends, and the last report says what.
        """
        stages, blocked = unblocked(stages)
        for stage in stages:
            if isinstance(stage, Ask):
                stage.account = self.account
            stage.begin(self._lake.workspace)
        self._lake.sweep()
        for stage in self._stages:
            if isinstance(stage, Root):
                publish_roster(self._lake, stage)
        self._upto = None if videos is None else View(self._lake, self._stages).last_of_first(videos)
        refuse_missing(self._view(), stages)
        waiting = 0
        for stage in stages:
            view = self._view()
            if not isinstance(stage, Collective):
                deferred = self._work(view, stage, waiting)
            elif waiting and not partial:
                deferred = {WAITS.format(waiting): view.tally(stage).pending}
            else:
                deferred = self._gather(view, stage)
            report = StageReport(stage.name, self._view().tally(stage), deferred)
            waiting += report.tally.pending
            pa.default_memory_pool().release_unused()  # it would hold on to the most that any stage took
            yield report
        if blocked is not None:
            yield StageReport(blocked.name, self._view().tally(blocked), {}, blocked.awaits())

    def _view(self) -> View:
        return View(self._lake, self._stages, last_video=self._upto)

    def _work(self, view: View, stage: AnyStage, waiting: int) -> dict[str, int]:
        pending = view.tally(stage).pending
        deferred = self._settle(view, stage, pending) if pending else {}
        if waiting:  # some of what is pending here may wait for a row of an earlier stage
            held = self._view().tally(stage).pending - sum(deferred.values())
            return deferred | ({"waits for earlier stages": held} if held else {})
        if not deferred and self._upto is None:
            # also where nothing was pending: a kill may have come between the last batch and this
            compact(self._lake, stage.name, stage.variant)
        return deferred

    def _settle(self, view: View, stage: AnyStage, pending: int) -> dict[str, int]:
        deferred: Counter[str] = Counter()
        origin, config = stage.origin, stage.config.semantic()
        with StageProgress(self._console, stage.name, pending) as progress:
            batches = pending_batches(view, stage, self._share)
            for finished in self._executor.execute(stage, self._lake.workspace, batches, progress.advance):
                if finished.settled is not None:
                    draft = Draft("batch", stage.name, origin.variant, _batch_id(origin, finished.settled), config)
                    self._lake.publish(draft, _tables(finished.settled))
                deferred.update(item.reason for item in finished.deferred)
        self._refuse_repeats(stage)
        return dict(deferred)

    def _gather(self, view: View, stage: Collective[Item, Record]) -> dict[str, int]:
        origin = Origin(stage.name, view.variant(stage))
        inputs = view.extent(view.inputs(stage))
        if view.tally(stage).pending == 0:
            return {}
        before = View(self._lake, self._stages[: self._stages.index(stage)], last_video=self._upto)
        with Spool() as spool:
            settled = self._spooled(stage, before, origin, spool, inputs.count)
            self._refuse_unsettled(stage, settled, inputs)
            # what stands under this variant was settled in part only (rows were taken down, or reopened): all is settled anew
            partial = tuple(sorted(commit.id for commit in self._lake.of(stage.name, origin.variant)))
            name = digest("collective", [stage.name, origin.variant, *partial])
            draft = Draft("collective", stage.name, origin.variant, name, stage.config.semantic(), supersedes=partial)
            self._lake.publish(draft, spool.tables())
        return {}

    def _spooled(self, stage: Collective[Item, Record], before: View, origin: Origin, spool: Spool, inputs: int) -> Extent:
        """All that a Collective settles, kept beside memory; which inputs those are."""
        settled = Extent()
        with StageProgress(self._console, stage.name, inputs) as progress:
            stage.open(self._lake.workspace)
            with interruptible():
                for piece in stage.process(before, origin):
                    for table, rows in {Outcome.table: piece.outcomes, **piece.rows}.items():
                        spool.add(table, rows)
                    settled += Extent.of(piece.outcomes.column("input"))
                    progress.advance(piece.outcomes.num_rows)
            stage.close()
        return settled

    def _refuse_unsettled(self, stage: Collective[Item, Record], settled: Extent, inputs: Extent) -> None:
        if settled != inputs:
            raise DmforgeError(
                f"stage {stage.name!r} settled {settled.count} inputs; it was given {inputs.count}, each needs an outcome",
                mend=f"each row of {stage.reads.table} needs one; if rows come twice, a stage before it has to say `repeats`",
            )

    def _refuse_repeats(self, stage: AnyStage) -> None:
        # once a run, on what it has just made: later stages and corpora would count such a row twice
        repeated = None if stage.repeats else View(self._lake, self._stages).repeated(stage)
        if repeated is not None:
            raise DmforgeError(
                f"stage {stage.name!r} made one and the same row from two inputs: {repeated}",
                mend=f"if that is as it should be, set `repeats = True` in {type(stage).__name__}",
            )


def _batch_id(origin: Origin, settled: Settled) -> Id:
    return digest("batch", [origin.stage, origin.variant, settled.outcomes.column("input").to_pylist()])


def _tables(settled: Settled) -> dict[str, list[pa.Table]]:
    return {Outcome.table: [settled.outcomes]} | {table: [rows] for table, rows in settled.rows.items()}
