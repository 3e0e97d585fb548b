"""A Ray cluster as the executor needs it: calls that end well, end with the stage's own error, or are lost with their worker.

Ray has few types, and all of what it is told or says that is untyped stays in this module.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dmforge.schemas.errors import InputError

CPU, GPU = "CPU", "GPU"
LOOK_S = 1.0
"""How often the cluster is asked what it has: machines come and go."""
NOT_THERE = "start one with `ray start --head`, and give its address with --address; on one machine, leave --executor out"

Call = Any
"""A call under way: Ray's ObjectRef."""
Actor = Any
"""A process that holds something: Ray's ActorHandle."""
Shared = Any
"""What was sent to the cluster once, for many calls."""


class Lost(Exception):
    """A call ended because its worker did: its machine went, or was taken away. The work is as it was."""


@dataclass(frozen=True, slots=True)
class Took:
    """What a worker takes of a machine."""

    cpus: float = 1.0
    gpus: float = 0.0

    def options(self) -> dict[str, float]:
        # lost work is given out again by the executor, which counts; Ray would do it unseen, and without end
        return {"num_cpus": self.cpus, "num_gpus": self.gpus}


class Cluster:
    """A connection to a running cluster."""

    def __init__(self) -> None:
        self._has: Mapping[str, float] = {}
        self._looked_s = 0.0
        self._functions: dict[tuple[Callable[..., object], Took], Any] = {}

    def fits(self, took: Took) -> int:
        """How many such workers the machines that are there now could hold together."""
        now_s = time.monotonic()
        if not self._looked_s or now_s - self._looked_s > LOOK_S:
            import ray

            self._has, self._looked_s = ray.cluster_resources(), now_s
        wanted = ((CPU, took.cpus), (GPU, took.gpus))
        return int(min(self._has.get(name, 0.0) / number + 1e-9 for name, number in wanted if number))

    def share(self, value: object) -> Shared:
        """Send something that many calls are given: it goes to each machine once."""
        import ray

        return ray.put(value)

    def call(self, function: Callable[..., object], took: Took, *arguments: object) -> Call:
        """Have a function run somewhere."""
        if (function, took) not in self._functions:  # made anew for each call it would be another one to Ray, sent anew
            self._functions[function, took] = _remote(max_retries=0, **took.options())(function)
        return self._functions[function, took].remote(*arguments)

    def actor(self, kind: type, took: Took, *arguments: object) -> Actor:
        """Have an object made somewhere, in a process of its own."""
        return _remote(max_restarts=0, max_task_retries=0, **took.options())(kind).remote(*arguments)

    def tell(self, actor: Actor, method: str, *arguments: object) -> Call:
        """Call a method of it."""
        return getattr(actor, method).remote(*arguments)

    def wait(self, calls: Iterable[Call]) -> list[Call]:
        """The calls that have ended, well or not; or none, after a while."""
        import ray

        pending = list(calls)
        return ray.wait(pending, num_returns=len(pending), timeout=0)[0] or ray.wait(pending, timeout=LOOK_S)[0]

    def result(self, call: Call) -> Any:
        """What a call that has ended gave; what it raised is raised here."""
        import ray.exceptions as gone

        try:
            import ray

            return ray.get(call)
        except gone.RayTaskError as error:
            raise error.cause from None
        except (
            gone.WorkerCrashedError, gone.NodeDiedError, gone.ActorDiedError, gone.ActorUnavailableError, gone.ObjectLostError,
            gone.OutOfMemoryError, gone.LocalRayletDiedError,
        ) as error:  # fmt: skip
            raise Lost(type(error).__name__) from None

    def end(self, actor: Actor) -> None:
        """End a process."""
        import ray

        ray.kill(actor)


def _remote(**options: Any) -> Any:
    import ray

    remote: Any = ray.remote
    return remote(**options)


@contextmanager
def connected(address: str | None) -> Generator[Cluster]:
    """The cluster at an address, or the one that RAY_ADDRESS or this machine knows of."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # read as Ray is imported; it speaks of every machine that goes
    try:
        import ray
    except ImportError:
        raise InputError("Ray is not installed", where="--executor", mend="pip install 'dmforge[ray]'") from None
    try:
        ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        told = str(error).splitlines()[0]
        raise InputError(f"no Ray cluster answers: {told}", where="--address", mend=NOT_THERE) from None
    try:
        yield Cluster()
    finally:
        ray.shutdown()
