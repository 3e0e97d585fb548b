"""The rewards of a rollout, for where it looked and for what it answered. Pure, and total on whatever a policy writes.

Of the K looks that a rollout made, look k has

    f_k   the score of all windows up to it, k = 1 .. K, with f_0 = 0: the IoU of their union with the target's windows, or with
          the best of gold's where any of them will do; the bounds of a grounding's gold may be moved out by p of its length,
          p in [0, p_max], to the looks' best advantage
    n_k   max(0, 1 - |fps - target| / max_fps), for the target's look that it meets best; 0 where no density is rewarded
    c_k   the visual tokens of its clip, over `look_tokens` of the clips

    R_samp   = w_iou * f_K + w_fps * mean n_k - w_cost * sum c_k          of all looks together
    R_reason = R_answer + w_format * R_format

What look k alone has earned depends on how it is credited (`[training] looks`); with one look all of these are R_samp:

    to_go      R_k = w_iou * (f_K - f_(k-1)) + w_fps * n_k - w_cost * c_k      what was still to come, and came
    marginal   R_k = w_iou * (f_k - f_(k-1)) + w_fps * n_k - w_cost * c_k      what this look added
    set        R_k = R_samp                                                    what came of all of them

Looks that are asked for in one turn are answered together and count as one: f_k is the score behind all of them, n_k the
mean, and c_k the sum of theirs.

n_k counts for the first look, and for others only where they have added something: f_k > f_(k-1).

R_answer is the score of schemas/scoring: right or not, and for grounding the overlap of the span. R_format is 1 for a
well-formed trajectory, its parts in order, with a look.

What the formulae don't say:

    no look     well-formed, but it never looked: R_samp = 0 and R_format = 0
    none needed the task's file says that it needs no look: f_k = n_k = 0, and R_format is 1 without a look, too
    broken      malformed, cut off, or nothing could be shown for its look: both rewards are 0
    no target   nothing says where to look: f_k = 0, and `advantages` takes A_hol for the looks
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean
from typing import Literal

from dmforge.curation.shards.document import ShardSample
from dmforge.generators.inference.rollout import Ending
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Needs, Task
from dmforge.schemas.scoring import answer_score, density_nearness, iou, window_score
from dmforge.schemas.targets import needed_looks
from dmforge.trainers.evaluation_rows import task_of
from dmforge.trainers.sdgrpo.sdgrpo_settings import LookCredit, RewardSettings

Case = Literal["looked", "no_look", "broken"]


@dataclass(frozen=True, slots=True)
class RewardTarget:
    """What is right for a sample, and what of it is rewarded."""

    task: Task
    windows: tuple[Window, ...]
    """Where to look; empty where unknown."""
    needs: Needs
    padding: Fraction
    looks: tuple[Look, ...] = ()
    """The target's looks, if their densities are rewarded."""
    needs_no_look: bool = False
    """Where to look is known: nowhere."""

    @property
    def has_target(self) -> bool:
        return bool(self.windows) or self.needs_no_look


@dataclass(frozen=True, slots=True)
class LookReward:
    """What one look of a rollout is worth, or the looks of one turn, together with those before it."""

    score: float
    """f_k."""
    density: float
    """n_k."""
    cost: float = 0.0
    """c_k."""


@dataclass(frozen=True, slots=True)
class Reward:
    """The rewards of one rollout, with their parts."""

    case: Case
    sampling: float
    """R_samp."""
    reasoning: float
    """R_reason."""
    answer: float = 0.0
    format: float = 0.0
    looks: tuple[LookReward, ...] = ()

    @property
    def iou(self) -> float:
        """The score of all looks together."""
        return self.looks[-1].score if self.looks else 0.0

    @property
    def density(self) -> float:
        """The mean nearness of the looks' densities."""
        return fmean(look.density for look in self.looks) if self.looks else 0.0


def reward_target_of(sample: ShardSample, settings: RewardSettings) -> RewardTarget:
    """What a sample rewards. The density of a target that only a teacher gave isn't rewarded, unless the settings say so."""
    target_looks = sample.target_looks
    if any(target_look.has_limits for target_look in target_looks):
        message = "rewards can't act on the box or the token quota of a target: window and density alone are compared"
        raise InputError(message, where=sample.id, hint="select targets without them")
    if needed_looks(task_of(sample), ()) == 0:
        return RewardTarget(task_of(sample), (), "any", Fraction(0), needs_no_look=True)
    has_gold = sample.kind == "grounding" and bool(sample.windows)
    aims_at_gold = has_gold or not target_looks
    is_density_rewarded = settings.fps > 0 and (sample.target_source != "teacher" or settings.teacher_densities)
    return RewardTarget(
        task_of(sample),
        sample.windows if aims_at_gold else tuple(target_look.window for target_look in target_looks),
        sample.needs if aims_at_gold else "all" if len(target_looks) > 1 else "any",
        Fraction(str(settings.padding)) if has_gold else Fraction(0),
        target_looks if is_density_rewarded else (),
    )


def reward(
    reward_target: RewardTarget,
    ending: Ending,
    trajectory: Trajectory | None,
    settings: RewardSettings,
    look_costs: Sequence[float] = (),
) -> Reward:
    """The reward of a rollout with this ending and trajectory; `look_costs` are the c_k, where any are charged."""
    if trajectory is None or ending not in ("answered", "no_look"):
        return Reward("broken", 0.0, 0.0)
    answer_reward = answer_score(trajectory.answer, reward_target.task)
    if not trajectory.looks:
        format_reward = float(reward_target.needs_no_look)
        return Reward("no_look", 0.0, answer_reward + settings.format * format_reward, answer_reward, format_reward)
    look_rewards = tuple(_rewards_by_turn(trajectory, reward_target, settings, look_costs))
    mean_density = fmean(look_reward.density for look_reward in look_rewards)
    total_cost = sum(look_reward.cost for look_reward in look_rewards)
    return Reward(
        "looked",
        settings.iou * look_rewards[-1].score + settings.fps * mean_density - settings.token_cost * total_cost,
        answer_reward + settings.format,
        answer_reward,
        1.0,
        look_rewards,
    )


def _rewards_by_turn(
    trajectory: Trajectory, reward_target: RewardTarget, settings: RewardSettings, look_costs: Sequence[float]
) -> Iterator[LookReward]:
    shown_windows: tuple[Window, ...] = ()
    for turn_looks in trajectory.looks_by_turn():
        turn_costs = look_costs[len(shown_windows) :][: len(turn_looks)]
        shown_windows += tuple(look.window for look in turn_looks)
        yield LookReward(
            window_reward(shown_windows, reward_target),
            fmean(density_reward(look, reward_target, settings.max_fps) for look in turn_looks),
            sum(turn_costs, 0.0),
        )


def rewards_of_looks(rollout_reward: Reward, credit: LookCredit, settings: RewardSettings) -> tuple[float, ...]:
    """R_k of each look that a rollout made."""
    looks = rollout_reward.looks
    if credit == "set":
        return (rollout_reward.sampling,) * len(looks)
    earned: list[float] = []
    score_before = 0.0
    for look in looks:
        score_behind = looks[-1].score if credit == "to_go" else look.score
        density = look.density if not earned or look.score > score_before else 0.0
        earned.append(settings.iou * (score_behind - score_before) + settings.fps * density - settings.token_cost * look.cost)
        score_before = look.score
    return tuple(earned)


def window_reward(look_windows: tuple[Window, ...], reward_target: RewardTarget) -> float:
    """The score of windows against the target, or against gold moved out towards them if that is better."""
    padded_windows = tuple(
        _padded_towards(_nearest(look_windows, window), window, reward_target.padding, always_pad=reward_target.needs == "any")
        for window in reward_target.windows
    )
    return float(
        max(window_score(look_windows, windows, reward_target.needs) for windows in (reward_target.windows, padded_windows))
    )


def density_reward(look: Look, reward_target: RewardTarget, max_fps: Fraction) -> float:
    """max(0, 1 - |fps - target| / max_fps), for the target's look that it meets best."""
    nearness_by_overlap = (
        (iou((look.window,), (target_look.window,)), density_nearness(look.fps, target_look.fps, max_fps))
        for target_look in reward_target.looks
    )
    return float(max(nearness_by_overlap, default=(0, 0))[1])


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
