"""Sends requests to an endpoint one by one, each answered at once."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx2

from dmforge.generators.teacher.http_bounds import NEVER_SENT, client, timeouts
from dmforge.generators.teacher.response import TeacherRefusal
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.generators.teacher.teacher_request import Messages, ServerResponse, TeacherRequest, sent_bytes

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class DirectRequests:
    """Connections to an endpoint."""

    def __init__(self, config: TeacherConfig) -> None:
        self._config, self._url = config, config.endpoint

    @cached_property
    def _client(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            base_url=self._url,
            api_key=self._config.key,
            max_retries=0,
            timeout=timeouts(self._config.timeout_s),
            http_client=client(self._url),
        )

    async def aclose(self) -> None:
        """Close the connections, if there are any."""
        if "_client" in vars(self):
            await self._client.close()

    async def prepared(self, request: TeacherRequest) -> Messages:
        """The messages of a request, with its frames."""
        return await request.messages()

    async def send(
        self, request: TeacherRequest, messages: Messages, parameters: dict[str, Any], limit: int
    ) -> ServerResponse | TeacherRefusal:
        """What the server sends back; a refusal where nothing comes."""
        import openai

        try:
            async with asyncio.timeout(self._config.timeout_s):
                response = await self._post(request.name, messages, parameters)
        except openai.APIStatusError as error:
            response = error.response
        except (openai.APIConnectionError, TimeoutError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, NEVER_SENT):
                words = f"no connection to {self._url}: {cause or type(cause).__name__}"
                return TeacherRefusal("passing", words, never_arrived=True)
            if isinstance(error, (openai.APITimeoutError, TimeoutError)):
                return TeacherRefusal("passing", f"no answer within timeout_s = {self._config.timeout_s:g}", may_cost=True)
            return TeacherRefusal("passing", f"the connection broke: {cause or type(cause).__name__}", may_cost=True)
        return ServerResponse(response.status_code, response.headers, response.content, limit, sent_bytes(messages))

    async def _post(self, name: str, messages: Messages, parameters: dict[str, Any]) -> httpx2.Response:
        # `chat.completions.create` would look through every part of every message for names to write otherwise, which takes
        # longer than all else; and parse what comes, whatever it is
        return await self._client.post(
            "/chat/completions",
            cast_to=httpx2.Response,
            body={"model": self._config.model, "messages": messages, **parameters},
            options={"headers": {**self._config.extra_headers, "Idempotency-Key": name}},
        )
