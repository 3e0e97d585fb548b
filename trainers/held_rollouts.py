"""The same policy held to fewer looks than it may make: what is a further look worth, for the visual tokens that it costs?

A policy that is greedy and made fewer looks than it is held to is not rolled out again: it would do the very same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from dmforge.generators.inference.engines.engine import Engine
from dmforge.generators.inference.forced_steps import STRAIGHT_TO_THE_ANSWER
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, RolloutResult, roll


def roll_held(
    engine: Engine,
    requests: Sequence[RolloutRequest],
    free_results: Sequence[RolloutResult],
    held_to: Sequence[int],
    max_visual_tokens: int,
) -> list[Mapping[int, RolloutResult]]:
    """Of each request the results by how many looks the policy was held to. Requests are greedy, and were rolled out freely."""
    results_by_limit = {
        look_limit: _roll_held_to(engine, requests, free_results, look_limit, max_visual_tokens)
        for look_limit in sorted(held_to)
    }
    return [
        {look_limit: results[request_index] for look_limit, results in results_by_limit.items()}
        for request_index in range(len(requests))
    ]


def _roll_held_to(
    engine: Engine,
    requests: Sequence[RolloutRequest],
    free_results: Sequence[RolloutResult],
    look_limit: int,
    max_visual_tokens: int,
) -> list[RolloutResult]:
    is_held = [_is_held(free_result, look_limit) for free_result in free_results]
    held_requests = [
        request if look_limit else replace(request, opening=STRAIGHT_TO_THE_ANSWER)
        for request, request_is_held in zip(requests, is_held, strict=True)
        if request_is_held
    ]
    limits = RolloutLimits(look_limit, max_visual_tokens, must_answer=look_limit > 0)
    held_results: Iterator[RolloutResult] = iter(roll(engine, held_requests, limits) if held_requests else ())
    return [
        next(held_results) if request_is_held else free_result
        for free_result, request_is_held in zip(free_results, is_held, strict=True)
    ]


def _is_held(free_result: RolloutResult, look_limit: int) -> bool:
    """Whether a policy does anything else where it is held. With as many looks as it may make it does, if it wanted more."""
    if look_limit == 0 or len(free_result.looks) > look_limit:
        return True
    return len(free_result.looks) == look_limit and free_result.trajectory is None
