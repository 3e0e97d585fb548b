"""The rewards of a rollout, for where it looked and for what it answered. Pure, and total on whatever a policy writes.

    R_samp   = w_iou * IoU + w_fps * max(0, 1 - |fps - target| / max_fps)
    R_reason = R_answer + w_format * R_format

IoU is that of the first look with the target's window; for grounding with gold, each of whose bounds may be moved out by
p of its length, p in [0, p_max], to the look's best advantage. R_answer is the score of schemas/scoring: right or not, and
for grounding the overlap of the span. R_format is 1 for a well-formed trajectory, its parts in order, with exactly one look.

What the formulae don't say:

    no look     well-formed, but it never looked: R_samp = 0 and R_format = 0
    broken      malformed, cut off, or nothing could be shown for its look: both rewards are 0
    no target   nothing says where to look: R_samp = 0, and `advantages` takes A_hol in its place
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from dmforge.curation.shards.document import ShardSample
from dmforge.generators.inference.rollout import Ending
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Needs, Task
from dmforge.schemas.scoring import answer_score, density_error, window_score
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
    """The density that is rewarded, if any."""

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
    target_look = sample.target
    if target_look and target_look.has_limits:
        message = "rewards can't act on the box or the token quota of a target: window and density alone are compared"
        raise InputError(message, where=sample.id, hint="select targets without them")
    has_gold = sample.kind == "grounding" and bool(sample.windows)
    rewarded_windows = (target_look.window,) if target_look and not has_gold else sample.windows
    is_density_trusted = target_look is not None and (sample.target_source != "teacher" or settings.teacher_densities)
    return RewardTarget(
        task_of(sample),
        rewarded_windows,
        "any" if target_look and not has_gold else sample.needs,
        Fraction(str(settings.padding)) if has_gold else Fraction(0),
        target_look.fps if target_look and is_density_trusted and settings.fps > 0 else None,
    )


def reward(reward_target: RewardTarget, ending: Ending, trajectory: Trajectory | None, settings: RewardSettings) -> Reward:
    """The reward of a rollout with this ending and trajectory."""
    if trajectory is None or ending not in ("answered", "no_look"):
        return Reward("broken", 0.0, 0.0)
    answer_reward = answer_score(trajectory.answer, reward_target.task)
    if not trajectory.looks:
        return Reward("no_look", 0.0, answer_reward, answer=answer_reward)
    first_look = trajectory.looks[0]
    window_iou, density_part = (
        window_reward(first_look.window, reward_target),
        density_reward(first_look, reward_target, settings.max_fps),
    )
    format_reward = float(len(trajectory.looks) == 1)
    return Reward(
        "looked",
        settings.iou * window_iou + settings.fps * density_part,
        answer_reward + settings.format * format_reward,
        window_iou,
        density_part,
        answer_reward,
        format_reward,
    )


def window_reward(look_window: Window, reward_target: RewardTarget) -> float:
    """IoU with the best of the windows that count as right."""
    padded_windows = tuple(
        _padded_towards(look_window, gold_window, reward_target.padding, always_pad=reward_target.needs == "any")
        for gold_window in reward_target.windows
    )
    window_scores = (
        window_score((look_window,), windows, reward_target.needs) for windows in (reward_target.windows, padded_windows)
    )
    return float(max(window_scores))


def density_reward(look: Look, reward_target: RewardTarget, max_fps: Fraction) -> float:
    """max(0, 1 - |fps - target| / max_fps)."""
    return (
        0.0 if reward_target.fps is None else float(max(Fraction(0), 1 - density_error(look.fps, reward_target.fps) / max_fps))
    )


def _padded_towards(look_window: Window, gold_window: Window, padding: Fraction, *, always_pad: bool) -> Window:
    """Gold with each bound moved out towards the look's own, within the padding. Without `always_pad`, a window that the look
    misses is not moved: one of several that are all needed."""
    if not always_pad and (look_window.end_cs <= gold_window.start_cs or look_window.start_cs >= gold_window.end_cs):
        return gold_window
    max_shift_cs = int(padding * (gold_window.end_cs - gold_window.start_cs))
    start_cs = min(gold_window.start_cs, max(look_window.start_cs, gold_window.start_cs - max_shift_cs))
    end_cs = max(gold_window.end_cs, min(look_window.end_cs, gold_window.end_cs + max_shift_cs))
    return Window(max(0, start_cs), end_cs)
