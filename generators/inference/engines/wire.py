"""Reads a server's answers with distrust: never more bytes than an answer can have, and nothing that is malformed.

A server that is named is one's own, but what speaks at its address may be a proxy, another version, or vLLM on its way down.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import httpx2
from pydantic import BaseModel, Field, ValidationError

from dmforge.generators.inference.engines.messages import Generate, Generated

SHORT = 1 << 20
"""Bytes of an answer that holds no tokens: names of models, words of a refusal."""
BYTES_SHOWN, BYTES_WRITTEN = 32, 4096
"""Bytes that an answer spends on a token that the model was shown: its number. Of one that it wrote: its text, its bytes, two
log-probabilities."""
RULED_OUT = -9999.0
"""How a server says minus infinity."""


class Unreadable(Exception):
    """An answer with the right status whose body can't be read."""


class Nonsense(Exception):
    """An answer with log-probabilities that are no numbers: the model itself has failed over this row."""


class OwnDraws(Exception):
    """An answer whose tokens were not drawn by our logits processor."""


@dataclass(frozen=True, slots=True)
class Received:
    """A complete HTTP response."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


def fetch(client: httpx2.Client, method: str, url: str, max_bytes: int, timeout_s: float, json_body: Any = None) -> Received:
    """Make one request. A body that doesn't end, in bytes or in time, is an answer that can't be read."""
    end_s = time.monotonic() + timeout_s
    with client.stream(method, url, json=json_body) as response:
        # packed bytes can be a thousand times as many: we asked for none
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Unreadable("the answer is compressed")
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > max_bytes:
                raise Unreadable(f"the answer has more than {max_bytes} bytes")
            if time.monotonic() > end_s:
                raise Unreadable(f"the answer didn't end in {timeout_s:g} s")
        return Received(response.status_code, bytes(body))


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
    """A model that the server serves."""

    id: str
    max_model_len: Annotated[int, Field(gt=0, le=1 << 24)] | None = None
    """vLLM's name for the context length."""


class _Models(BaseModel):
    data: list[Model]


def longest(request: Generate, context_tokens: int) -> int:
    """The most bytes that the answer to a request can have, for a model with this context length."""
    return SHORT + BYTES_SHOWN * context_tokens + BYTES_WRITTEN * request.max_tokens


def models_in(body: bytes) -> list[Model]:
    """The models in a server's answer to `/v1/models`."""
    return _read(_Models, body).data


def gone_in(body: bytes, request: Generate) -> Generated:
    """The result in the answer to a request."""
    answer = _read(_Answer, body)
    (choice,) = answer.choices
    ids, token_log_probs = tuple(choice.token_ids), choice.logprobs.content
    if len(ids) != len(token_log_probs):
        raise Unreadable(f"the answer has {len(token_log_probs)} log-probabilities for {len(ids)} tokens")
    drawn_log_probs = [token.logprob for token in token_log_probs]
    other_log_probs = [log_prob.logprob for token in token_log_probs for log_prob in token.top_logprobs[1:]]
    if not all(map(math.isfinite, drawn_log_probs)) or any(map(math.isnan, other_log_probs)):
        raise Nonsense("a log-probability is no number")
    if any(log_prob > RULED_OUT for log_prob in other_log_probs):
        raise OwnDraws
    # a server that shuts down ends its rows where they are, and sends them with the status of a complete answer
    if len(ids) > request.max_tokens or (len(ids) < request.max_tokens and ids[-1] not in request.stops):
        raise Unreadable(f"the answer stops after {len(ids)} tokens for no reason")
    details = answer.usage.prompt_tokens_details
    return Generated(tuple(answer.prompt_token_ids), ids, tuple(drawn_log_probs), (details and details.cached_tokens) or 0)


T = TypeVar("T", bound=BaseModel)


def _read(model: type[T], body: bytes) -> T:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        # the field and the rule only: the value itself is untrusted, and may be long
        first_error = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(map(str, first_error["loc"]))
        raise Unreadable(
            f"{field}: {first_error['msg'].lower()}" if field else "the answer is no JSON of the expected form"
        ) from None
