"""The interface of an engine: it continues transcripts until each of them stops."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from dmforge.generators.footage import PromptPiece
from dmforge.schemas.dialects.dialect_name import DialectName

Stop = Literal["look", "tag", "end", "length"]
"""It wrote `</fps>` and had tokens left; it was about to write a tag before which it stops; it ended its turn; it had no tokens
left."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters of one row. Of equal transcripts those with equal seeds go on alike, whatever batch they stand in."""

    temperature: float = 1.0
    """0 takes the likeliest token each time."""
    seed: int = 0
    max_tokens: int = 512
    """Tokens that the policy may write in all."""

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.max_tokens < 1:
            raise ValueError(
                f"a sampling needs a temperature from 0 on and at least 1 token, not {self.temperature} and {self.max_tokens}"
            )


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """The tokens that the policy wrote before it stopped."""

    text: str
    """Without the token that ended its turn, or the tag before which it stopped: its row doesn't have that either."""
    ids: tuple[int, ...]
    """Including that token."""
    log_probs: tuple[float, ...]
    """One for each token, under the tempered distribution before anything was banned from it."""
    stop: Stop

    @property
    def kept_ids(self) -> tuple[int, ...]:
        """The tokens that stand in its row: all but a tag before which it stopped."""
        return self.ids[:-1] if self.stop == "tag" else self.ids


@dataclass(frozen=True, slots=True)
class FailedRow:
    """The result of a row that killed its engine more than once, the last time with no other row at work."""

    detail: str


NOWHERE: Mapping[int, Sequence[str]] = MappingProxyType({})


class Conversation(Protocol):
    """Several rows (transcripts in progress) that are continued side by side."""

    def step(
        self,
        added: Mapping[int, Sequence[PromptPiece]],
        may_look: Collection[int],
        stop_before: Mapping[int, Sequence[str]] = NOWHERE,
    ) -> Mapping[int, GeneratedText | FailedRow]:
        """Put these behind their rows, and let each go on until it stops. Rows that are not named wait; of those that are,
        only those that may look stop at a look, and each stops before its tags in `stop_before`.

        What comes back is at least one of the rows at work. An engine need not wait for all of them: the others go on and
        come with a later call, which may add nothing."""
        ...


class Engine(Protocol):
    """A policy that can be continued."""

    @property
    def dialect(self) -> DialectName:
        """The form in which it writes its looks; its prompts tell it of that dialect's functions."""
        ...

    def converse(self, rows: Sequence[Sampling]) -> Conversation:
        """Begin a conversation with one empty row for each `Sampling`. A conversation that is still going on is given up."""
        ...

    def close(self) -> None:
        """Free what the engine holds: memory, processes, connections."""
        ...
