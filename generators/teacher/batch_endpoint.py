"""HTTP of batches, in the shape that OpenAI gave them: a file of requests is uploaded, a batch is made of it and asked after,
and the files with what came are downloaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx2

from dmforge.curation.io.byte_limit import ByteLimit
from dmforge.generators.teacher.http_bounds import MAX_REPLY, NEVER_SENT, EndlessResponse, client, timeouts
from dmforge.generators.teacher.response import TeacherRefusal, read_response, shown
from dmforge.generators.teacher.teacher_config import TeacherConfig

CHAT = "/v1/chat/completions"
"""What the requests of a batch are for, as providers name it."""
MAX_BATCH_BYTES = 4 << 30
"""The most bytes of a file with what came of a batch."""
MAX_PAGES = 20
"""The most pages of batches that are searched, newest first: a hundred on each."""
UPLOAD_S = 3600.0
"""Seconds that an upload or a download may take."""
UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling")
State = Literal["under way", "completed", "failed", "expired", "cancelled"]
STATES: Mapping[str, State] = {
    "completed": "completed", "failed": "failed", "expired": "expired", "cancelled": "cancelled", "canceled": "cancelled",
}  # fmt: skip
NO_LIST = (404, 405, 501)
"""Statuses of an endpoint that lists no batches: there is no way to know, then."""
NAME = "dmforge"
"""The field of a batch's metadata by which it is found again."""


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """A batch, as its provider describes it."""

    id: str
    state: State
    result_files: tuple[str, ...]
    """Files with what came, for requests that were answered and for those that failed."""
    words: str
    """What is wrong with the whole batch; empty where nothing is."""
    name: str
    """The name that it was given when it was made."""
    request_file: str
    """The file that it was made of."""


class BatchEndpoint:
    """The part of an endpoint that takes batches."""

    def __init__(self, config: TeacherConfig) -> None:
        self._config, self._url = config, config.endpoint.rstrip("/")

    @cached_property
    def _client(self) -> httpx2.AsyncClient:
        http = client(self._url, MAX_BATCH_BYTES)
        http.headers.update({**self._config.extra_headers, "Authorization": f"Bearer {self._config.key}"})
        http.timeout = timeouts(self._config.timeout_s)
        return http

    async def aclose(self) -> None:
        """Close the connections, if there are any."""
        if "_client" in vars(self):
            await self._client.aclose()

    async def upload(self, requests: Path, name: str) -> str | TeacherRefusal:
        """Upload a file of requests; its id."""
        with requests.open("rb") as file:
            parts = {"files": {"file": (f"{name}.jsonl", file, "application/jsonl")}, "data": {"purpose": "batch"}}
            document = await self._document("POST", "/files", name, timeout=timeouts(UPLOAD_S), **parts)
        if isinstance(document, TeacherRefusal):
            return document
        return _text(document, "id") or TeacherRefusal("unreadable", f"the upload was given no id: {document}")

    async def create(self, file_id: str, name: str) -> RemoteBatch | TeacherRefusal:
        """Make a batch of an uploaded file."""
        body = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", "metadata": {NAME: name}}
        return _batch(await self._document("POST", "/batches", name, json=body))

    async def get(self, batch_id: str) -> RemoteBatch | TeacherRefusal:
        """How it stands with a batch."""
        return _batch(await self._document("GET", f"/batches/{quote(batch_id, safe='')}"))

    async def find(self, name: str) -> RemoteBatch | TeacherRefusal | None:
        """The batch that was made under a name, if one was: a kill may come between asking for it and noting it."""
        parameters: dict[str, Any] = {"limit": 100}
        for _ in range(MAX_PAGES):
            document = await self._document("GET", "/batches", params=parameters)
            if isinstance(document, TeacherRefusal):
                return None if document.status in NO_LIST else document
            rows = document.get("data")
            batches = (
                [batch for row in rows if isinstance(row, dict) for batch in [_batch(row)]] if isinstance(rows, list) else []
            )
            remote_batches = [batch for batch in batches if isinstance(batch, RemoteBatch)]
            named = next((batch for batch in remote_batches if batch.name == name and batch.state != "failed"), None)
            if named is not None or not remote_batches or document.get("has_more") is not True:
                return named
            parameters["after"] = remote_batches[-1].id
        return None

    async def download(self, file_id: str, place: Path) -> TeacherRefusal | None:
        """Download a file."""
        try:
            async with self._client.stream(
                "GET", f"{self._url}/files/{quote(file_id, safe='')}/content", timeout=timeouts(UPLOAD_S)
            ) as response:
                if response.status_code >= 300:
                    return _refusal(response.status_code, response.headers, await _body(response))
                with place.open("wb") as file:
                    async for chunk in response.aiter_bytes():
                        file.write(chunk)
        except httpx2.HTTPError as error:
            return TeacherRefusal("passing", f"the connection broke: {error or type(error).__name__}")
        return None

    async def delete_file(self, file_id: str) -> dict[str, Any] | TeacherRefusal:
        """Delete a file, with the frames in it. Who doesn't let one do that keeps it."""
        return await self._document("DELETE", f"/files/{quote(file_id, safe='')}")

    async def _document(
        self, method: str, path: str, idempotency_key: str = "", **options: Any
    ) -> dict[str, Any] | TeacherRefusal:
        """The object that a request is answered with."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        try:
            async with self._client.stream(method, self._url + path, headers=headers, **options) as response:
                status, body = response.status_code, await _body(response)
        except NEVER_SENT as error:
            return TeacherRefusal("passing", f"no connection to {self._url}: {error or type(error).__name__}")
        except httpx2.HTTPError as error:
            return TeacherRefusal("passing", f"no answer from {self._url}{path}: {error or type(error).__name__}")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if status < 300 and isinstance(document, dict):
            return document
        if status < 300:
            return TeacherRefusal("unreadable", shown(body.decode("utf-8", "replace")), status)
        return _refusal(status, response.headers, body)


async def _body(response: httpx2.Response) -> bytes:
    byte_limit = ByteLimit(MAX_REPLY, lambda: EndlessResponse(f"the reply has more than {MAX_REPLY >> 20} MB"))
    return b"".join([byte_limit.passed(chunk) async for chunk in response.aiter_bytes()])


def _refusal(status: int, headers: Mapping[str, str], body: bytes) -> TeacherRefusal:
    refusal = read_response(status, headers, body)
    return refusal if isinstance(refusal, TeacherRefusal) else TeacherRefusal("unreadable", shown(str(refusal)), status)


def _batch(document: dict[str, Any] | TeacherRefusal) -> RemoteBatch | TeacherRefusal:
    if isinstance(document, TeacherRefusal):
        return document
    batch_id, status = _text(document, "id"), _text(document, "status")
    if not batch_id or not (status in UNDER_WAY or status in STATES):
        return TeacherRefusal("unreadable", f"that is no batch: {shown(json.dumps(document))}", 200)
    metadata, errors = document.get("metadata"), document.get("errors")
    name = _text(metadata, NAME) if isinstance(metadata, dict) else ""
    faults = errors.get("data") if isinstance(errors, dict) else None
    fault_parts = [(_text(fault, "code"), _text(fault, "message")) for fault in faults or () if isinstance(fault, dict)]
    fault_texts = [": ".join(filter(None, parts)) for parts in fault_parts]
    files = tuple(filter(None, (_text(document, "output_file_id"), _text(document, "error_file_id"))))
    return RemoteBatch(
        batch_id, STATES.get(status, "under way"), files, shown("; ".join(fault_texts)), name, _text(document, "input_file_id")
    )


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
