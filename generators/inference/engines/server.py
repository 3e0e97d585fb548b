"""A client of a vLLM server: one request over HTTP, repeated until there is an answer or no hope of one.

It uses vLLM's endpoint of tokens in and tokens out: a chat endpoint would make text of what the policy wrote, and other tokens
of the text. A clip that the server has had is sent by name alone; a server that has dropped it says so, and gets the frames
again.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from dmforge.generators.inference.engines import wire
from dmforge.generators.inference.engines.clip_payload import MEDIA, ClipPayload
from dmforge.generators.inference.engines.engine import FailedRow
from dmforge.generators.inference.engines.engine_settings import ServerSettings
from dmforge.generators.inference.engines.messages import Generate, Generated
from dmforge.generators.inference.engines.remote_rows import EngineResources
from dmforge.schemas.errors import DmforgeError, InputError, Transient

START = "start it, where dmforge and vllm are installed: python -m dmforge.generators.inference.engines.serve CHECKPOINT"
LONGEST_PAUSE_S = 30.0
TOLD_CHARS = 300


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why an attempt brought no answer."""

    message: str
    is_its_own: bool = False
    """The server itself fails, not the connection to it."""


class Server:
    """A vLLM server with our loader and our logits processor."""

    def __init__(self, settings: ServerSettings) -> None:
        key = os.environ.get(settings.api_key_env)
        headers = {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})}
        limits = httpx2.Limits(max_connections=settings.rows, max_keepalive_connections=settings.rows)
        self.where, self._retries, self._timeout_s = settings.base_url, settings.retries, settings.timeout_s
        self._root = settings.base_url.rstrip("/").removesuffix("/v1")
        self._client = httpx2.Client(headers=headers, timeout=settings.timeout_s, limits=limits)
        self._sent_clips: set[str] = set()
        self.model, context = self._find_model(settings.model)
        self.room = EngineResources(context, context)

    def ask(self, request: Generate) -> Generated | FailedRow:
        """The result of a request. `FailedRow` where the server is alive and fails over this request every time."""
        fault = _Fault("no request was sent")
        for attempt in range(self._retries + 1):
            if attempt:
                time.sleep(min(LONGEST_PAUSE_S, 0.5 * 2 ** (attempt - 1)))
            result = self._attempt(request)
            if isinstance(result, Generated):
                return result
            fault = result
        if fault.is_its_own and self._is_alive():
            return FailedRow(fault.message.partition(":")[0])
        raise Transient(
            f"the server gives no answer, {fault.message}", where=self.where, hint="see that it is up, and run again"
        )

    def _attempt(self, request: Generate) -> Generated | _Fault:
        cached_clips = {clip.name for clip in request.clips} & self._sent_clips
        max_bytes = wire.longest(request, self.room.context)
        try:
            response = self._fetch("POST", "/inference/v1/generate", max_bytes, self._body(request, cached_clips))
            if response.is_success:
                generated = wire.gone_in(response.body, request)
                self._sent_clips |= {clip.name for clip in request.clips}
                return generated
        except httpx2.TransportError as error:
            return _Fault(f"no answer: {type(error).__name__}")
        except wire.Unreadable as error:
            return _Fault(f"but one that can't be read: {error}")
        except wire.Nonsense as error:
            return _Fault(str(error), is_its_own=True)
        except wire.OwnDraws:
            raise self._wrong_server("the server draws tokens in its own way") from None
        message = f"status {response.status}: {_excerpt(response)}"
        self._sent_clips -= cached_clips
        if response.status < 500 and response.status != 429 and not cached_clips:
            raise self._refusal(response.status, message)
        return _Fault(message, is_its_own=response.status >= 500)

    def close(self) -> None:
        self._client.close()

    def _body(self, request: Generate, cached_clips: set[str]) -> dict[str, Any]:
        parts = [
            {"type": "video_url", "uuid": clip.name, "url": None if clip.name in cached_clips else _url(clip)}
            for clip in request.clips
        ]
        sampling = {**request.sampling(), "logprobs": 2}  # the second one shows whether our processor ruled out all others
        return {
            "model": self.model,
            "token_ids": request.ids,
            "content_parts": parts or None,
            "sampling_params": sampling,
            "return_token_ids": True,
        }

    def _find_model(self, model_name: str) -> tuple[str, int]:
        try:
            response = self._fetch("GET", "/v1/models", wire.SHORT)
            if not response.is_success:
                raise self._refusal(response.status, f"status {response.status}")
            models = {model.id: model for model in wire.models_in(response.body)}
        except httpx2.TransportError as error:
            raise Transient(f"no answer: {type(error).__name__}", where=self.where, hint=START) from None
        except wire.Unreadable as error:
            raise self._wrong_server(f"the server is no vLLM: its list of models can't be read: {error}") from None
        max_context = self._choose_model(models, model_name).max_model_len
        if max_context is None:
            raise self._wrong_server("the server is no vLLM")
        return self._choose_model(models, model_name).id, max_context

    def _choose_model(self, models: Mapping[str, wire.Model], model_name: str) -> wire.Model:
        if model_name in models:
            return models[model_name]
        if model_name or len(models) != 1:
            message = f"the server serves {', '.join(models)[:TOLD_CHARS] or 'no model'}"
            raise InputError(message, where=self.where, hint="set model to one of these")
        (only_model,) = models.values()
        return only_model

    def _fetch(self, method: str, path: str, max_bytes: int, json_body: Any = None) -> wire.Received:
        return wire.fetch(self._client, method, f"{self._root}{path}", max_bytes, self._timeout_s, json_body)

    def _refusal(self, status: int, message: str) -> DmforgeError:
        if status == 401:
            return InputError("the server refuses the key", where=self.where, hint="set the variable that api_key_env names")
        if status in (403, 404):
            return self._wrong_server("the server takes no tokens at /inference/v1/generate")
        return self._wrong_server(f"the server refuses the request: {message}")

    def _wrong_server(self, message: str) -> InputError:
        return InputError(message, where=self.where, hint=START)

    def _is_alive(self) -> bool:
        try:
            return self._fetch("GET", "/health", wire.SHORT).is_success
        except (httpx2.TransportError, wire.Unreadable):
            return False


def _excerpt(response: wire.Received) -> str:
    return response.body[: 4 * TOLD_CHARS].decode("utf-8", "replace")[:TOLD_CHARS]


def _url(clip: ClipPayload) -> str:
    return MEDIA + base64.b64encode(clip.to_bytes()).decode()
