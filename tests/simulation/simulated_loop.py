"""An event loop on the simulated clock: its sleeps cost no time, and its threads are threads of the simulated process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.simulation.scheduler import Crash, Scheduler


class _Selector:
    """Waits for nothing but time and other threads."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler, self._task = scheduler, scheduler.running
        self.is_woken = False

    def select(self, timeout_s: float | None) -> list[Any]:
        if self._task.process.is_dead:
            raise Crash
        if not self.is_woken and timeout_s != 0:
            self._scheduler.sleep(timeout_s)
        self.is_woken = False
        return []

    def wake(self) -> None:
        self.is_woken = True
        self._scheduler.wake(self._task)


class SimulatedLoop(asyncio.BaseEventLoop):
    """The loop of one simulated process."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler, self._process = scheduler, scheduler.running.process
        self._selector = _Selector(scheduler)
        self.set_exception_handler(self._judge)

    def time(self) -> float:
        return self._scheduler.now_s

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except BaseException as error:
                self.call_soon_threadsafe(self._settle, future, None, error)
            else:
                self.call_soon_threadsafe(self._settle, future, result, None)

        self._scheduler.start_thread(work)
        return future

    def _settle(self, future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def _process_events(self, event_list: list[Any]) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        self._selector.wake()

    def _judge(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self._process.is_dead and not isinstance(context.get("exception"), Crash):
            self._scheduler.note(f"left over: {context['message']}")
