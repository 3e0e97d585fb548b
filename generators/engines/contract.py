"""What every engine does: continue these transcripts until these stops."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from dmforge.generators.footage import Shown

Stop = Literal["look", "end", "length"]
"""It wrote `</fps>` and had tokens left; it ended its turn; it had no tokens left."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one row is continued. Of equal transcripts those with equal seeds go on alike, whatever batch they stand in."""

    temperature: float = 1.0
    """0 takes the likeliest token each time."""
    seed: int = 0
    most_tokens: int = 512
    """That the policy may write in all."""

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.most_tokens < 1:
            raise ValueError(f"no sampling at temperature {self.temperature} of {self.most_tokens} tokens")


@dataclass(frozen=True, slots=True)
class Written:
    """What the policy wrote in one go."""

    text: str
    """Without the token that ended its turn."""
    ids: tuple[int, ...]
    """With it."""
    log_probs: tuple[float, ...]
    """Of each token, under the tempered distribution before anything was banned from it."""
    stop: Stop


@dataclass(frozen=True, slots=True)
class Failed:
    """What became of a row over which the engine died, more than once and at last with no other row at work."""

    detail: str


class Conversation(Protocol):
    """Some rows that grow side by side."""

    def go_on(self, added: Mapping[int, Sequence[Shown]], may_look: Collection[int]) -> Mapping[int, Written | Failed]:
        """Put these behind their rows, and let each go on until it stops. Rows that are not named wait; of those that are,
        only those that may look stop at a look.

        What comes back is at least one of the rows at work. An engine need not wait for all of them: the others go on and
        come with a later call, which may add nothing."""
        ...


class Engine(Protocol):
    """A policy that can be continued."""

    def converse(self, rows: Sequence[Sampling]) -> Conversation:
        """As many rows as this, each empty so far. A conversation that is still going on is given up."""
        ...

    def close(self) -> None:
        """Give back what the engine holds."""
        ...
