"""Does a candidate look as densely as is enough, and no more? Compared with the target that `density` measured."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from dmforge.curation.contract.collective import Collective, View
from dmforge.curation.contract.stage import StageConfig
from dmforge.curation.contract.stage_results import Key, Made, Origin, StageResults, settle
from dmforge.schemas.looks import print_density
from dmforge.schemas.records import Candidate, Target, Verdict


class ThriftConfig(StageConfig):
    """This stage has no settings: thresholds are those of a selection."""


class Thrift(Collective[Candidate, Verdict]):
    """One verdict a candidate, `thrift`: its density over the one that is enough, or the inverse: 1 where they are the same,
    less for both too dense and too sparse. 1 over n = 0 where it is unknown which density is enough."""

    name, version = "thrift", 1
    measures = ("thrift",)
    also_reads = (Target,)
    config: ThriftConfig

    def process(self, view: View, origin: Origin) -> Iterator[StageResults]:
        sufficient_fps_by_task = {target.task: target.look.fps for target in view.all_rows(Target)}
        candidates = view.all_rows(Candidate)
        candidates.sort(key=lambda candidate: (candidate.video, candidate.id))
        candidate_keys = [Key(candidate.id, candidate.video) for candidate in candidates]
        yield settle(
            origin,
            candidate_keys,
            [Made((_verdict(candidate, sufficient_fps_by_task.get(candidate.task)),)) for candidate in candidates],
            self.makes,
        )


def _verdict(candidate: Candidate, sufficient_fps: Fraction | None) -> Verdict:
    if sufficient_fps is None or not candidate.looks:
        verdict_reason = "nobody knows what is enough" if sufficient_fps is None else "no look"
        return Verdict(candidate.video, candidate.id, "candidate", "thrift", 1.0, 0, verdict_reason)
    look_fps = candidate.looks[0].fps
    verdict_reason = "too dense" if look_fps > sufficient_fps else "too sparse" if look_fps < sufficient_fps else ""
    excess_detail = f"{print_density(look_fps)} fps, {print_density(sufficient_fps)} is enough" if verdict_reason else ""
    return Verdict(
        candidate.video,
        candidate.id,
        "candidate",
        "thrift",
        float(min(look_fps / sufficient_fps, sufficient_fps / look_fps)),
        1,
        verdict_reason,
        excess_detail,
    )
