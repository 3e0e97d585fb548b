"""Events of a run, told as they happen to whoever follows it: its progress, the sum at its end, a log in a file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class RunBegan:
    """A run began."""

    kind: ClassVar[str] = "run began"
    run: str
    """The name of its record in `runs/`."""
    command: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run ended, in whichever way but by a kill."""

    kind: ClassVar[str] = "run ended"
    state: str
    usd: float
    """What it spent."""
    error: str
    """What stopped it; empty where nothing did."""


@dataclass(frozen=True, slots=True)
class StageBegan:
    """A stage began to work; one with nothing to do does not."""

    kind: ClassVar[str] = "stage began"
    stage: str
    variant: str
    """The digest of all that decides what comes out of an input."""
    pending: int


@dataclass(frozen=True, slots=True)
class StageEnded:
    """A stage went as far as it could; its counts are those of the workspace, not of this run alone."""

    kind: ClassVar[str] = "stage ended"
    stage: str
    pending: int
    made: int
    rejected: int
    quarantined: int
    seconds: float


@dataclass(frozen=True, slots=True)
class BatchCommitted:
    """A batch of inputs was settled, and is in the lake."""

    kind: ClassVar[str] = "batch committed"
    stage: str
    variant: str
    made: int
    rejected: int
    quarantined: int
    reasons: Mapping[str, int]
    """Why inputs were rejected or quarantined."""


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    """A request to a teacher was answered."""

    kind: ClassVar[str] = "request answered"
    stage: str
    model: str
    status: int | None
    input_tokens: int
    output_tokens: int
    usd: float
    seconds: float


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A request to a teacher was sent, and no answer came. Its tokens are what may have been charged all the same."""

    kind: ClassVar[str] = "request failed"
    stage: str
    model: str
    status: int | None
    reason: str
    """In the provider's words, bounded and without the key."""
    input_tokens: int
    output_tokens: int
    usd: float
    seconds: float


@dataclass(frozen=True, slots=True)
class RequestRetried:
    """A request that failed is about to be sent again."""

    kind: ClassVar[str] = "request retried"
    stage: str
    model: str


@dataclass(frozen=True, slots=True)
class RequestsChanged:
    """Requests to a teacher are sent otherwise from now on, since something in them was refused."""

    kind: ClassVar[str] = "requests changed"
    stage: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class BatchChanged:
    """A batch of requests is out, stays out when the run ends, or has ended."""

    kind: ClassVar[str] = "batch changed"
    stage: str
    model: str
    batch: str
    """Its provider's name for it."""
    state: str
    requests: int
    """How many are in it; of one that has ended, how many were answered."""


@dataclass(frozen=True, slots=True)
class AnswerKnown:
    """A question that the journal has an answer to: nobody is asked."""

    kind: ClassVar[str] = "answer known"
    stage: str
    model: str


RequestEvent = RequestAnswered | RequestFailed
TeacherEvent = RequestEvent | RequestRetried | RequestsChanged | BatchChanged | AnswerKnown
RunEvent = RunBegan | RunEnded | StageBegan | StageEnded | BatchCommitted | TeacherEvent
Follower = Callable[[RunEvent], None]


class RunEvents:
    """Passes each event of one run on to all that follow it. They only listen: what a follower does changes no result."""

    def __init__(self, *followers: Follower) -> None:
        self._followers = list(followers)

    def emit(self, event: RunEvent) -> None:
        for follower in self._followers:
            follower(event)

    @contextmanager
    def followed_by(self, follower: Follower) -> Generator[None]:
        """Let someone follow while the block lasts."""
        self._followers.append(follower)
        try:
            yield
        finally:
            self._followers.remove(follower)
