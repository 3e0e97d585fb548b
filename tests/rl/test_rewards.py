"""Rewards and advantages follow their formulae, and have something to say of whatever a policy writes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory, parse, render
from dmforge.schemas.looks import Box, Look, Window
from dmforge.schemas.scoring import window_score
from dmforge.trainers.sdgrpo.advantages import EPS, WITHOUT_DENSITY, CreditRules, advantages, holistic_share, normalised
from dmforge.trainers.sdgrpo.rewards import (
    LookReward,
    Reward,
    RewardTarget,
    density_reward,
    reward,
    reward_target_of,
    rewards_of_looks,
    window_reward,
)
from dmforge.trainers.sdgrpo.sdgrpo_settings import AdvantageScale, LookCredit, RewardSettings
from tests.support.corpora import sample

TOLD = RewardSettings()
SAMPLE = replace(sample(0, 0), target=Look(Window(100, 350), Fraction(2)), target_source="gold")
GOAL = reward_target_of(SAMPLE, TOLD)
GOALS = [
    GOAL,
    reward_target_of(replace(SAMPLE, kind="grounding"), RewardSettings(padding=0.5)),
    reward_target_of(replace(SAMPLE, target=None, windows=()), TOLD),
    reward_target_of(replace(SAMPLE, target=None, needs="all"), TOLD),
]
WINDOWS = st.tuples(st.integers(0, 12), st.integers(1, 6)).map(lambda told: Window(told[0], sum(told)))
LOOKS = st.builds(Look, WINDOWS, st.sampled_from([Fraction(1, 3), Fraction(2), Fraction(50)]))
WORDS = st.text(max_size=20)
TAGGED = st.lists(st.sampled_from(["<think>", "</think>", "<span>", "1.00 - 3.00", "</span>", "<fps>", "2", "</fps>", "A"]))
FORMED = st.builds(
    lambda look, answer: render(Trajectory(("", "") if look else ("",), (look,) if look else (), answer or "A")),
    st.none() | LOOKS,
    st.text("AB 1.\u0663(", max_size=6).filter(str.strip) | st.just("it turns"),
)
REWARDS = st.floats(0, 2, allow_subnormal=False)


def earned(text: str, goal: RewardTarget = GOAL) -> Reward:
    """As a rollout that wrote this, and was shown what it asked for."""
    found = parse(text)
    if not isinstance(found, Trajectory):
        return reward(goal, "malformed", None, TOLD)
    return reward(goal, "answered" if found.looks else "no_look", found, TOLD)


# rewards


@given(WORDS | TAGGED.map("".join) | FORMED, st.sampled_from(GOALS))
def test_whatever_is_written_earns_something_in_its_bounds(text: str, goal: RewardTarget) -> None:
    found = earned(text, goal)
    assert 0 <= found.sampling <= TOLD.iou + TOLD.fps
    assert 0 <= found.reasoning <= 1 + TOLD.format
    assert (found.case == "broken") == (not isinstance(parse(text), Trajectory))
    if found.case != "looked":
        assert (found.sampling, found.format) == (0, 0)
    if found.case == "broken":
        assert found.reasoning == 0
    if not goal.has_target:
        assert found.iou == 0


def test_the_formulae_on_one_rollout() -> None:
    found = earned("<think>a<span>1.00 - 6.00</span><fps>4</fps>b</think><answer>it turns</answer>")
    assert found == Reward("looked", 0.5 + 0.5 * 2 / 3, 1.2, 1.0, 1.0, (LookReward(0.5, 2 / 3),))
    assert (found.iou, found.density) == (0.5, 2 / 3)
    assert earned("<think>a</think><answer>it turns</answer>") == Reward("no_look", 0.0, 1.0, answer=1.0)
    trajectory = parse("<think>a<span>1.00 - 6.00</span><fps>4</fps>b</think><answer>it turns</answer>")
    assert isinstance(trajectory, Trajectory)
    for ending in ("malformed_look", "window_outside", "over_budget", "malformed", "cut_off"):
        assert reward(GOAL, ending, None, TOLD) == Reward("broken", 0.0, 0.0)
        assert reward(GOAL, ending, trajectory, TOLD) == Reward("broken", 0.0, 0.0)


def test_where_the_overview_is_enough_no_look_is_right_and_well_formed() -> None:
    goal = reward_target_of(replace(SAMPLE, extras='{"needed_looks": 0}'), TOLD)
    assert goal.has_target
    straight = earned("<think>a</think><answer>it turns</answer>", goal)
    assert straight == Reward("no_look", 0.0, 1.2, answer=1.0, format=1.0)
    looked_all_the_same = earned("<think>a<span>1.00 - 6.00</span><fps>4</fps>b</think><answer>it turns</answer>", goal)
    assert (looked_all_the_same.sampling, looked_all_the_same.reasoning) == (0.0, 1.2)
    trajectory = parse("<think>a<span>1.00 - 6.00</span><fps>4</fps>b</think><answer>it turns</answer>")
    assert isinstance(trajectory, Trajectory)
    charging = RewardSettings(token_cost=0.5)
    dear = reward(goal, "answered", trajectory, charging, (0.4,))
    assert dear.sampling == pytest.approx(-0.2)
    # so who looks has less than who doesn't, and its look is what is blamed
    segments = [
        one.segments
        for one in advantages([straight, dear], 0.0, has_target=goal.has_target, rules=CreditRules(weights=charging))
    ]
    assert segments[0][0] > 0 > segments[1][0]


def test_grounding_is_measured_against_gold_and_other_tasks_against_the_target() -> None:
    gold = (Window(1000, 1100), Window(2000, 2100))
    told = replace(SAMPLE, windows=gold)
    assert reward_target_of(told, TOLD).windows == (SAMPLE.target.window,)  # pyright: ignore
    assert reward_target_of(replace(told, kind="grounding"), TOLD).windows == gold
    assert reward_target_of(replace(told, target=None), TOLD).windows == gold


@given(WINDOWS, WINDOWS, st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.5]))
def test_padding_suits_the_look_best(found: Window, gold: Window, padding: float) -> None:
    goal = RewardTarget(GOAL.task, (gold,), "any", Fraction(str(padding)))
    room = int(padding * (gold.end_cs - gold.start_cs))
    every = [
        float(window_score((found,), (Window(max(0, gold.start_cs - a), gold.end_cs + b),), "any"))
        for a in range(room + 1)
        for b in range(room + 1)
    ]
    assert window_reward((found,), goal) == max(every)


@given(WINDOWS, st.lists(WINDOWS, min_size=1, max_size=3), st.sampled_from(["any", "all"]), st.sampled_from([0.0, 1.0]))
def test_padding_never_costs_anything_and_none_is_the_one_scoring(
    found: Window, gold: list[Window], needs: str, padding: float
) -> None:
    plain, padded = (window_reward((found,), RewardTarget(GOAL.task, tuple(gold), needs, Fraction(p))) for p in (0, padding))  # pyright: ignore
    assert plain == float(window_score((found,), tuple(gold), needs))  # pyright: ignore
    assert plain <= padded <= 1


@given(LOOKS, LOOKS)
def test_a_density_is_worth_how_near_it_is(look: Look, target: Look) -> None:
    goal = replace(GOAL, looks=(target,))
    assert density_reward(look, goal, Fraction(6)) == pytest.approx(max(0, 1 - abs(look.fps - target.fps) / 6))


def test_a_density_that_only_a_teacher_vouches_for_counts_where_it_is_asked_for() -> None:
    taught = replace(SAMPLE, target_source="teacher")
    assert reward_target_of(taught, TOLD).looks == ()
    assert [look.fps for look in reward_target_of(taught, RewardSettings(teacher_densities=True)).looks] == [2]
    assert reward_target_of(SAMPLE, RewardSettings(fps=0)).looks == ()
    assert holistic_share(None, density_counts=False) == WITHOUT_DENSITY == 0.5
    assert holistic_share(None, density_counts=True) == 0
    assert holistic_share(0.25, density_counts=False) == 0.25


# targets that are sets


SET = replace(SAMPLE, target=Look(Window(100, 300), Fraction(2)), further_targets=(Look(Window(600, 700), Fraction(4)),))
SET_GOAL = reward_target_of(SET, TOLD)


@given(LOOKS, LOOKS, st.lists(WINDOWS, max_size=3), st.sampled_from(["mcq", "grounding"]), st.sampled_from(["any", "all"]))
def test_of_one_look_and_one_target_the_parts_are_what_they_were(
    look: Look, target: Look, gold: list[Window], kind: Any, needs: Any
) -> None:
    told = replace(SAMPLE, kind=kind, target=target, windows=tuple(gold), needs=needs)
    found = reward(reward_target_of(told, TOLD), "answered", Trajectory(("a", "b"), (look,), "A"), TOLD)
    against = (tuple(gold), needs) if kind == "grounding" and gold else ((target.window,), "any")
    assert found.iou == float(window_score((look.window,), *against))
    assert found.density == float(max(Fraction(0), 1 - abs(look.fps - target.fps) / TOLD.max_fps))
    assert found.format == 1


def looking(*looks: Look, answer: str = "it turns", goal: RewardTarget = SET_GOAL) -> Reward:
    return reward(goal, "answered", Trajectory(("a",) * (len(looks) + 1), looks, answer), TOLD)


def test_looks_are_scored_by_the_union_of_all_that_came_before() -> None:
    first, second = SET.target_looks
    exact = looking(second, first)
    assert exact.looks == (LookReward(float(Fraction(100, 300)), 1.0), LookReward(1.0, 1.0))
    assert (exact.sampling, exact.reasoning, exact.iou, exact.density) == (1.5, 1.2, 1.0, 1.0)
    needless = looking(first, second, Look(Window(900, 1000), Fraction(1)))
    assert [look.score for look in needless.looks] == [2 / 3, 1.0, 0.75]
    assert [look.density for look in looking(replace(first, fps=Fraction(5)), second).looks] == [0.5, 1.0]
    (once,) = SAMPLE.target_looks
    assert [look.score for look in looking(once, once, goal=GOAL).looks] == [1.0, 1.0]


def test_what_a_look_is_credited_with_depends_on_the_way() -> None:
    first, second = SET.target_looks
    found = looking(first, second, Look(Window(650, 700), Fraction(4)))
    assert rewards_of_looks(found, "set", TOLD) == (found.sampling,) * 3
    assert rewards_of_looks(found, "to_go", TOLD) == pytest.approx((1 + 0.5, 1 - 2 / 3 + 0.5, 0.0))
    assert rewards_of_looks(found, "marginal", TOLD) == pytest.approx((2 / 3 + 0.5, 1 - 2 / 3 + 0.5, 0.0))
    detour = looking(Look(Window(900, 1000), Fraction(2)), first, second)
    assert rewards_of_looks(detour, "to_go", TOLD)[0] == pytest.approx(0.75 + 0.5 * detour.looks[0].density)
    assert rewards_of_looks(detour, "marginal", TOLD)[0] == pytest.approx(0.5 * detour.looks[0].density)


def test_the_cost_of_a_clip_is_charged_to_the_look_that_chose_it() -> None:
    told = RewardSettings(token_cost=0.2)
    trajectory = Trajectory(("a", "b", "c"), SET.target_looks, "it turns")
    found = reward(SET_GOAL, "answered", trajectory, told, [0.5, 1.0])
    free = reward(SET_GOAL, "answered", trajectory, TOLD, [0.5, 1.0])
    assert found.sampling == pytest.approx(free.sampling - 0.3)
    assert found.reasoning == free.reasoning
    charged, uncharged = (rewards_of_looks(one, "to_go", weights) for one, weights in ((found, told), (free, TOLD)))
    assert [was - now for was, now in zip(uncharged, charged, strict=True)] == pytest.approx([0.1, 0.2])


def test_grounding_against_a_set_pads_each_of_its_windows() -> None:
    windows = tuple(look.window for look in SET.target_looks)
    grounding = replace(SET, kind="grounding", windows=windows, needs="all")
    goal = reward_target_of(grounding, RewardSettings(padding=0.5))
    assert (goal.windows, goal.padding) == (windows, Fraction(1, 2))
    assert looking(Look(Window(50, 350), Fraction(2)), Look(Window(600, 750), Fraction(4)), goal=goal).iou == 1
    assert looking(Look(Window(50, 350), Fraction(2)), goal=goal).iou == float(Fraction(300, 400))


def test_several_looks_against_gold_alone_are_measured_by_their_union() -> None:
    gold = (Window(100, 300), Window(600, 700))
    goal = reward_target_of(replace(SAMPLE, target=None, windows=gold, needs="all"), TOLD)
    first, second = SET.target_looks
    assert looking(second, first, goal=goal).iou == 1
    assert looking(first, goal=goal).iou == float(Fraction(200, 300))
    assert looking(first, second, goal=goal).density == 0


@given(st.lists(LOOKS, min_size=1, max_size=4), st.lists(LOOKS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_what_a_set_of_looks_earns_knows_no_order_and_stays_in_bounds(
    looks: list[Look], target: list[Look], draw: Random
) -> None:
    told = replace(SAMPLE, target=target[0], further_targets=tuple(target[1:]))
    found = looking(*looks, goal=reward_target_of(told, TOLD))
    shuffled = draw.sample(target, len(target))
    other = replace(SAMPLE, target=shuffled[0], further_targets=tuple(shuffled[1:]))
    again = looking(*draw.sample(looks, len(looks)), goal=reward_target_of(other, TOLD))
    assert again.sampling == pytest.approx(found.sampling)
    for look in found.looks:
        assert 0 <= look.score <= 1
        assert 0 <= look.density <= 1
    for credit in CREDITS:
        earned_by_look = rewards_of_looks(found, credit, TOLD)
        if credit == "marginal":
            assert sum(earned_by_look) == pytest.approx(
                TOLD.iou * found.iou + TOLD.fps * sum(look.density for look in _adding(found))
            )
        assert len(earned_by_look) == len(looks)


def _adding(found: Reward) -> list[LookReward]:
    """The first look, and those that have added something."""
    before = [0.0, *(look.score for look in found.looks)]
    return [look for at, look in enumerate(found.looks) if at == 0 or look.score > before[at]]


def test_a_box_anywhere_in_a_set_is_refused() -> None:
    boxed = replace(SET, further_targets=(replace(SET.further_targets[0], box=Box(0, 0, 500, 500)),))
    with pytest.raises(InputError, match="rewards can't act on the box"):
        reward_target_of(boxed, TOLD)


# advantages


@given(st.lists(REWARDS, min_size=2, max_size=16))
def test_advantages_of_a_group_are_its_rewards_in_its_own_measure(rewards: list[float]) -> None:
    found = normalised(rewards)
    assert abs(found.sum()) < 1e-6
    told = np.array(rewards)
    if told.std(ddof=1) > 1e-3:
        assert np.allclose(found * (told.std(ddof=1) + EPS) + told.mean(), told)
    assert (np.sign(found[:, None] - found) * np.sign(told[:, None] - told) >= 0).all()


@given(REWARDS, st.integers(2, 16))
def test_where_all_have_earned_the_same_nobody_has_an_advantage(value: float, number: int) -> None:
    assert not normalised([value] * number).any()


CREDITS: tuple[LookCredit, ...] = ("to_go", "set", "marginal")
SCALES: tuple[AdvantageScale, ...] = ("own", "set")
UNIT = st.floats(0, 1, allow_subnormal=False)


def looked(*looks: LookReward, reasoning: float) -> Reward:
    sampling = TOLD.iou * looks[-1].score + TOLD.fps * sum(look.density for look in looks) / len(looks)
    return Reward("looked", sampling, reasoning, looks=looks)


def rewards_of(max_looks: int) -> st.SearchStrategy[Reward]:
    """Of a rollout that made up to so many looks."""
    made = st.lists(st.builds(LookReward, UNIT, UNIT), min_size=1, max_size=max_looks)
    return st.one_of(
        st.builds(lambda looks, reasoning: looked(*looks, reasoning=reasoning), made, REWARDS),
        st.builds(lambda reasoning: Reward("no_look", 0.0, reasoning), REWARDS),
        st.just(Reward("broken", 0.0, 0.0)),
    )


GROUPS = st.lists(rewards_of(1), min_size=2, max_size=8)


@given(GROUPS, st.floats(0, 1), st.booleans(), st.sampled_from(CREDITS), st.sampled_from(SCALES))
def test_with_one_look_each_case_carries_what_it_always_did(
    group: list[Reward], holistic: float, has_target: bool, credit: LookCredit, scale: AdvantageScale
) -> None:
    whole = normalised([one.sampling + one.reasoning for one in group])
    first = normalised([one.sampling for one in group]) if has_target else whole
    second = normalised([one.reasoning for one in group])
    rules = CreditRules(1, credit, scale, TOLD)
    for at, (one, found) in enumerate(zip(group, advantages(group, holistic, has_target=has_target, rules=rules), strict=True)):
        own = {
            "looked": (first[at], second[at]),
            "no_look": ((first[at] + second[at]) / 2,),
            "broken": (first[at],),
        }[one.case]
        assert found.segments == tuple(holistic * whole[at] + (1 - holistic) * each for each in own)


@given(GROUPS, st.lists(REWARDS, min_size=8, max_size=8))
def test_decoupled_an_answer_says_nothing_about_where_to_look_nor_a_look_about_what_to_answer(
    group: list[Reward], others: list[float]
) -> None:
    group = [one for one in group if one.case != "no_look"] or [Reward("broken", 0.0, 0.0)]
    before = advantages(group, 0.0, has_target=True)
    answered = advantages([replace(r, reasoning=x) for r, x in zip(group, others, strict=False)], 0.0, has_target=True)
    assert [one.segments[0] for one in before] == [one.segments[0] for one in answered]
    if all(one.case == "looked" for one in group):
        elsewhere = [looked(LookReward(x, 0.0), reasoning=r.reasoning) for r, x in zip(group, others, strict=False)]
        seen = advantages(elsewhere, 0.0, has_target=True)
        assert [one.segments[-1] for one in before] == [one.segments[-1] for one in seen]


TWO = [
    looked(LookReward(0.5, 1.0), LookReward(1.0, 1.0), reasoning=1.0),
    looked(LookReward(0.5, 1.0), LookReward(0.5, 0.0), reasoning=0.0),
    looked(LookReward(0.4, 1.0), reasoning=0.0),
    Reward("no_look", 0.0, 0.5),
    Reward("broken", 0.0, 0.0),
]


def test_a_look_is_compared_among_those_who_could_have_made_it() -> None:
    rules = CreditRules(2, "marginal", "own", TOLD)
    both, needless, stopped, never, broken = advantages(TWO, 0.0, has_target=True, rules=rules)
    first = normalised([1.0, 1.0, 0.9, 0.0, 0.0])  # .5 + .5, .5 + .5, .4 + .5, and nothing for who never looked or broke
    second = normalised([1.0, 0.0, 0.0])  # what the second look added, and nothing for who stopped
    answers = normalised([1.0, 0.0, 0.0, 0.5, 0.0])
    assert both.segments == pytest.approx((first[0], second[0], answers[0]))
    assert needless.segments == pytest.approx((first[1], second[1], answers[1]))
    assert stopped.segments == pytest.approx((first[2], (answers[2] + second[2]) / 2))
    assert never.segments == pytest.approx(((answers[3] + first[3]) / 2,))
    assert broken.segments == pytest.approx((first[4],))


def test_who_stopped_is_compared_only_where_somebody_went_on() -> None:
    group = [looked(LookReward(score, 1.0), reasoning=answer) for score, answer in ((0.2, 0.0), (0.9, 1.0), (0.4, 1.0))]
    answers = normalised([0.0, 1.0, 1.0])
    for found, answer in zip(advantages(group, 0.0, has_target=True, rules=CreditRules(3, weights=TOLD)), answers, strict=True):
        assert found.segments[-1] == answer


def test_as_a_set_who_stopped_has_earned_what_its_set_has() -> None:
    rules = CreditRules(2, "set", "own", TOLD)
    _, needless, stopped, *_ = advantages(TWO, 0.0, has_target=True, rules=rules)
    sets = [TWO[at].sampling for at in range(3)]
    second, answers = normalised(sets), normalised([one.reasoning for one in TWO])
    assert needless.segments[1] == pytest.approx(second[1])
    assert stopped.segments[1] == pytest.approx((answers[2] + second[2]) / 2)


def test_by_the_spread_of_the_set_a_look_that_hardly_matters_is_not_blown_up() -> None:
    group = [
        looked(LookReward(score, 1.0), LookReward(score + gain, 1.0), reasoning=0.0)
        for score, gain in ((0.1, 0.001), (0.5, 0.002), (0.9, 0.003))
    ]
    own, by_set = (
        [one.segments[1] for one in advantages(group, 0.0, has_target=True, rules=CreditRules(2, "marginal", scale, TOLD))]
        for scale in SCALES
    )
    assert max(map(abs, own)) > 0.9
    assert max(map(abs, by_set)) < 0.01


@given(st.lists(rewards_of(3), min_size=2, max_size=8), st.sampled_from(CREDITS), st.sampled_from(SCALES), st.booleans())
def test_of_any_group_each_segment_has_an_advantage_and_whole_ones_are_plain_grpo(
    group: list[Reward], credit: LookCredit, scale: AdvantageScale, has_target: bool
) -> None:
    rules = CreditRules(3, credit, scale, TOLD)
    whole = normalised([one.sampling + one.reasoning for one in group])
    decoupled, plain = (advantages(group, holistic, has_target=has_target, rules=rules) for holistic in (0.0, 1.0))
    for one, apart, together, expected in zip(group, decoupled, plain, whole, strict=True):
        assert len(apart.segments) == len(one.looks) + 1
        assert all(np.isfinite(apart.segments))
        assert together.segments == (expected,) * len(together.segments)
