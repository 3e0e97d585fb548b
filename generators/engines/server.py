"""One leg over HTTP, asked until there is an answer or no hope of one.

By vLLM's way of tokens in and tokens out: a chat's way would make text of what the policy wrote and other tokens of the text.
A clip that the server has had goes by its name alone; if it has dropped it, it says so, and is sent the frames again.
"""

from __future__ import annotations

import base64
import os
import time
from typing import Any

import httpx2

from dmforge.generators.engines.contract import Failed
from dmforge.generators.engines.legs import Gone, Leg
from dmforge.generators.engines.parcels import MEDIA, Parcel
from dmforge.generators.engines.served import Room
from dmforge.generators.engines.settings import ServerSettings
from dmforge.schemas.errors import DmforgeError, InputError, Transient

START = "start it by: python -m dmforge.generators.engines.serve CHECKPOINT --port 8000, where dmforge and vllm are installed"
RULED_OUT = -9999.0
"""How a server says minus infinity."""
LONGEST_PAUSE_S = 30.0
TOLD_CHARS = 300


class Server:
    """A vLLM server with our loader and our processor of logits."""

    def __init__(self, settings: ServerSettings) -> None:
        key = os.environ.get(settings.key_name)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx2.Limits(max_connections=settings.rows, max_keepalive_connections=settings.rows)
        self.where, self._retries = settings.base_url, settings.retries
        self._root = settings.base_url.rstrip("/").removesuffix("/v1")
        self._client = httpx2.Client(headers=headers, timeout=settings.timeout_s, limits=limits)
        self._had: set[str] = set()
        self.model, context = self._served(settings.model)
        self.room = Room(context, context)

    def ask(self, leg: Leg) -> Gone | Failed:
        """What came of a leg. A server that is alive and fails over it every time has failed over it."""
        told = ""
        for attempt in range(self._retries + 1):
            if attempt:
                time.sleep(min(LONGEST_PAUSE_S, 0.5 * 2 ** (attempt - 1)))
            by_name = {clip.name for clip in leg.clips} & self._had
            try:
                reply = self._client.post(f"{self._root}/inference/v1/generate", json=self._body(leg, by_name))
            except httpx2.TransportError as error:
                told = f"no answer: {type(error).__name__}"
                continue
            if reply.is_success:
                self._had |= {clip.name for clip in leg.clips}
                return self._gone(reply.json())
            told = f"status {reply.status_code}: {reply.text[:TOLD_CHARS]}"
            self._had -= by_name
            if reply.status_code < 500 and reply.status_code != 429 and not by_name:
                raise self._refusal(reply.status_code, told)
        if told.startswith("status 5") and self._is_alive():
            return Failed(told[: len("status 500")])
        raise Transient(f"the server gives no answer, {told}", where=self.where, mend="see that it is up, and run again")

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

    def _gone(self, told: dict[str, Any]) -> Gone:
        (choice,) = told["choices"]
        said = choice["logprobs"]["content"]
        if any(other["logprob"] > RULED_OUT for one in said for other in one["top_logprobs"][1:]):
            raise self._not_ours("it draws tokens in its own way")
        cached = (told["usage"].get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        log_probs = tuple(float(one["logprob"]) for one in said)
        return Gone(tuple(told["prompt_token_ids"]), tuple(choice["token_ids"]), log_probs, cached)

    def _served(self, wanted: str) -> tuple[str, int]:
        try:
            reply = self._client.get(f"{self._root}/v1/models")
        except httpx2.TransportError as error:
            raise Transient(f"no answer: {type(error).__name__}", where=self.where, mend=START) from None
        if not reply.is_success:
            raise self._refusal(reply.status_code, f"status {reply.status_code}")
        models: dict[str, Any] = {one["id"]: one for one in reply.json()["data"]}
        name = wanted or next(iter(models))
        if name not in models or (not wanted and len(models) > 1):
            raise InputError(f"it serves {', '.join(models)}", where=self.where, mend="set model to one of these")
        most = models[name].get("max_model_len")
        if most is None:
            raise self._not_ours("it is no vLLM server")
        return name, most

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
            return self._client.get(f"{self._root}/health").is_success
        except httpx2.TransportError:
            return False


def _url(clip: Parcel) -> str:
    return MEDIA + base64.b64encode(clip.to_bytes()).decode()
