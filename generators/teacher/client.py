"""One question to an OpenAI-compatible endpoint, asked until there is an answer or no hope of one for now."""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import NonNegativeInt, PositiveFloat

from dmforge.curation.lake.journal import Answer
from dmforge.curation.stage import AskConfig
from dmforge.schemas.config import Operational
from dmforge.schemas.errors import DmforgeError, InputError, Transient
from dmforge.schemas.replies import Reply

if TYPE_CHECKING:
    from openai import APIStatusError

URL, KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
LONGEST_PAUSE_S = 30.0
PASSING = (408, 409)
"""Refusals that may be otherwise the next time: a time-out, a conflict. All from 500 on may, too."""

Part = dict[str, Any]
"""A part of a message: text or an image."""


class TeacherConfig(AskConfig):
    """Whom to ask, and how patiently. The key is read from OPENAI_API_KEY and stands nowhere else."""

    model: str
    """The model's name, as the endpoint knows it."""
    base_url: Operational[str] = ""
    """The endpoint, up to and including /v1. Empty: what OPENAI_BASE_URL says."""
    temperature: float = 0.7
    """Of sampling: further attempts at a task should differ."""
    timeout_s: Operational[PositiveFloat] = 300.0
    """Seconds until a request is given up and sent again."""
    patience_s: Operational[PositiveFloat] = 1800.0
    """Seconds that a task waits for a server which says that it is asked too much; then it stays pending."""
    retries: Operational[NonNegativeInt] = 6
    """How often a request is sent again after an error of the server or the network; then its task stays pending."""


class Teacher:
    """A model behind an endpoint."""

    def __init__(self, config: TeacherConfig) -> None:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        self._config = config
        url = config.base_url or os.environ.get(URL)
        if not url:
            raise InputError(
                "no endpoint is named", where="base_url", mend=f"set it in the recipe, or {URL} in the environment"
            )
        self._key = os.environ.get(KEY) or "none"  # a server on one's own machine wants none
        # a proxy of the environment is for the world outside
        http = DefaultAsyncHttpxClient(trust_env=False) if _is_here(url) else None
        self._client = AsyncOpenAI(base_url=url, api_key=self._key, max_retries=0, timeout=config.timeout_s, http_client=http)

    async def ask(self, name: str, instruction: str, parts: Sequence[Part], reply: type[Reply], attempt: int) -> Answer:
        """The model's answer, good or not. `name` lets a server that knows how answer the same request once only."""
        import openai

        pause_s, failures, began_s = 0.5, 0, time.monotonic()
        while True:
            try:
                return await self._asked(name, instruction, parts, reply, attempt)
            except openai.RateLimitError as error:  # no failure: it says that the question was not even looked at
                if time.monotonic() - began_s > self._config.patience_s:
                    raise Transient("the teacher is asked too much") from error
                wait_s = _told_to_wait_s(error) or pause_s
            except (openai.APIError, ValueError) as error:
                status = error.status_code if isinstance(error, openai.APIStatusError) else None
                if status is not None and status < 500 and status not in PASSING:
                    mend = "check the model's name, the key and the endpoint; nothing was lost"
                    raise DmforgeError(f"the teacher refuses with {status}: {self._without_key(error)}", mend=mend) from None
                failures += 1
                if failures > self._config.retries:
                    raise Transient(f"the teacher fails: {status or type(error).__name__}") from error
                wait_s = pause_s
            await asyncio.sleep(wait_s * random.uniform(1, 1.25))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _without_key(self, error: Exception) -> str:
        """What the server said; some send back the key that they were shown."""
        return str(error).replace(self._key, "(the key)")

    async def _asked(self, name: str, instruction: str, parts: Sequence[Part], reply: type[Reply], attempt: int) -> Answer:
        from openai.types.chat import ChatCompletion

        schema = {"name": reply.name, "strict": True, "schema": reply.json_schema()}
        messages: Any = [{"role": "system", "content": instruction}, {"role": "user", "content": list(parts)}]
        completion = await self._client.chat.completions.create(
            model=self._config.model,
            messages=messages,
            temperature=self._config.temperature,
            seed=attempt,
            response_format={"type": "json_schema", "json_schema": schema},  # pyright: ignore[reportArgumentType]
            extra_headers={"Idempotency-Key": name},
        )
        # what an address gives that is no such endpoint: a page, a list, anything
        if not isinstance(completion, ChatCompletion) or not completion.choices or not completion.choices[0].message:  # pyright: ignore
            raise ValueError("an answer that is no chat completion")
        message = completion.choices[0].message
        usage = completion.usage.model_dump(include={"prompt_tokens", "completion_tokens"}) if completion.usage else {}
        return {
            "content": message.content or "", "refusal": message.refusal or "",
            "finish": completion.choices[0].finish_reason, "usage": usage,
        }  # fmt: skip


def _told_to_wait_s(error: APIStatusError) -> float:
    """Seconds that the server asks for, or 0 if it doesn't say."""
    try:
        told_s = float(error.response.headers.get("retry-after", "0"))
    except ValueError:
        return 0.0
    return min(max(told_s, 0.0), LONGEST_PAUSE_S) if math.isfinite(told_s) else 0.0


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
