"""An interface to a Ray cluster: calls that succeed, fail with the stage's own error, or are lost with their worker.

Ray has few types: all untyped calls to it stay in this module.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dmforge.schemas.errors import InputError, first_line

CPU, GPU = "CPU", "GPU"
REFRESH_S = 1.0
"""How often the cluster's resources are asked for: machines come and go."""
CONNECT_HINT = "start one with `ray start --head`, and give its address with --address; on one machine, leave --executor out"

Call = Any
"""A call in progress: Ray's ObjectRef."""
Actor = Any
"""A remote process that holds an object: Ray's ActorHandle."""
Shared = Any
"""A value that was sent to the cluster once, for many calls: Ray's ObjectRef."""


class WorkerLost(Exception):
    """A call ended because its worker did: its machine failed or was taken away. The work is still to be done."""


@dataclass(frozen=True, slots=True)
class WorkerResources:
    """The CPUs and GPUs that a worker takes of a machine."""

    cpus: float = 1.0
    gpus: float = 0.0

    def options(self) -> dict[str, float]:
        # the executor sends lost work again, and counts; Ray would retry unseen, and without end
        return {"num_cpus": self.cpus, "num_gpus": self.gpus}


class Cluster:
    """A connection to a running cluster."""

    def __init__(self) -> None:
        self._resources: Mapping[str, float] = {}
        self._refreshed_s = 0.0
        self._functions: dict[tuple[Callable[..., object], WorkerResources], Any] = {}

    def fits(self, worker_resources: WorkerResources) -> int:
        """How many such workers fit on the machines that are there now."""
        now_s = time.monotonic()
        if not self._refreshed_s or now_s - self._refreshed_s > REFRESH_S:
            import ray

            self._resources, self._refreshed_s = ray.cluster_resources(), now_s
        needed_resources = ((CPU, worker_resources.cpus), (GPU, worker_resources.gpus))
        return int(
            min(
                self._resources.get(resource_name, 0.0) / amount_per_worker + 1e-9
                for resource_name, amount_per_worker in needed_resources
                if amount_per_worker
            )
        )

    def share(self, value: object) -> Shared:
        """Send a value that many calls use: it goes to each machine once."""
        import ray

        return ray.put(value)

    def call(self, function: Callable[..., object], worker_resources: WorkerResources, *arguments: object) -> Call:
        """Run a function on a worker."""
        if (function, worker_resources) not in self._functions:  # wrapped anew for each call, it would be sent anew
            self._functions[function, worker_resources] = _remote(max_retries=0, **worker_resources.options())(function)
        return self._functions[function, worker_resources].remote(*arguments)

    def actor(self, actor_class: type, worker_resources: WorkerResources, *arguments: object) -> Actor:
        """Create an object on a worker, in a process of its own."""
        return _remote(max_restarts=0, max_task_retries=0, **worker_resources.options())(actor_class).remote(*arguments)

    def call_method(self, actor: Actor, method: str, *arguments: object) -> Call:
        """Call a method of an actor."""
        return getattr(actor, method).remote(*arguments)

    def wait(self, calls: Iterable[Call]) -> list[Call]:
        """The calls that have ended, successfully or not; none where none ends within `REFRESH_S`."""
        import ray

        pending_calls = list(calls)
        return (
            ray.wait(pending_calls, num_returns=len(pending_calls), timeout=0)[0]
            or ray.wait(pending_calls, timeout=REFRESH_S)[0]
        )

    def result(self, call: Call) -> Any:
        """The result of a call that has ended; an error that it raised is raised here."""
        import ray.exceptions as ray_errors

        try:
            import ray

            return ray.get(call)
        except ray_errors.RayTaskError as error:
            raise error.cause from None
        except (
            ray_errors.WorkerCrashedError, ray_errors.NodeDiedError, ray_errors.ActorDiedError,
            ray_errors.ActorUnavailableError, ray_errors.ObjectLostError, ray_errors.OutOfMemoryError,
            ray_errors.LocalRayletDiedError,
        ) as error:  # fmt: skip
            raise WorkerLost(type(error).__name__) from None

    def end(self, actor: Actor) -> None:
        """End an actor's process."""
        import ray

        ray.kill(actor)


def _remote(**options: Any) -> Any:
    import ray

    ray_remote: Any = ray.remote
    return ray_remote(**options)


@contextmanager
def connect(address: str | None) -> Generator[Cluster]:
    """Connect to the cluster at an address, or to the one that RAY_ADDRESS or this machine knows of."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # read when Ray is imported; otherwise it logs every lost machine
    try:
        import ray
    except ImportError:
        raise InputError("Ray is not installed", where="--executor", hint="pip install 'dmforge[ray]'") from None
    try:
        ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster answers: {first_line(error)}", where="--address", hint=CONNECT_HINT) from None
    try:
        yield Cluster()
    finally:
        ray.shutdown()
