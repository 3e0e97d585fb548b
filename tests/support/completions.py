"""Requests for a chat completion and the responses to them, as they go over the wire."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

from tests.support.plausible import Scene, reply

CHARACTERS_A_TOKEN = 4
PATCH = 32
"""An image costs a token for each 32 x 32 pixels."""
MAX_OUTPUT = 16_384
"""What a model writes at most where the request names no limit."""


@dataclass(frozen=True)
class Wire:
    """A response as it is sent, and what is charged for it."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])
    charged: tuple[int, int] | None = None
    """Tokens in and out that the account pays for."""
    delay_s: float = 0.0
    cut_at: int | None = None
    """After so many bytes the connection is reset."""
    meant: str = ""
    """The text that the model came to, where it came to one: neither a thought nor a half."""
    closes: bool = False
    """The connection is closed behind it, and no header says so."""


@dataclass
class Inquiry:
    """A request, and how often it came before."""

    body: dict[str, Any]
    size_bytes: int
    headers: dict[str, str]
    number: int
    """How many requests came before it."""
    rank: int
    """How many other questions came before this one first came."""
    again: int
    """How often this question came before."""
    answered: int
    """How often it was answered."""

    @cached_property
    def system(self) -> str:
        return "\n".join(text for message in self._messages("system") for text in _texts(message))

    @cached_property
    def user(self) -> str:
        return "\n".join(text for message in self._messages("user") for text in _texts(message))

    @cached_property
    def images(self) -> list[bytes]:
        parts = [part for message in self._messages("user") for part in _parts(message) if part.get("type") == "image_url"]
        return [base64.b64decode(part["image_url"]["url"].partition(",")[2]) for part in parts]

    @property
    def schema(self) -> dict[str, Any] | None:
        """The schema that the reply must keep to."""
        return self.body.get("response_format", {}).get("json_schema", {}).get("schema")

    @property
    def format(self) -> str:
        """`json_schema`, `json_object` or nothing."""
        return self.body.get("response_format", {}).get("type", "")

    @property
    def limit(self) -> int:
        """Tokens that may come back."""
        return self.body.get("max_completion_tokens") or self.body.get("max_tokens") or MAX_OUTPUT

    @property
    def prompt_tokens(self) -> int:
        schema = len(json.dumps(self.schema)) if self.schema else 0
        return (len(self.system) + len(self.user) + schema) // CHARACTERS_A_TOKEN + sum(map(image_tokens, self.images))

    @property
    def key(self) -> str:
        return self.headers.get("authorization", "")

    def reply(self, draft: str = "", schema: dict[str, Any] | None = None) -> dict[str, Any]:
        """The object that the model comes up with; a draft is another one."""
        seed = self.body.get("seed", self.answered)
        return reply(Scene(self.system, self.user, len(self.images), f"{seed}{draft}"), schema or self.schema)

    def text(self, draft: str = "") -> str:
        return json.dumps(self.reply(draft))

    def _messages(self, role: str) -> list[dict[str, Any]]:
        return [message for message in self.body.get("messages", []) if message.get("role") == role]


def question_of(body: dict[str, Any]) -> str:
    """What tells one question from another: its messages, and nothing of how they are sent."""
    return sha256(json.dumps(body.get("messages"), sort_keys=True).encode()).hexdigest()


def image_tokens(jpeg: bytes) -> int:
    """The tokens of an image, by the size in its header."""
    position = 2
    while position + 9 <= len(jpeg) and jpeg[position] == 0xFF:
        marker, length = jpeg[position + 1], struct.unpack(">H", jpeg[position + 2 : position + 4])[0]
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = struct.unpack(">HH", jpeg[position + 5 : position + 9])
            return -(-height // PATCH) * -(-width // PATCH)
        position += 2 + length
    return 85


def tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_A_TOKEN)


def complete(inquiry: Inquiry, text: str, thought: str = "", name: str = "", inline: str = "<think>{}</think>\n\n") -> Wire:
    """A completion: a text behind a thought, which stands in the field of that name, else in the text. The limit cuts it."""
    content, finish = text, "stop"
    thinking, written = tokens(thought), tokens(text)
    if thinking + written > inquiry.limit:
        finish, content = "length", text[: max(0, inquiry.limit - thinking) * CHARACTERS_A_TOKEN]
        thinking = min(thinking, inquiry.limit)
        written, thought = inquiry.limit - thinking, thought[: thinking * CHARACTERS_A_TOKEN]
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if thought and name:
        message[name] = thought
    elif thought:
        cut_in_thought = finish == "length" and not content
        message["content"] = inline.partition("{}")[0] + thought if cut_in_thought else inline.format(thought) + content
    counts = {"prompt_tokens": inquiry.prompt_tokens, "completion_tokens": thinking + written}
    details = {"completion_tokens_details": {"reasoning_tokens": thinking}} if thinking else {}
    response = wire(inquiry, {"index": 0, "finish_reason": finish, "message": message}, counts | details)
    return replace(response, meant=text if finish == "stop" else "")


def wire(inquiry: Inquiry, choice: dict[str, Any] | None, usage: dict[str, Any]) -> Wire:
    """A response of status 200 around a choice."""
    counts = usage | {"total_tokens": usage["prompt_tokens"] + usage["completion_tokens"]}
    document = {
        "id": f"chatcmpl-{inquiry.number}", "object": "chat.completion", "created": 1_790_000_000,
        "model": f"{inquiry.body.get('model')}-2026-10-01", "choices": [choice] if choice else [], "usage": counts,
    }  # fmt: skip
    return Wire(200, json.dumps(document).encode(), charged=(usage["prompt_tokens"], usage["completion_tokens"]))


def document_of(response: Wire) -> dict[str, Any]:
    return json.loads(response.body)


def error(status: int, message: str, /, **fields: Any) -> Wire:
    """A refusal as OpenAI words it."""
    return Wire(status, json.dumps({"error": {"message": message, "type": "invalid_request_error", **fields}}).encode())


def page(status: int, title: str, behind: str) -> Wire:
    """A page of a proxy."""
    head, heading = f"<head><title>{title}</title></head>", f"<center><h1>{title}</h1></center>"
    html = f"<html>\r\n{head}\r\n<body>\r\n{heading}\r\n{behind}</body>\r\n</html>\r\n"
    return Wire(status, html.encode(), {"Content-Type": "text/html"})


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _texts(message: dict[str, Any]) -> list[str]:
    content = message.get("content")
    return [content] if isinstance(content, str) else [part["text"] for part in _parts(message) if part.get("type") == "text"]
