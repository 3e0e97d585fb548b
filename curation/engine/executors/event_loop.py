"""Runs coroutines one after the other on one event loop, also inside a notebook, whose cells run in a loop themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from dmforge.curation.io import machine

ValueT = TypeVar("ValueT")
RunCoroutine = Callable[[Coroutine[Any, Any, Any]], Any]


@contextmanager
def coroutine_runner() -> Generator[RunCoroutine]:
    """A function that runs a coroutine to its end. Ctrl-C is a KeyboardInterrupt here, after cancelling what is in flight."""
    if not _is_inside_a_loop():
        with asyncio.Runner(loop_factory=machine.current.event_loop) as runner:
            yield runner.run
        return
    with ThreadPoolExecutor(1) as loop_thread:  # of two loops only one can run in a thread
        runner = loop_thread.submit(asyncio.Runner).result()
        loop = loop_thread.submit(runner.get_loop).result()

        def run(coroutine: Coroutine[Any, Any, ValueT]) -> ValueT:
            runner_future = loop_thread.submit(runner.run, coroutine)
            try:
                return runner_future.result()
            except KeyboardInterrupt:
                loop.call_soon_threadsafe(_cancel_all, loop)
                raise

        try:
            yield run
        finally:
            loop_thread.submit(runner.close).result()


def _is_inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
