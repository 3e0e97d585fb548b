"""How a request is written: which parameters it has, under which names. What an endpoint refuses by name is left out, or
named otherwise, from then on."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dmforge.generators.teacher.profiles import STRUCTURES, LimitName, Structure
from dmforge.generators.teacher.response import MAX_SEARCHED, TeacherRefusal
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.replies import Reply
from dmforge.schemas.reply_schema import Bounds, reply_schema

REFUSING = (400, 422)
"""The statuses of a request that names a parameter which an endpoint doesn't take."""
STRUCTURE_WORDS = re.compile(r"response_format|json_schema|json_object|structured|guided|grammar|\bschema\b", re.IGNORECASE)
LIMIT_WORDS = re.compile(r"\bmax_(completion_)?tokens\b|in the completion", re.IGNORECASE)
TOO_MUCH = re.compile(r"too (large|big|high)|at most|less than|maximum|exceed|must be (in|between)|\brange\b", re.IGNORECASE)
MIN_LIMIT = 256
"""Tokens of a reply below which no endpoint's limit is tried: nothing could be answered."""


class AskedReply(Protocol):
    """What bears on a request's parameters of the question that it asks."""

    @property
    def attempt(self) -> int: ...

    @property
    def reply(self) -> type[Reply]: ...

    @property
    def bounds(self) -> Bounds: ...


@dataclass(frozen=True, slots=True)
class RequestShape:
    """The parameters of a request beside its model and messages."""

    limit_name: LimitName | None
    structure: Structure
    left_out: frozenset[str] = frozenset()
    """Parameters that were refused."""
    max_limit: int | None = None
    """The most tokens of a reply that the endpoint lets one ask for."""
    names_tried: frozenset[str] = frozenset()
    """Names of the limit that were refused."""

    def limit(self, limit: int) -> int:
        """The most tokens of a reply that are asked for."""
        return limit if self.max_limit is None else min(limit, self.max_limit)

    def parameters(self, config: TeacherConfig, request: AskedReply, limit: int) -> dict[str, Any]:
        """The parameters, as they are sent."""
        parameters: dict[str, Any] = {"seed": request.attempt, **config.known.thinking_parameters(config.reasoning)}
        if config.temperature != "default":
            parameters["temperature"] = config.temperature
        if self.limit_name is not None:
            parameters[self.limit_name] = limit
        if self.structure == "json_object":
            parameters["response_format"] = {"type": "json_object"}
        elif self.structure != "prompt":
            bounds = request.bounds if self.structure == "narrow schema" else None
            json_schema = {"name": request.reply.name, "strict": True, "schema": reply_schema(request.reply, bounds)}
            parameters["response_format"] = {"type": "json_schema", "json_schema": json_schema}
        return {key: value for key, value in parameters.items() if key not in self.left_out} | config.extra_body

    def after(
        self, refusal: TeacherRefusal, parameters: dict[str, Any], config: TeacherConfig
    ) -> tuple[RequestShape, str] | None:
        """The shape after a refusal that names one of the parameters that were sent, and in a few words what changes."""
        if refusal.status not in REFUSING:
            return None
        words = f"{refusal.parameter} {refusal.words[:MAX_SEARCHED]}"
        if self.limit_name in parameters and LIMIT_WORDS.search(words):
            return self._with_other_limit(words, parameters)
        for name in parameters:
            is_named = re.search(rf"\b{re.escape(name)}\b", words) is not None
            if name == "response_format":
                if is_named or STRUCTURE_WORDS.search(words):
                    weaker = STRUCTURES[STRUCTURES.index(self.structure) + 1]
                    if config.structured_output != "auto" and weaker != "plain schema":
                        return None  # the recipe says what it must be
                    return replace(self, structure=weaker), f"the form of replies is asked for by {STRUCTURE_NAMES[weaker]}"
            elif is_named and name not in config.extra_body:
                return replace(self, left_out=self.left_out | {name}), f"`{name}` is left out"
        return None

    def _with_other_limit(self, words: str, parameters: dict[str, Any]) -> tuple[RequestShape, str] | None:
        sent_name, sent = self.limit_name, self.limit_name and parameters[self.limit_name]
        if sent_name is None or sent is None:
            return None
        if TOO_MUCH.search(words):
            smaller = [int(digits) for digits in re.findall(r"\d{3,7}", words) if MIN_LIMIT <= int(digits) < sent]
            limit = max(smaller) if "context" not in words and smaller else sent // 2
            if limit >= MIN_LIMIT:
                return replace(self, max_limit=limit), f"at most {limit} tokens of a reply are asked for"
        tried = self.names_tried | {sent_name}
        other: LimitName = "max_tokens" if sent_name == "max_completion_tokens" else "max_completion_tokens"
        if other in tried:
            return replace(self, limit_name=None, names_tried=tried), "no limit of a reply is named"
        return replace(self, limit_name=other, names_tried=tried), f"`{sent_name}` is called `{other}`"


STRUCTURE_NAMES = {
    "narrow schema": "a schema", "plain schema": "a plainer schema", "json_object": "`json_object`", "prompt": "words alone",
}  # fmt: skip


def first_shape(config: TeacherConfig) -> RequestShape:
    """The shape of the first request, by the recipe and what is known of the provider."""
    profile = config.known
    by_setting: dict[str, Structure] = {"json_schema": "narrow schema", "json_object": "json_object", "prompt": "prompt"}
    structure = by_setting.get(config.structured_output, profile.structure)
    return RequestShape(profile.limit_name, structure, frozenset() if profile.takes_seed else frozenset({"seed"}))
