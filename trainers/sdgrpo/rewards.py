"""The rewards of a rollout, for where it looked and for what it answered. Pure, and total on whatever a policy writes.

    R_samp   = w_iou * IoU + w_fps * max(0, 1 - |fps - target| / max_fps)
    R_reason = R_answer + w_format * R_format

IoU is that of the look with the target's window; for grounding with gold, each of whose bounds may be moved out by p of its
length, p in [0, p_max], to the look's best advantage. R_answer is the score of schemas/scoring: right or not, and for
grounding the overlap of the span. R_format is 1 for a well-formed trajectory, its parts in order, with one look, or up to as
many as the target has.

Where looks or the target's looks are several, they are matched one to one, by the greatest sum of IoU, and both parts are
means over the larger number of the two: a look too few earns nothing for its place, a look too many takes its share from all.
Gold alone has no looks: there the union of all looks is measured, as an answer's span is.

What the formulae don't say:

    no look     well-formed, but it never looked: R_samp = 0 and R_format = 0
    broken      malformed, cut off, or nothing could be shown for its look: both rewards are 0
    no target   nothing says where to look: R_samp = 0, and `advantages` takes A_hol in its place
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from dmforge.curation.shards.document import ShardSample
from dmforge.generators.inference.rollout import Ending
from dmforge.schemas.assignment import best_assignment
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Needs, Task
from dmforge.schemas.scoring import answer_score, density_nearness, iou, match_looks, mean_of_larger, window_score
from dmforge.trainers.evaluation_rows import task_of
from dmforge.trainers.sdgrpo.sdgrpo_settings import RewardSettings

Case = Literal["looked", "no_look", "broken"]


@dataclass(frozen=True, slots=True)
class RewardTarget:
    """What is right for a sample, and what of it is rewarded."""

    task: Task
    windows: tuple[Window, ...]
    """Where to look; empty where unknown."""
    needs: Needs
    padding: Fraction
    fps: Fraction | None
    """The density that is rewarded, if any: of a set, that of its first look."""
    looks: tuple[Look, ...] = ()
    """The target's looks, whose densities are rewarded where any is."""
    matches_looks: bool = False
    """Whether the windows are those of the target's looks, to be matched one to one; else they are gold's."""

    @property
    def has_target(self) -> bool:
        return bool(self.windows)


@dataclass(frozen=True, slots=True)
class Reward:
    """The rewards of one rollout, with their parts."""

    case: Case
    sampling: float
    """R_samp."""
    reasoning: float
    """R_reason."""
    iou: float = 0.0
    density: float = 0.0
    answer: float = 0.0
    format: float = 0.0


def reward_target_of(sample: ShardSample, settings: RewardSettings) -> RewardTarget:
    """What a sample rewards. The density of a target that only a teacher gave isn't rewarded, unless the settings say so."""
    target_looks = sample.target_looks
    if any(target_look.has_limits for target_look in target_looks):
        message = "rewards can't act on the box or the token quota of a target: window and density alone are compared"
        raise InputError(message, where=sample.id, hint="select targets without them")
    has_gold = sample.kind == "grounding" and bool(sample.windows)
    # a target that is a set has gold's windows, each for itself
    matches_looks = len(target_looks) > 1 or (bool(target_looks) and not has_gold)
    is_density_rewarded = settings.fps > 0 and (sample.target_source != "teacher" or settings.teacher_densities)
    return RewardTarget(
        task_of(sample),
        tuple(target_look.window for target_look in target_looks) if matches_looks else sample.windows,
        "any" if matches_looks else sample.needs,
        Fraction(str(settings.padding)) if has_gold else Fraction(0),
        target_looks[0].fps if target_looks and is_density_rewarded else None,
        target_looks,
        matches_looks,
    )


def reward(reward_target: RewardTarget, ending: Ending, trajectory: Trajectory | None, settings: RewardSettings) -> Reward:
    """The reward of a rollout with this ending and trajectory."""
    if trajectory is None or ending not in ("answered", "no_look"):
        return Reward("broken", 0.0, 0.0)
    answer_reward = answer_score(trajectory.answer, reward_target.task)
    if not trajectory.looks:
        return Reward("no_look", 0.0, answer_reward, answer=answer_reward)
    window_iou, density_part = (
        window_reward([look.window for look in trajectory.looks], reward_target),
        density_reward(trajectory.looks, reward_target, settings.max_fps),
    )
    format_reward = float(len(trajectory.looks) <= max(1, len(reward_target.looks)))
    return Reward(
        "looked",
        settings.iou * window_iou + settings.fps * density_part,
        answer_reward + settings.format * format_reward,
        window_iou,
        density_part,
        answer_reward,
        format_reward,
    )


def window_reward(look_windows: Sequence[Window], reward_target: RewardTarget) -> float:
    """IoU with the target's windows, one to one; else with gold, the best of its windows or all of them."""
    if not reward_target.matches_looks:
        gold_windows = reward_target.windows
        return float(_padded_score(tuple(look_windows), gold_windows, reward_target.padding, reward_target.needs))
    values = [
        [
            (_padded_score((look_window,), (target_window,), reward_target.padding, "any"), Fraction(0))
            for target_window in reward_target.windows
        ]
        for look_window in look_windows
    ]
    total_iou = sum((values[index][target_index][0] for index, target_index in best_assignment(values)), Fraction(0))
    return float(mean_of_larger(total_iou, look_windows, reward_target.windows))


def density_reward(looks: Sequence[Look], reward_target: RewardTarget, max_fps: Fraction) -> float:
    """max(0, 1 - |fps - target| / max_fps), one to one by the windows."""
    if reward_target.fps is None:
        return 0.0

    def nearness(fps: Fraction, target_fps: Fraction) -> Fraction:
        return density_nearness(fps, target_fps, max_fps)

    look_pairs = match_looks(looks, reward_target.looks, nearness)
    total_nearness = sum((nearness(look.fps, target_look.fps) for look, target_look in look_pairs), Fraction(0))
    return float(mean_of_larger(total_nearness, looks, reward_target.looks))


def _padded_score(
    look_windows: tuple[Window, ...], gold_windows: tuple[Window, ...], padding: Fraction, needs: Needs
) -> Fraction:
    """The score of windows against gold as it is, or moved out towards those that meet it best if that is better."""
    padded_windows = tuple(
        _padded_towards(_nearest(look_windows, gold_window), gold_window, padding, always_pad=needs == "any")
        for gold_window in gold_windows
    )
    return max(window_score(look_windows, windows, needs) for windows in (gold_windows, padded_windows))


def _nearest(look_windows: tuple[Window, ...], gold_window: Window) -> Window:
    """The window that meets gold best; of those that miss it the one with the smallest gap."""

    def nearness(look_window: Window) -> tuple[Fraction, int, int, int]:
        gap_cs = max(look_window.start_cs - gold_window.end_cs, gold_window.start_cs - look_window.end_cs)
        return iou((look_window,), (gold_window,)), -gap_cs, look_window.start_cs, look_window.end_cs

    return max(look_windows, key=nearness)


def _padded_towards(look_window: Window, gold_window: Window, padding: Fraction, *, always_pad: bool) -> Window:
    """Gold with each bound moved out towards the look's own, within the padding. Without `always_pad`, a window that the look
    misses is not moved: one of several that are all needed."""
    if not always_pad and (look_window.end_cs <= gold_window.start_cs or look_window.start_cs >= gold_window.end_cs):
        return gold_window
    max_shift_cs = int(padding * (gold_window.end_cs - gold_window.start_cs))
    start_cs = min(gold_window.start_cs, max(look_window.start_cs, gold_window.start_cs - max_shift_cs))
    end_cs = max(gold_window.end_cs, min(look_window.end_cs, gold_window.end_cs + max_shift_cs))
    return Window(max(0, start_cs), end_cs)
