"""Does a candidate look as densely as is enough, and no more? Compared with the target that `density` measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from dmforge.curation.contract.collective import Collective, View
from dmforge.curation.contract.stage import StageConfig
from dmforge.curation.contract.stage_results import Key, Made, Origin, StageResults, settle
from dmforge.schemas.looks import Look, print_density
from dmforge.schemas.records import Candidate, Target, Verdict
from dmforge.schemas.scoring import match_looks, mean_of_larger


class ThriftConfig(StageConfig):
    """This stage has no settings: thresholds are those of a selection."""


class Thrift(Collective[Candidate, Verdict]):
    """One verdict a candidate, `thrift`: its density over the one that is enough, or the inverse: 1 where they are the same,
    less for both too dense and too sparse. Several looks are matched with the target's; each that stays alone counts as 0.
    1 over n = 0 where it is unknown which density is enough."""

    name, version = "thrift", 1
    measures = ("thrift",)
    also_reads = (Target,)
    config: ThriftConfig

    def process(self, view: View, origin: Origin) -> Iterator[StageResults]:
        target_looks_by_task = {target.task: target.looks for target in view.all_rows(Target)}
        candidates = view.all_rows(Candidate)
        candidates.sort(key=lambda candidate: (candidate.video, candidate.id))
        candidate_keys = [Key(candidate.id, candidate.video) for candidate in candidates]
        yield settle(
            origin,
            candidate_keys,
            [Made((_verdict(candidate, target_looks_by_task.get(candidate.task, ())),)) for candidate in candidates],
            self.makes,
        )


def _verdict(candidate: Candidate, target_looks: Sequence[Look]) -> Verdict:
    if not target_looks or not candidate.looks:
        verdict_reason = "no look" if target_looks else "nobody knows what is enough"
        return Verdict(candidate.video, candidate.id, "candidate", "thrift", 1.0, 0, verdict_reason)
    look_pairs = match_looks(candidate.looks, target_looks, _density_ratio)
    total_ratio = sum((_density_ratio(look.fps, target_look.fps) for look, target_look in look_pairs), Fraction(0))
    differing_pairs = [(look.fps, target_look.fps) for look, target_look in look_pairs if look.fps != target_look.fps]
    reasons = {"too dense" if look_fps > sufficient_fps else "too sparse" for look_fps, sufficient_fps in differing_pairs}
    details = [
        f"{print_density(look_fps)} fps, {print_density(sufficient_fps)} is enough"
        for look_fps, sufficient_fps in differing_pairs
    ]
    if len(candidate.looks) != len(target_looks):
        reasons.add("too many looks" if len(candidate.looks) > len(target_looks) else "too few looks")
        details.append(f"looks {len(candidate.looks)} times, {len(target_looks)} is enough")
    return Verdict(
        candidate.video,
        candidate.id,
        "candidate",
        "thrift",
        float(mean_of_larger(total_ratio, candidate.looks, target_looks)),
        1,
        " and ".join(sorted(reasons)),
        "; ".join(details),
    )


def _density_ratio(fps: Fraction, sufficient_fps: Fraction) -> Fraction:
    """The smaller of two densities over the larger one."""
    return min(fps / sufficient_fps, sufficient_fps / fps)
