"""A request to a teacher before it is sent: what it says and shows, and what came back for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dmforge.schemas.ids import Id
from dmforge.schemas.replies import Reply
from dmforge.schemas.reply_schema import UNBOUNDED, Bounds

Part = dict[str, Any]
"""A part of a message: text, an image or a video."""
Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class TeacherRequest:
    """A request to a teacher."""

    name: str
    """The idempotency key, by which a server may answer the same request only once."""
    video: Id
    """Which it is about."""
    instruction: str
    texts: Sequence[str]
    """All text of the message, stamps included: known before a frame is read."""
    parts: Callable[[], Awaitable[Sequence[Part]]]
    """Makes the message's parts: as late as can be, since frames are large."""
    reply: type[Reply]
    attempt: int
    images: int
    image_tokens: int
    """What they count as, all together."""
    bounds: Bounds = UNBOUNDED
    """What a reply to this question can hold: the schema that is sent says so."""
    limit: int | None = None
    """The most tokens of the reply; else what the teacher's settings say."""

    @property
    def text_bytes(self) -> int:
        return len(self.instruction.encode()) + sum(len(text.encode()) for text in self.texts)

    async def messages(self) -> Messages:
        """The messages, as they are sent."""
        parts = list(await self.parts())
        return [{"role": "system", "content": self.instruction}, {"role": "user", "content": parts}]


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """What a server sent back, unread."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    limit: int
    """The most tokens of the reply, as it was asked for."""
    sent_bytes: int
    """Bytes of text and images in what was asked."""
    is_batched: bool = False
    """It came in a batch, at a batch's price."""


def sent_bytes(messages: Messages) -> int:
    """Bytes of text and images in messages."""
    contents = [message["content"] for message in messages]
    texts = [content for content in contents if isinstance(content, str)]
    parts = [part for content in contents if not isinstance(content, str) for part in content]
    return sum(map(len, map(str.encode, texts))) + sum(map(_part_bytes, parts))


def _part_bytes(part: Part) -> int:
    return len(part["text"].encode()) if part["type"] == "text" else len(part[part["type"]]["url"])
