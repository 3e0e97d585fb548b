"""One leg over HTTP, asked until there is an answer or no hope of one.

By vLLM's way of tokens in and tokens out: a chat's way would make text of what the policy wrote and other tokens of the text.
A clip that the server has had goes by its name alone; if it has dropped it, it says so, and is sent the frames again.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from dmforge.generators.engines import wire
from dmforge.generators.engines.contract import Failed
from dmforge.generators.engines.legs import Gone, Leg
from dmforge.generators.engines.parcels import MEDIA, Parcel
from dmforge.generators.engines.served import Room
from dmforge.generators.engines.settings import ServerSettings
from dmforge.schemas.errors import DmforgeError, InputError, Transient

START = "start it by: python -m dmforge.generators.engines.serve CHECKPOINT --port 8000, where dmforge and vllm are installed"
LONGEST_PAUSE_S = 30.0
TOLD_CHARS = 300


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why there was no answer this time."""

    told: str
    is_its_own: bool = False
    """It is the server that fails, and not the way to it."""


class Server:
    """A vLLM server with our loader and our processor of logits."""

    def __init__(self, settings: ServerSettings) -> None:
        key = os.environ.get(settings.key_name)
        headers = {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})}
        limits = httpx2.Limits(max_connections=settings.rows, max_keepalive_connections=settings.rows)
        self.where, self._retries, self._timeout_s = settings.base_url, settings.retries, settings.timeout_s
        self._root = settings.base_url.rstrip("/").removesuffix("/v1")
        self._client = httpx2.Client(headers=headers, timeout=settings.timeout_s, limits=limits)
        self._had: set[str] = set()
        self.model, context = self._served(settings.model)
        self.room = Room(context, context)

    def ask(self, leg: Leg) -> Gone | Failed:
        """What came of a leg. A server that is alive and fails over it every time has failed over it."""
        fault = _Fault("nothing was asked")
        for attempt in range(self._retries + 1):
            if attempt:
                time.sleep(min(LONGEST_PAUSE_S, 0.5 * 2 ** (attempt - 1)))
            found = self._asked(leg)
            if isinstance(found, Gone):
                return found
            fault = found
        if fault.is_its_own and self._is_alive():
            return Failed(fault.told.partition(":")[0])
        raise Transient(f"the server gives no answer, {fault.told}", where=self.where, mend="see that it is up, and run again")

    def _asked(self, leg: Leg) -> Gone | _Fault:
        by_name = {clip.name for clip in leg.clips} & self._had
        most = wire.longest(leg, self.room.context)
        try:
            reply = self._fetch("POST", "/inference/v1/generate", most, self._body(leg, by_name))
            if reply.is_success:
                gone = wire.gone_in(reply.body, leg)
                self._had |= {clip.name for clip in leg.clips}
                return gone
        except httpx2.TransportError as error:
            return _Fault(f"no answer: {type(error).__name__}")
        except wire.Unreadable as error:
            return _Fault(f"but one that can't be read: {error}")
        except wire.Nonsense as error:
            return _Fault(str(error), is_its_own=True)
        except wire.OwnDraws:
            raise self._not_ours("it draws tokens in its own way") from None
        told = f"status {reply.status}: {_words(reply)}"
        self._had -= by_name
        if reply.status < 500 and reply.status != 429 and not by_name:
            raise self._refusal(reply.status, told)
        return _Fault(told, is_its_own=reply.status >= 500)

    def close(self) -> None:
        self._client.close()

    def _body(self, leg: Leg, by_name: set[str]) -> dict[str, Any]:
        parts = [
            {"type": "video_url", "uuid": clip.name, "url": None if clip.name in by_name else _url(clip)} for clip in leg.clips
        ]
        sampling = {**leg.sampling(), "logprobs": 2}  # the second shows whether our processor ruled out all others
        return {
            "model": self.model,
            "token_ids": leg.ids,
            "content_parts": parts or None,
            "sampling_params": sampling,
            "return_token_ids": True,
        }

    def _served(self, wanted: str) -> tuple[str, int]:
        try:
            reply = self._fetch("GET", "/v1/models", wire.SHORT)
            if not reply.is_success:
                raise self._refusal(reply.status, f"status {reply.status}")
            models = {one.id: one for one in wire.models_in(reply.body)}
        except httpx2.TransportError as error:
            raise Transient(f"no answer: {type(error).__name__}", where=self.where, mend=START) from None
        except wire.Unreadable as error:
            raise self._not_ours(f"it is no vLLM server: what it says of its models can't be read: {error}") from None
        most = self._chosen(models, wanted).max_model_len
        if most is None:
            raise self._not_ours("it is no vLLM server")
        return self._chosen(models, wanted).id, most

    def _chosen(self, models: Mapping[str, wire.Model], wanted: str) -> wire.Model:
        if wanted in models:
            return models[wanted]
        if wanted or len(models) != 1:
            told = f"it serves {', '.join(models)[:TOLD_CHARS] or 'no model'}"
            raise InputError(told, where=self.where, mend="set model to one of these")
        (only,) = models.values()
        return only

    def _fetch(self, method: str, path: str, most_bytes: int, document: Any = None) -> wire.Received:
        return wire.fetch(self._client, method, f"{self._root}{path}", most_bytes, self._timeout_s, document)

    def _refusal(self, status: int, told: str) -> DmforgeError:
        if status == 401:
            return InputError("it refuses the key", where=self.where, mend="set the variable that key_name names")
        if status in (403, 404):
            return self._not_ours("it takes no tokens at /inference/v1/generate")
        return self._not_ours(f"it refuses: {told}")

    def _not_ours(self, what: str) -> InputError:
        return InputError(what, where=self.where, mend=START)

    def _is_alive(self) -> bool:
        try:
            return self._fetch("GET", "/health", wire.SHORT).is_success
        except (httpx2.TransportError, wire.Unreadable):
            return False


def _words(reply: wire.Received) -> str:
    return reply.body[: 4 * TOLD_CHARS].decode("utf-8", "replace")[:TOLD_CHARS]


def _url(clip: Parcel) -> str:
    return MEDIA + base64.b64encode(clip.to_bytes()).decode()
