"""A trajectory as turns of a conversation: what the policy wrote stands in the assistant's turns, and clips in those of others.

So readers that mask by role train on nothing that the runtime injected. In `span` a look doesn't end the thought that it stands
in; but a conversation has no other place for what is no policy's, so there, too, a turn ends behind each look.
"""

from __future__ import annotations

from dataclasses import dataclass

from dmforge.curation.exports.conversation_rows import VIDEO_MARK
from dmforge.curation.shards.document import ShardSample
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.tool_list import tool_list
from dmforge.schemas.dialects.translation import say_in
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.scoring import overlap_cs

TextMessages = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class AssistantTurn:
    """One turn of the assistant, and the looks that end it."""

    text: str
    """What the policy wrote, calls included, without the token that ends the turn: chat templates write that."""
    looks: tuple[Look, ...]
    """Those whose clips the next turn shows; none behind the answer."""

    def misses(self, gold: tuple[Window, ...]) -> bool:
        """Whether it looks, and no look shows anything of what is to be seen, where that is known."""
        return bool(self.looks and gold) and not overlap_cs(tuple(look.window for look in self.looks), gold)


def assistant_turns(sample: ShardSample, dialect: Dialect) -> list[AssistantTurn]:
    """The assistant's turns in a dialect; none of a task. What can't be said in it is refused."""
    if is_task(sample):
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


def is_task(sample: ShardSample) -> bool:
    """Whether nobody has written anything behind the prompt."""
    return all(piece.author == "prompt" for piece in sample.transcript.pieces)


def prompt_text(sample: ShardSample) -> str:
    """The user's turn, with a mark for each clip and nothing between them and the question, as a student is prompted."""
    return "".join(piece.text or VIDEO_MARK for piece in sample.transcript.pieces if piece.author == "prompt")


def text_messages(sample: ShardSample, dialect: Dialect, observer: str, *, tells_of_tools: bool) -> TextMessages:
    """The conversation with a mark for each clip. `observer` is what a reader calls who answers a call; where a user does, it
    is the user. With `tells_of_tools` the dialect's functions stand in a system's message, as Qwen's chat templates tell of
    them; else the reader has them from elsewhere."""
    system = [{"role": "system", "content": tool_list(dialect.tools)}] if dialect.tools and tells_of_tools else []
    messages = [*system, {"role": "user", "content": prompt_text(sample)}]
    for turn in assistant_turns(sample, dialect):
        messages.append({"role": "assistant", "content": turn.text})
        if turn.looks:
            role = "user" if dialect.response_role == "user" else observer
            messages.append({"role": role, "content": _clips_text(turn.looks, dialect)})
    return messages


def _clips_text(looks: tuple[Look, ...], dialect: Dialect) -> str:
    """The marks of a turn's clips, and what stands between them; what stands around them is written by chat templates."""
    pieces = dialect.answered(looks)
    inside = pieces[1:-1] if dialect.turn_end else pieces
    return "".join(piece.text or VIDEO_MARK for piece in inside)
