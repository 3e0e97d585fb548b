"""Messages between the holder of rows and the engine that continues them, in another process or over a network: tokens in and
out.

An engine keeps nothing of a row but a cache: each request brings all tokens that stand before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dmforge.generators.inference.engines.clip_payload import ClipPayload
from dmforge.generators.inference.engines.engine import FailedRow

TEMPERATURE, SEED, PLACE = "dmforge_temperature", "dmforge_seed", "dmforge_place"
"""Keys by which our logits processor is given a row's temperature, its seed, and the number of tokens written before."""


@dataclass(frozen=True, slots=True)
class Generate:
    """A request to continue one row until its next stop."""

    ids: tuple[int, ...]
    """All tokens of the row so far, with a single `<|video_pad|>` for each clip: the engine puts stamps and visual tokens
    there."""
    clips: tuple[ClipPayload, ...]
    stops: tuple[int, ...]
    max_tokens: int
    temperature: float
    seed: int
    tokens_before: int
    """Tokens that the policy has written before."""

    def sampling(self) -> dict[str, Any]:
        """Sampling parameters as vLLM names them. Our logits processor leaves one token to choose from, with its
        log-probability for a logit."""
        return {
            "temperature": 0.0,
            "max_tokens": self.max_tokens,
            "stop_token_ids": list(self.stops),
            "ignore_eos": True,
            "logprobs": 0,
            "detokenize": False,
            "skip_special_tokens": False,
            "extra_args": {TEMPERATURE: self.temperature, SEED: str(self.seed), PLACE: self.tokens_before},
        }


@dataclass(frozen=True, slots=True)
class Generated:
    """The tokens that continue a row: the result of a request."""

    context: tuple[int, ...]
    """The tokens that the model was shown."""
    ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    cached: int
    """Tokens of the context that were not computed again."""


Order = tuple[int, int]
"""A sort key of requests: all of a video before those of the next, so that what is cached of it is used while it is there."""


class GenerationTransport(Protocol):
    """Takes requests to an engine, and brings back their results."""

    def send(self, row_index: int, order: Order, request: Generate) -> None:
        """Send a request. A row has only one on its way at a time."""
        ...

    def receive(self) -> Mapping[int, Generated | FailedRow]:
        """Wait for the results of at least one row, by row index."""
        ...

    def clear(self) -> None:
        """Forget all requests that are on their way."""
        ...


# between a process that keeps rows and the process of an engine


@dataclass(frozen=True, slots=True)
class StartEngine:
    """The first message to an engine's process: its arguments, as vLLM names them."""

    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class GenerateWithClips:
    """A request with the names of its clips, and those clips that the process does not have yet."""

    request_id: int
    request: Generate
    clip_names: tuple[str, ...]
    new_clips: tuple[ClipPayload, ...]


@dataclass(frozen=True, slots=True)
class DropAll:
    """Drop all requests and all clips."""


@dataclass(frozen=True, slots=True)
class ReloadWeights:
    """Read the checkpoint again: its weights have changed."""


@dataclass(frozen=True, slots=True)
class WeightsReloaded:
    """The new weights are loaded, and nothing is left of what the old ones made."""


@dataclass(frozen=True, slots=True)
class EngineReady:
    """The model is loaded."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The process is at work. `results` holds the requests that have ended since the last heartbeat, by request id."""

    results: dict[int, Generated] = field(default_factory=dict[int, Generated])


@dataclass(frozen=True, slots=True)
class EngineFailed:
    """The engine raised an exception, and ends itself."""

    cause: str
