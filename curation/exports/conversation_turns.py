"""A trajectory as turns of a conversation: what the assistant says in each, and which clips answer it."""

from __future__ import annotations

from dataclasses import dataclass

from dmforge.curation.shards.document import ShardSample
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.translation import say_in
from dmforge.schemas.looks import Look


@dataclass(frozen=True, slots=True)
class AssistantTurn:
    """One turn of the assistant, and the looks that end it."""

    text: str
    """What the policy wrote, calls included, without the token that ends the turn: chat templates write that."""
    looks: tuple[Look, ...]
    """Those whose clips the next turn shows; none behind the answer."""


def assistant_turns(sample: ShardSample, dialect: Dialect) -> list[AssistantTurn]:
    """The assistant's turns in a dialect whose looks end a turn; none of a task. What can't be said in it is refused."""
    if all(piece.author == "prompt" for piece in sample.transcript.pieces):
        return []
    texts: list[str] = []
    looks_by_turn: list[list[Look]] = []
    for piece in say_in(dialect.name, sample.transcript, sample.id).pieces:
        if piece.author == "policy" and piece.text is not None:
            texts.append(piece.text.removesuffix(dialect.turn_end))
            looks_by_turn.append([])
        elif piece.look is not None:
            looks_by_turn[-1].append(piece.look)
    return [AssistantTurn(text, tuple(looks)) for text, looks in zip(texts, looks_by_turn, strict=True)]
