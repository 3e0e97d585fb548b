"""Does a candidate look as densely as is enough, and no more? Held against what `density` found out."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from dmforge.curation.lake.views import View
from dmforge.curation.settled import Key, Made, Origin, Settled, settle
from dmforge.curation.stage import Collective, StageConfig
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.looks import print_density
from dmforge.schemas.records import Candidate, Target, Verdict


class ThriftConfig(StageConfig):
    """Nothing to be told: thresholds are `select`'s."""


class Thrift(Collective[Candidate, Verdict]):
    """One verdict a candidate, `thrift`: its density over the one that is enough, or the other way round: 1 where they are the
    same. 1 over n = 0 where nobody knows what is enough."""

    name, version = "thrift", 1
    measures = ("thrift",)
    also_reads = (Target,)
    config: ThriftConfig

    def process(self, view: View, origin: Origin) -> Iterator[Settled]:
        enough = {target.task: target.look.fps for target in from_arrow(Target, view.table(view.rows(Target).sql))}
        candidates = from_arrow(Candidate, view.table(view.rows(Candidate).sql))
        candidates.sort(key=lambda candidate: (candidate.video, candidate.id))
        keys = [Key(candidate.id, candidate.video) for candidate in candidates]
        yield settle(origin, keys, [Made((_verdict(one, enough.get(one.task)),)) for one in candidates], self.makes)


def _verdict(candidate: Candidate, enough: Fraction | None) -> Verdict:
    if enough is None or not candidate.looks:
        reason = "nobody knows what is enough" if enough is None else "no look"
        return Verdict(candidate.video, candidate.id, "candidate", "thrift", 1.0, 0, reason)
    fps = candidate.looks[0].fps
    reason = "too dense" if fps > enough else "too sparse" if fps < enough else ""
    told = f"{print_density(fps)} fps, {print_density(enough)} is enough" if reason else ""
    return Verdict(
        candidate.video, candidate.id, "candidate", "thrift", float(min(fps / enough, enough / fps)), 1, reason, told
    )
