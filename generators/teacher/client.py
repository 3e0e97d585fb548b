"""A client of an OpenAI-compatible endpoint: a question is repeated until it is answered or there is no hope for now."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import httpx2
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from dmforge.curation.contract.budget import COUNTS, FREE, Budget, Price, Usage
from dmforge.curation.contract.stage import AskConfig
from dmforge.curation.io.backoff import growing_pauses_s
from dmforge.curation.lake.journal import Answer
from dmforge.generators.teacher.advice import final_error, refusal_text, too_large, unreadable
from dmforge.generators.teacher.http_bounds import NEVER_SENT, client, timeouts
from dmforge.generators.teacher.rate_limits import RateLimiter
from dmforge.generators.teacher.response import TeacherRefusal, read_response, shown
from dmforge.schemas.config import Formerly, Operational
from dmforge.schemas.errors import InputError, Transient
from dmforge.schemas.replies import Reply
from dmforge.schemas.sizes import Size

URL, KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
NO_KEY = "none"
"""Sent in place of a key where none is set: a local server wants none."""
FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH = 0.5, 30.0, 2.0
"""Pauses between tries, where the server doesn't say how long to wait."""
MIN_OF_PAUSE = 1 / 8
"""The share of that pause that is waited for even where the server says less: it may always say 0."""
LONGEST_WAIT_S = 365 * 86_400.0
"""Longer waits are cut to this: a server that says more than a year says nothing."""
MANY = 20
"""Useless responses in a row after which the endpoint is at fault, not the questions: no more are sent, or paid for."""
SHORTEST_KEY = 8
"""The fewest characters of a key that is a secret: `none`, `EMPTY` and `x` occur in any text, and local servers take them."""
BYTES_A_TOKEN = 4
"""Bytes of English in a token. No token is less than a byte, which bounds what a text can cost."""
OVERHEAD = 100
"""The most tokens of roles and brackets."""

Part = dict[str, Any]
"""A part of a message: text or an image."""


def without_key(url: str) -> str:
    """Check that an address holds no secret, so that it may be stored; return it."""
    split_url = urlsplit(url)
    if split_url.username or split_url.password or split_url.query:
        hint = "leave that out; the key is read from the environment, from the variable that `api_key_env` names"
        raise InputError("an endpoint's address holds a name, a key or a query", where="base_url", hint=hint)
    return url


Address = Annotated[str, AfterValidator(without_key)]


class TeacherConfig(AskConfig):
    """Whom to ask, and how patiently. The key is read from OPENAI_API_KEY and stands nowhere else."""

    model: str
    """The model's name, as the endpoint knows it."""
    base_url: Operational[Address] = ""
    """The endpoint, up to and including /v1. Empty: what OPENAI_BASE_URL says."""
    api_key_env: Annotated[Operational[str], Formerly("key_name")] = KEY
    """The variable of the environment that holds the key."""
    temperature: float = 0.7
    """Of sampling: further attempts at a task should differ."""
    max_output_tokens: PositiveInt = 2048
    """A longer reply is cut off. It also bounds what a call can cost."""
    reply_tokens: Operational[PositiveInt] = 120
    """What a plan takes a reply to be: only the teacher knows how much it will say."""
    requests_per_minute: Annotated[Operational[PositiveFloat | None], Formerly("requests_a_minute")] = None
    """The endpoint's limit; without one, what its headers say, if they say anything."""
    tokens_per_minute: Annotated[Operational[PositiveFloat | None], Formerly("tokens_a_minute")] = None
    """The same for tokens, of questions and answers together."""
    timeout_s: Operational[PositiveFloat] = 300.0
    """Seconds until a request is given up and sent again."""
    wait_timeout_s: Annotated[Operational[PositiveFloat], Formerly("patience_s")] = 1800.0
    """Seconds that a task waits for a server which says that it is asked too much; then it stays pending."""
    retries: Operational[NonNegativeInt] = 6
    """How often a request is sent again after an error of the server or the network; then its task stays pending."""
    prices: Operational[dict[str, Price]] = Field(default_factory=dict[str, Price])
    """By model: the recipe's `[prices]`."""

    @property
    def endpoint(self) -> str:
        return self.base_url or os.environ.get(URL, "")

    @property
    def price(self) -> Price:
        return self.prices.get(self.model, FREE)

    def shared(self, askers: int) -> Self:
        limit_by_name = {limit_name: getattr(self, limit_name) for limit_name in ("requests_per_minute", "tokens_per_minute")}
        share_by_name = {limit_name: limit and limit / askers for limit_name, limit in limit_by_name.items()}
        return super().shared(askers).model_copy(update=share_by_name)


@dataclass(frozen=True, slots=True)
class TeacherRequest:
    """A request to a teacher."""

    name: str
    """The idempotency key, by which a server may answer the same request only once."""
    instruction: str
    parts: Sequence[Part]
    reply: type[Reply]
    attempt: int
    images: int
    size: Size
    """The size of each image."""

    def sent_bytes(self) -> int:
        """Bytes of text and images, as they are sent."""
        return self.text_bytes() + sum(
            len(message_part["image_url"]["url"]) for message_part in self.parts if message_part["type"] == "image_url"
        )

    def text_bytes(self) -> int:
        part_texts = (message_part["text"] for message_part in self.parts if message_part["type"] == "text")
        return len(self.instruction.encode()) + sum(len(text.encode()) for text in part_texts)


def image_tokens(price: Price, images: int, size: Size) -> int:
    """The tokens that so many images of a size count as."""
    return images * (size.tokens if price.image_tokens is None else price.image_tokens)


def missing(config: TeacherConfig, stage: str, account: Budget) -> InputError | None:
    """The error for a setting that is missing to ask a teacher, as far as it can be known beforehand; None if there is none."""
    where = f"[stages.{stage}] model = {config.model!r}"
    if not config.endpoint:
        return InputError("no endpoint is named", where=where, hint=f"set base_url there, or {URL} in the environment")
    setting_text = where if config.base_url else URL
    if not _is_address(config.endpoint):
        hint = "give the whole address: http://127.0.0.1:8000/v1, say"
        return InputError(f"{config.endpoint!r} is no endpoint's address", where=setting_text, hint=hint)
    try:
        without_key(config.endpoint)
    except InputError as error:
        return InputError(error.message, where=setting_text, hint=error.hint)
    if not _is_key(os.environ.get(config.api_key_env) or NO_KEY):
        problem = "the key holds a space, a line end or a letter that no key has"
        return InputError(problem, where=config.api_key_env, hint="set the variable to the key and nothing else")
    if account.budget_usd is not None and config.model not in config.prices:
        hint = f"write down [prices.{json.dumps(config.model)}]: input_usd and output_usd, a million tokens; 0 if it is free"
        return InputError("a budget can't be kept without prices", where=where, hint=hint)
    return None


class Teacher:
    """A model behind an endpoint."""

    def __init__(self, config: TeacherConfig, stage: str, account: Budget) -> None:
        from openai import AsyncOpenAI

        if error := missing(config, stage, account):
            raise error
        self._config, self._stage, self._account = config, stage, account
        self._limiter = RateLimiter(config.requests_per_minute, config.tokens_per_minute)
        self._end_message: tuple[str, str] | None = None
        self._useless_in_a_row = 0
        self._url, self._key = config.endpoint, os.environ.get(config.api_key_env) or NO_KEY
        self._client = AsyncOpenAI(
            base_url=self._url,
            api_key=self._key,
            max_retries=0,
            timeout=timeouts(config.timeout_s),
            http_client=client(self._url),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def ask(self, request: TeacherRequest) -> Answer:
        """The model's answer, good or not."""
        max_usage = self._max_usage(request)
        pauses_s = growing_pauses_s(FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH)
        failures, start_s = 0, time.monotonic()
        while True:
            answer_or_refusal = await self._ask_once(request, max_usage)
            if not isinstance(answer_or_refusal, TeacherRefusal):
                self._useless_in_a_row = 0
                return answer_or_refusal
            if answer_or_refusal.kind == "filtered":  # it concerns this question alone: an answer like any refusal
                return {"content": "", "refusal": shown(answer_or_refusal.words), "finish": "content_filter", "usage": {}}
            if answer_or_refusal.kind == "final":
                raise final_error(answer_or_refusal, self._config.model, self._url, self._config.api_key_env)
            if answer_or_refusal.kind == "too large":
                request_sizes = request.images, request.sent_bytes(), self._config.max_output_tokens
                raise self._useless_error(*too_large(answer_or_refusal, self._config.model, *request_sizes))
            error_to_raise = Transient(f"the teacher fails: {refusal_text(answer_or_refusal)}")
            if answer_or_refusal.kind == "unreadable":
                error_to_raise = self._useless_error(*unreadable(answer_or_refusal, self._url))
            failures += answer_or_refusal.kind != "busy"  # a busy server has not even looked at the question: no failure
            if failures > self._config.retries:
                raise error_to_raise
            await self._pause(answer_or_refusal, next(pauses_s), start_s)

    async def _ask_once(self, request: TeacherRequest, max_usage: Usage) -> Answer | TeacherRefusal:
        """Ask once, within the budget and the rate limit; what it cost is recorded."""
        self._raise_if_ended()
        max_usd = self._config.price.usd(max_usage)
        await self._account.reserve(max_usd)
        charged_usage = Usage()
        try:
            await self._limiter.turn(self._likely_tokens(request))
            self._raise_if_ended()
            charged_usage = max_usage  # from here until something comes back, it is unknown what is charged
            answer_or_refusal = await self._send_once(request)
            if not isinstance(answer_or_refusal, TeacherRefusal):
                charged_usage = _usage(answer_or_refusal, max_usage)
            elif not answer_or_refusal.may_cost:
                charged_usage = Usage()
            return answer_or_refusal
        finally:
            self._account.settle(self._stage, self._config.model, max_usd, charged_usage, self._config.price.usd(charged_usage))

    def _raise_if_ended(self) -> None:
        if self._end_message is not None:
            message, hint = self._end_message
            raise Transient(message, hint=hint)

    def _likely_tokens(self, request: TeacherRequest) -> int:
        """Likely tokens of a question and its answer, for the rate limit: with the most, only a quarter of it would be used."""
        image_token_count = image_tokens(self._config.price, request.images, request.size)
        return image_token_count + request.text_bytes() // BYTES_A_TOKEN + self._config.reply_tokens

    def _max_usage(self, request: TeacherRequest) -> Usage:
        """The most that a call can use."""
        image_token_count = image_tokens(self._config.price, request.images, request.size)
        text_bytes = request.text_bytes() + len(str(request.reply.json_schema())) + OVERHEAD
        return Usage(1, image_token_count + text_bytes, self._config.max_output_tokens)

    async def _pause(self, refusal: TeacherRefusal, pause_s: float, start_s: float) -> None:
        """Wait before the next try: as long as the server says, within `wait_timeout_s`."""
        hint, wait_timeout_s = refusal.hint, self._config.wait_timeout_s
        if hint.of_the_day:
            self._end_stage(f"the teacher's quota of the day is used up: {shown(refusal.words)}", "run again tomorrow")
        if hint.wait_s is not None and hint.wait_s > wait_timeout_s:
            message = f"the teacher asks not to be asked again before {_clock(hint.wait_s)}: {refusal_text(refusal)}"
            self._end_stage(message, f"run again then; or raise wait_timeout_s, now {wait_timeout_s:g}, and a run waits for it")
        if hint.wait_s is None and refusal.kind != "busy":  # it concerns this question alone: others may be answered meanwhile
            await asyncio.sleep(pause_s * random.uniform(1, 1.25))
            return
        # a server that says the same again and again means longer
        wait_s = max(hint.wait_s or pause_s, pause_s * MIN_OF_PAUSE)
        if time.monotonic() + wait_s > start_s + wait_timeout_s:
            raise Transient(f"the teacher is asked too much: {refusal_text(refusal)}")
        self._limiter.refused(wait_s)

    def _end_stage(self, message: str, hint: str) -> None:
        """Ask no more in this stage: all that is left stays pending."""
        self._end_message = message, hint
        self._raise_if_ended()

    def _useless_error(self, message: str, hint: str) -> Transient:
        """The error for a useless response; after many in a row, no more questions are asked."""
        self._useless_in_a_row += 1
        if self._useless_in_a_row >= MANY:
            self._end_message = message, f"{hint}; {MANY} responses in a row were like this, so no more was asked"
        return Transient(message, hint=hint)

    async def _send_once(self, request: TeacherRequest) -> Answer | TeacherRefusal:
        """Send one request; return an answer or a refusal, without the key, which some servers send back."""
        import openai

        try:
            async with asyncio.timeout(self._config.timeout_s):
                response = await self._post(request)
        except openai.APIStatusError as error:
            response = error.response
        except (openai.APIConnectionError, TimeoutError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, NEVER_SENT):
                return TeacherRefusal("passing", f"no connection to {self._url}: {cause or type(cause).__name__}")
            if isinstance(error, (openai.APITimeoutError, TimeoutError)):
                return TeacherRefusal("passing", f"no answer within timeout_s = {self._config.timeout_s:g}", may_cost=True)
            return TeacherRefusal("passing", f"the connection broke: {cause or type(cause).__name__}", may_cost=True)
        answer_or_refusal = read_response(response.status_code, response.headers, response.content)
        if isinstance(answer_or_refusal, TeacherRefusal):
            return replace(answer_or_refusal, words=self._without_key(answer_or_refusal.words))
        self._limiter.answered(response.headers)
        return {
            field_name: self._without_key(field_value) if isinstance(field_value, str) else field_value
            for field_name, field_value in answer_or_refusal.items()
        }

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "(the key)") if len(self._key) >= SHORTEST_KEY else text

    async def _post(self, request: TeacherRequest) -> httpx2.Response:
        reply_schema = {"name": request.reply.name, "strict": True, "schema": request.reply.json_schema()}
        messages: Any = [{"role": "system", "content": request.instruction}, {"role": "user", "content": list(request.parts)}]
        response = await self._client.chat.completions.with_raw_response.create(
            model=self._config.model,
            messages=messages,
            temperature=self._config.temperature,
            max_completion_tokens=self._config.max_output_tokens,
            seed=request.attempt,
            response_format={"type": "json_schema", "json_schema": reply_schema},  # pyright: ignore[reportArgumentType]
            extra_headers={"Idempotency-Key": request.name},
        )
        return response.http_response  # not parsed by the SDK, which trusts whatever comes


def _is_address(url: str) -> bool:
    try:
        split_url = urlsplit(url)
        return split_url.scheme in ("http", "https") and bool(split_url.hostname) and split_url.port != 0
    except ValueError:  # unclosed brackets, or a port out of range
        return False


def _is_key(key: str) -> bool:
    return key.isascii() and key.isprintable() and key == key.strip()


def _usage(answer: Answer, max_usage: Usage) -> Usage:
    """The usage that a server reports; where it reports nothing, or nonsense, the most."""
    token_counts_by_name = answer["usage"]
    return Usage(
        1,
        token_counts_by_name.get(COUNTS[0], max_usage.input_tokens),
        token_counts_by_name.get(COUNTS[1], max_usage.output_tokens),
    )


def _clock(wait_s: float) -> str:
    """The local time after so many seconds, as text."""
    end_time = datetime.now().astimezone() + timedelta(seconds=min(wait_s, LONGEST_WAIT_S))
    return end_time.strftime("%Y-%m-%d %H:%M")
