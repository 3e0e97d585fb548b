"""What a rollout has earned, for where it looked and for what it answered. Pure, and total on whatever a policy writes.

    R_samp   = w_iou * IoU + w_fps * max(0, 1 - |fps - target| / max_fps)
    R_reason = R_answer + w_format * R_format

IoU is that of the first look with the target's window; for grounding with gold, each of whose bounds may lie further out by
p of its length, p in [0, p_max], as it suits the look best. R_answer is the one scoring's: right or not, and for grounding
the overlap of the span. R_format is 1 for a trajectory that is well-formed, its parts in their order, with exactly one look.

What the formulae don't say:

    no look     well-formed, but it never looked: R_samp = 0 and R_format = 0
    broken      malformed, cut off, or nothing could be shown for its look: both rewards are 0
    no target   nothing says where to look: R_samp = 0, and `advantages` knows what to do instead
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from dmforge.curation.shards.document import ShardSample
from dmforge.generators.rollout import Ending
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Needs, Task
from dmforge.schemas.scoring import answer_score, density_error, window_score
from dmforge.trainers.rows import task_of
from dmforge.trainers.sdgrpo_settings import RewardSettings

Case = Literal["looked", "no_look", "broken"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is right for a sample, and what of it counts."""

    task: Task
    windows: tuple[Window, ...]
    """Where to look; none where nothing says so."""
    needs: Needs
    padding: Fraction
    fps: Fraction | None
    """The density that is rewarded, if one is."""

    @property
    def has_target(self) -> bool:
        return bool(self.windows)


@dataclass(frozen=True, slots=True)
class Reward:
    """Of one rollout, with what it is made of."""

    case: Case
    sampling: float
    """R_samp."""
    reasoning: float
    """R_reason."""
    iou: float = 0.0
    density: float = 0.0
    answer: float = 0.0
    format: float = 0.0


def goal_of(sample: ShardSample, told: RewardSettings) -> Goal:
    """What a sample asks for. Of a target that only a teacher vouches for the density doesn't count, unless it is asked for."""
    target = sample.target
    gold = sample.kind == "grounding" and bool(sample.windows)
    windows = (target.window,) if target and not gold else sample.windows
    trusted = target is not None and (sample.target_source != "teacher" or told.teacher_densities)
    return Goal(
        task_of(sample),
        windows,
        "any" if target and not gold else sample.needs,
        Fraction(str(told.padding)) if gold else Fraction(0),
        target.fps if target and trusted and told.fps > 0 else None,
    )


def reward(goal: Goal, ending: Ending, trajectory: Trajectory | None, told: RewardSettings) -> Reward:
    """What a rollout that ended so has earned."""
    if trajectory is None or ending not in ("answered", "no_look"):
        return Reward("broken", 0.0, 0.0)
    answer = answer_score(trajectory.answer, goal.task)
    if not trajectory.looks:
        return Reward("no_look", 0.0, answer, answer=answer)
    look = trajectory.looks[0]
    iou, density = window_reward(look.window, goal), density_reward(look, goal, told.max_fps)
    form = float(len(trajectory.looks) == 1)
    return Reward("looked", told.iou * iou + told.fps * density, answer + told.format * form, iou, density, answer, form)


def window_reward(found: Window, goal: Goal) -> float:
    """IoU with the best of the windows that count as right."""
    padded = tuple(_towards(found, gold, goal.padding, reach=goal.needs == "any") for gold in goal.windows)
    scores = (window_score((found,), windows, goal.needs) for windows in (goal.windows, padded))
    return float(max(scores))


def density_reward(look: Look, goal: Goal, max_fps: Fraction) -> float:
    """max(0, 1 - |fps - target| / max_fps)."""
    return 0.0 if goal.fps is None else float(max(Fraction(0), 1 - density_error(look.fps, goal.fps) / max_fps))


def _towards(found: Window, gold: Window, padding: Fraction, *, reach: bool) -> Window:
    """Gold with each bound moved out to where the look has its own, as far as it may go. A look that misses one of several
    windows that are all needed doesn't move that one."""
    if not reach and (found.end_cs <= gold.start_cs or found.start_cs >= gold.end_cs):
        return gold
    room = int(padding * (gold.end_cs - gold.start_cs))
    start = min(gold.start_cs, max(found.start_cs, gold.start_cs - room))
    end = max(gold.end_cs, min(found.end_cs, gold.end_cs + room))
    return Window(max(0, start), end)
