"""What those who hold rows say to those who continue them, in this machine's processes or over a network: tokens in and out.

Whoever continues a row keeps nothing of it but a cache: each leg of its way brings all that stands before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dmforge.generators.engines.contract import Failed
from dmforge.generators.engines.parcels import Parcel

TEMPERATURE, SEED, PLACE = "dmforge_temperature", "dmforge_seed", "dmforge_place"
"""What our processor of logits is told of a row: how it draws, and how many tokens it has drawn before."""


@dataclass(frozen=True, slots=True)
class Leg:
    """How far a row goes at once."""

    ids: tuple[int, ...]
    """All before it, with a single `<|video_pad|>` for each clip: the engine puts stamps and visual tokens there."""
    clips: tuple[Parcel, ...]
    stops: tuple[int, ...]
    most_tokens: int
    temperature: float
    seed: int
    place: int
    """Tokens that the policy has written before."""

    def sampling(self) -> dict[str, Any]:
        """As vLLM is told. Our processor of logits leaves one token to choose from, with its log-probability for a logit."""
        return {
            "temperature": 0.0,
            "max_tokens": self.most_tokens,
            "stop_token_ids": list(self.stops),
            "ignore_eos": True,
            "logprobs": 0,
            "detokenize": False,
            "skip_special_tokens": False,
            "extra_args": {TEMPERATURE: self.temperature, SEED: str(self.seed), PLACE: self.place},
        }


@dataclass(frozen=True, slots=True)
class Gone:
    """What came of a leg."""

    context: tuple[int, ...]
    """What the model was shown, token by token."""
    ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    cached: int
    """Tokens of the context that were not computed again."""


Order = tuple[int, int]
"""Which legs go first: all of a video before those of the next, so that what is cached of it is used while it is there."""


class Courier(Protocol):
    """Takes legs to an engine, and brings back what came of them."""

    def send(self, number: int, order: Order, leg: Leg) -> None:
        """One at a time for each row."""
        ...

    def receive(self) -> Mapping[int, Gone | Failed]:
        """Waits for at least one of the rows that are on their way."""
        ...

    def clear(self) -> None:
        """Forget all that is on its way."""
        ...


# between a process that keeps rows and the process of an engine


@dataclass(frozen=True, slots=True)
class Start:
    """The first thing that an engine is told: its arguments, as vLLM names them."""

    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Errand:
    """A leg, its clips by name, and those among them that were not brought before."""

    ticket: int
    leg: Leg
    names: tuple[str, ...]
    brought: tuple[Parcel, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop all legs and all clips."""


@dataclass(frozen=True, slots=True)
class Renew:
    """The weights of its checkpoint are others now: read them again."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """They are read, and nothing is left of what the old ones made."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded."""


@dataclass(frozen=True, slots=True)
class Beat:
    """It goes on. `done` are legs that have come to their ends."""

    done: dict[int, Gone] = field(default_factory=dict[int, Gone])


@dataclass(frozen=True, slots=True)
class Broken:
    """Something was raised, and the engine ends itself."""

    told: str
