"""Calls about one input side by side, within the requests in flight that a whole stage may have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from dmforge.schemas.errors import Transient

T = TypeVar("T")


async def side_by_side(
    slots: asyncio.Semaphore, calls: Sequence[Callable[[], Awaitable[T]]], is_enough: Callable[[T], bool]
) -> list[T]:
    """The results of the calls that were begun, in their order: of all, unless one `is_enough`; then no other is begun. Each
    waits for a slot, in a queue with whatever else the stage asks: first come, first served, so inputs are done one by one.

    After a call that fails for now no other is begun. Those under way are finished, since they are paid for, and kept in the
    journal; then the failure is raised. Any other error ends all of them at once, and the stage.
    """
    results: dict[int, T] = {}
    failures: list[Transient] = []
    remaining, is_over = iter(enumerate(calls)), False

    async def call_next() -> None:
        nonlocal is_over
        async with slots:
            if is_over:
                return
            number, call = next(remaining)
            try:
                results[number] = await call()
                is_over = is_over or is_enough(results[number])
            except Transient as error:
                failures.append(error)
                is_over = True

    try:
        async with asyncio.TaskGroup() as group:
            for _ in calls:
                group.create_task(call_next())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if failures:
        raise failures[0]
    return [results[number] for number in sorted(results)]
