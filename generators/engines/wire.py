"""What a server sends, read with distrust: never more bytes than an answer can have, and nothing taken for an answer that is
none.

A server that is named is one's own, but what speaks at its address may be a proxy, another version, or vLLM on its way down.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import httpx2
from pydantic import BaseModel, Field, ValidationError

from dmforge.generators.engines.legs import Gone, Leg

SHORT = 1 << 20
"""Bytes of whatever isn't the answer to a leg: names of models, words of a refusal."""
BYTES_SHOWN, BYTES_WRITTEN = 32, 4096
"""Of a token that the model was shown: its number. Of one that it wrote: its text, its bytes, two log-probabilities."""
RULED_OUT = -9999.0
"""How a server says minus infinity."""


class Unreadable(Exception):
    """An answer of the right status that is none."""


class Nonsense(Exception):
    """An answer whose numbers are none: the model itself has failed over this row."""


class OwnDraws(Exception):
    """An answer whose tokens another than us has drawn."""


@dataclass(frozen=True, slots=True)
class Received:
    """What came, whole."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


def fetch(client: httpx2.Client, method: str, url: str, most_bytes: int, within_s: float, document: Any = None) -> Received:
    """One request. A body that doesn't end, in bytes or in time, is an answer that can't be read."""
    end_s = time.monotonic() + within_s
    with client.stream(method, url, json=document) as reply:
        # packed bytes can be a thousand times as many: none were asked for
        if reply.headers.get("content-encoding", "identity") != "identity":
            raise Unreadable("it is packed")
        body = bytearray()
        for chunk in reply.iter_raw():
            body += chunk
            if len(body) > most_bytes:
                raise Unreadable(f"it has more than {most_bytes} bytes")
            if time.monotonic() > end_s:
                raise Unreadable(f"it didn't end in {within_s:g} s")
        return Received(reply.status_code, bytes(body))


# what answers look like, as far as they are read

Count = Annotated[int, Field(ge=0, lt=1 << 31)]


class _Likely(BaseModel):
    logprob: float


class _Said(_Likely):
    top_logprobs: list[_Likely] = Field(min_length=1)


class _LogProbs(BaseModel):
    content: list[_Said] = Field(min_length=1)


class _Choice(BaseModel):
    token_ids: list[Count] = Field(min_length=1)
    logprobs: _LogProbs


class _Details(BaseModel):
    cached_tokens: Count | None = None


class _Usage(BaseModel):
    prompt_tokens_details: _Details | None = None


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1, max_length=1)
    prompt_token_ids: list[Count]
    usage: _Usage


class Model(BaseModel):
    """One that is served."""

    id: str
    max_model_len: Annotated[int, Field(gt=0, le=1 << 24)] | None = None
    """vLLM's own word."""


class _Models(BaseModel):
    data: list[Model]


def longest(leg: Leg, context: int) -> int:
    """Bytes that the answer to a leg has at most, of a model with so much context."""
    return SHORT + BYTES_SHOWN * context + BYTES_WRITTEN * leg.most_tokens


def models_in(body: bytes) -> list[Model]:
    """What a server says that it serves."""
    return _read(_Models, body).data


def gone_in(body: bytes, leg: Leg) -> Gone:
    """What came of a leg."""
    told = _read(_Answer, body)
    (choice,) = told.choices
    ids, said = tuple(choice.token_ids), choice.logprobs.content
    if len(ids) != len(said):
        raise Unreadable(f"it has {len(said)} log-probabilities for {len(ids)} tokens")
    numbers = [one.logprob for one in said]
    others = [other.logprob for one in said for other in one.top_logprobs[1:]]
    if not all(map(math.isfinite, numbers)) or any(map(math.isnan, others)):
        raise Nonsense("a log-probability is no number")
    if any(other > RULED_OUT for other in others):
        raise OwnDraws
    # one that goes down ends its rows where they are, and says so with the status of an answer
    if len(ids) > leg.most_tokens or (len(ids) < leg.most_tokens and ids[-1] not in leg.stops):
        raise Unreadable(f"it stops after {len(ids)} tokens for no reason")
    details = told.usage.prompt_tokens_details
    return Gone(tuple(told.prompt_token_ids), ids, tuple(numbers), (details and details.cached_tokens) or 0)


T = TypeVar("T", bound=BaseModel)


def _read(kind: type[T], body: bytes) -> T:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        # by places and rules: what stands there is anyone's, and may be long
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Unreadable(f"{where}: {first['msg'].lower()}" if where else "it is no JSON of ours") from None
