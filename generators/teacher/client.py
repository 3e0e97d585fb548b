"""One question to an OpenAI-compatible endpoint, asked until there is an answer or no hope of one for now."""

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

from dmforge.curation.accounts import COUNTS, FREE, Account, Price, Usage
from dmforge.curation.lake.journal import Answer
from dmforge.curation.stage import AskConfig
from dmforge.generators.teacher.advice import final_error, said, too_large, unreadable
from dmforge.generators.teacher.limits import Limiter
from dmforge.generators.teacher.reach import NEVER_SENT, client, timeouts
from dmforge.generators.teacher.response import Refusal, read_response, shown
from dmforge.schemas.config import Operational
from dmforge.schemas.errors import InputError, Transient
from dmforge.schemas.replies import Reply
from dmforge.schemas.sizes import Size

URL, KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
NO_KEY = "none"
"""What is sent where no key is set: a server on one's own machine wants none."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Between tries where the server doesn't say how long to wait: each is twice the one before."""
LEAST_OF_PAUSE = 1 / 8
"""Of that pause, which is waited for even where the server says less: it may always say 0."""
LONGEST_WAIT_S = 365 * 86_400.0
"""A server that says more than a year says nothing."""
MANY = 20
"""Responses in a row that are of no use, until it isn't the questions that are at fault: no more are sent, or paid for."""
SHORTEST_KEY = 8
"""Letters of a key that is a secret: `none`, `EMPTY` and `x` are words of any text, and servers at home take them."""
BYTES_A_TOKEN = 4
"""Of English. At most a byte is a token, which bounds what a text can cost."""
OVERHEAD = 100
"""Tokens of roles and brackets, at most."""

Part = dict[str, Any]
"""A part of a message: text or an image."""


def without_key(url: str) -> str:
    """An address that may be written down."""
    told = urlsplit(url)
    if told.username or told.password or told.query:
        mend = "leave that out; the key is read from the environment, from the variable that `key_name` names"
        raise InputError("an endpoint's address holds a name, a key or a query", where="base_url", mend=mend)
    return url


Address = Annotated[str, AfterValidator(without_key)]


class TeacherConfig(AskConfig):
    """Whom to ask, and how patiently. The key is read from OPENAI_API_KEY and stands nowhere else."""

    model: str
    """The model's name, as the endpoint knows it."""
    base_url: Operational[Address] = ""
    """The endpoint, up to and including /v1. Empty: what OPENAI_BASE_URL says."""
    key_name: Operational[str] = KEY
    """The variable of the environment that holds the key."""
    temperature: float = 0.7
    """Of sampling: further attempts at a task should differ."""
    max_output_tokens: PositiveInt = 2048
    """A longer reply is cut off. It also bounds what a call can cost."""
    reply_tokens: Operational[PositiveInt] = 120
    """What a plan takes a reply to be: only the teacher knows how much it will say."""
    requests_a_minute: Operational[PositiveFloat | None] = None
    """The endpoint's limit; without one, what its headers say, if they say anything."""
    tokens_a_minute: Operational[PositiveFloat | None] = None
    """The same for tokens, of questions and answers together."""
    timeout_s: Operational[PositiveFloat] = 300.0
    """Seconds until a request is given up and sent again."""
    patience_s: Operational[PositiveFloat] = 1800.0
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
        limits = {name: getattr(self, name) for name in ("requests_a_minute", "tokens_a_minute")}
        shares = {name: limit and limit / askers for name, limit in limits.items()}
        return super().shared(askers).model_copy(update=shares)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is put to a teacher."""

    name: str
    """By which a server that knows how answers the same request once only."""
    instruction: str
    parts: Sequence[Part]
    reply: type[Reply]
    attempt: int
    images: int
    size: Size
    """Of each image."""

    def sent_bytes(self) -> int:
        """Text and images, as they go out."""
        return self.text_bytes() + sum(len(part["image_url"]["url"]) for part in self.parts if part["type"] == "image_url")

    def text_bytes(self) -> int:
        texts = (part["text"] for part in self.parts if part["type"] == "text")
        return len(self.instruction.encode()) + sum(len(text.encode()) for text in texts)


def image_tokens(price: Price, images: int, size: Size) -> int:
    """What so many images of a size count."""
    return images * (size.tokens if price.image_tokens is None else price.image_tokens)


def missing(config: TeacherConfig, stage: str, account: Account) -> InputError | None:
    """What a teacher can't be asked without, as far as that is known before it is."""
    where = f"[stages.{stage}] model = {config.model!r}"
    if not config.endpoint:
        return InputError("no endpoint is named", where=where, mend=f"set base_url there, or {URL} in the environment")
    named = where if config.base_url else URL
    if not _is_address(config.endpoint):
        hint = "give it whole: http://127.0.0.1:8000/v1, say"
        return InputError(f"{config.endpoint!r} is no endpoint's address", where=named, mend=hint)
    try:
        without_key(config.endpoint)
    except InputError as error:
        return InputError(error.message, where=named, mend=error.mend)
    if not _is_key(os.environ.get(config.key_name) or NO_KEY):
        message = "the key holds a space, a line end or a letter that no key has"
        return InputError(message, where=config.key_name, mend="set the variable to the key and nothing else")
    if account.budget_usd is not None and config.model not in config.prices:
        mend = f"write down [prices.{json.dumps(config.model)}]: input_usd and output_usd, a million tokens; 0 if it is free"
        return InputError("a budget can't be kept without prices", where=where, mend=mend)
    return None


class Teacher:
    """A model behind an endpoint."""

    def __init__(self, config: TeacherConfig, stage: str, account: Account) -> None:
        from openai import AsyncOpenAI

        if error := missing(config, stage, account):
            raise error
        self._config, self._stage, self._account = config, stage, account
        self._limiter = Limiter(config.requests_a_minute, config.tokens_a_minute)
        self._over: tuple[str, str] | None = None
        self._useless = 0
        self._url, self._key = config.endpoint, os.environ.get(config.key_name) or NO_KEY
        self._client = AsyncOpenAI(
            base_url=self._url,
            api_key=self._key,
            max_retries=0,
            timeout=timeouts(config.timeout_s),
            http_client=client(self._url),
        )

    async def aclose(self) -> None:
        """Leave no connection open."""
        await self._client.close()

    async def ask(self, asked: Asked) -> Answer:
        """The model's answer, good or not."""
        most = self._most(asked)
        pause_s, failures, began_s = FIRST_PAUSE_S, 0, time.monotonic()
        while True:
            outcome = await self._tried(asked, most)
            if not isinstance(outcome, Refusal):
                self._useless = 0
                return outcome
            if outcome.kind == "filtered":  # this one question, and no other: an answer like any refusal
                return {"content": "", "refusal": shown(outcome.words), "finish": "content_filter", "usage": {}}
            if outcome.kind == "final":
                raise final_error(outcome, self._config.model, self._url, self._config.key_name)
            if outcome.kind == "too large":
                sizes = asked.images, asked.sent_bytes(), self._config.max_output_tokens
                raise self._useless_for(*too_large(outcome, self._config.model, *sizes))
            failed = Transient(f"the teacher fails: {said(outcome)}")
            if outcome.kind == "unreadable":
                failed = self._useless_for(*unreadable(outcome, self._url))
            failures += outcome.kind != "busy"  # that is no failure: the question was not even looked at
            if failures > self._config.retries:
                raise failed
            await self._pause(outcome, pause_s, began_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _tried(self, asked: Asked, most: Usage) -> Answer | Refusal:
        """What comes of asking once, paid for."""
        self._stop_if_over()
        most_usd = self._config.price.usd(most)
        await self._account.reserve(most_usd)
        used = Usage()
        try:
            await self._limiter.turn(self._likely(asked))
            self._stop_if_over()
            used = most  # from here on, and until something comes back, nobody knows what is charged
            outcome = await self._sent(asked)
            if not isinstance(outcome, Refusal):
                used = _usage(outcome, most)
            elif not outcome.may_cost:
                used = Usage()
            return outcome
        finally:
            self._account.settle(self._stage, self._config.model, most_usd, used, self._config.price.usd(used))

    def _stop_if_over(self) -> None:
        if self._over is not None:
            what, mend = self._over
            raise Transient(what, mend=mend)

    def _likely(self, asked: Asked) -> int:
        """Tokens of a question and its answer, for the pace: counted at the most, a limit would be used to a quarter."""
        pictures = image_tokens(self._config.price, asked.images, asked.size)
        return pictures + asked.text_bytes() // BYTES_A_TOKEN + self._config.reply_tokens

    def _most(self, asked: Asked) -> Usage:
        """No call can cost more than this."""
        pictures = image_tokens(self._config.price, asked.images, asked.size)
        text = asked.text_bytes() + len(str(asked.reply.json_schema())) + OVERHEAD
        return Usage(1, pictures + text, self._config.max_output_tokens)

    async def _pause(self, refusal: Refusal, pause_s: float, began_s: float) -> None:
        """Wait before the question is put again: as long as the server says, if that is to be borne."""
        hint, patience_s = refusal.hint, self._config.patience_s
        if hint.of_the_day:
            self._end_stage(f"the teacher's quota of the day is used up: {shown(refusal.words)}", "run again tomorrow")
        if hint.wait_s is not None and hint.wait_s > patience_s:
            why = f"the teacher asks not to be asked again before {_clock(hint.wait_s)}: {said(refusal)}"
            self._end_stage(why, f"run again then; or raise patience_s, now {patience_s:g}, and a run waits for it")
        if hint.wait_s is None and refusal.kind != "busy":  # this question alone: others may be answered meanwhile
            await asyncio.sleep(pause_s * random.uniform(1, 1.25))
            return
        # who says the same again and again means longer
        wait_s = max(hint.wait_s or pause_s, pause_s * LEAST_OF_PAUSE)
        if time.monotonic() + wait_s > began_s + patience_s:
            raise Transient(f"the teacher is asked too much: {said(refusal)}")
        self._limiter.refused(wait_s)

    def _end_stage(self, what: str, mend: str) -> None:
        """Nobody is asked any more in this stage: what is left stays pending."""
        self._over = what, mend
        self._stop_if_over()

    def _useless_for(self, what: str, mend: str) -> Transient:
        """One question that got nothing; of many in a row it follows that the others would not either."""
        self._useless += 1
        if self._useless >= MANY:
            self._over = what, f"{mend}; {MANY} responses in a row were such, so no more was asked"
        return Transient(what, mend=mend)

    async def _sent(self, asked: Asked) -> Answer | Refusal:
        """What comes of one request, whatever comes: without the key, which some servers send back."""
        import openai

        try:
            async with asyncio.timeout(self._config.timeout_s):
                response = await self._request(asked)
        except openai.APIStatusError as error:
            response = error.response
        except (openai.APIConnectionError, TimeoutError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, NEVER_SENT):
                return Refusal("passing", f"no connection to {self._url}: {cause or type(cause).__name__}")
            if isinstance(error, (openai.APITimeoutError, TimeoutError)):
                return Refusal("passing", f"no answer within timeout_s = {self._config.timeout_s:g}", may_cost=True)
            return Refusal("passing", f"the connection broke: {cause or type(cause).__name__}", may_cost=True)
        outcome = read_response(response.status_code, response.headers, response.content)
        if isinstance(outcome, Refusal):
            return replace(outcome, words=self._without_key(outcome.words))
        self._limiter.answered(response.headers)
        return {name: self._without_key(part) if isinstance(part, str) else part for name, part in outcome.items()}

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "(the key)") if len(self._key) >= SHORTEST_KEY else text

    async def _request(self, asked: Asked) -> httpx2.Response:
        schema = {"name": asked.reply.name, "strict": True, "schema": asked.reply.json_schema()}
        messages: Any = [{"role": "system", "content": asked.instruction}, {"role": "user", "content": list(asked.parts)}]
        response = await self._client.chat.completions.with_raw_response.create(
            model=self._config.model,
            messages=messages,
            temperature=self._config.temperature,
            max_completion_tokens=self._config.max_output_tokens,
            seed=asked.attempt,
            response_format={"type": "json_schema", "json_schema": schema},  # pyright: ignore[reportArgumentType]
            extra_headers={"Idempotency-Key": asked.name},
        )
        return response.http_response  # not parsed by the SDK, which takes whatever comes for what it expects


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that don't close, a port beyond all ports
        return False


def _is_key(key: str) -> bool:
    return key.isascii() and key.isprintable() and key == key.strip()


def _usage(answer: Answer, most: Usage) -> Usage:
    """What the server says that an answer cost; who says nothing, or nonsense, is taken to charge the most."""
    counts = answer["usage"]
    return Usage(1, counts.get(COUNTS[0], most.input_tokens), counts.get(COUNTS[1], most.output_tokens))


def _clock(wait_s: float) -> str:
    """When so many seconds will be over, here."""
    at = datetime.now().astimezone() + timedelta(seconds=min(wait_s, LONGEST_WAIT_S))
    return at.strftime("%Y-%m-%d %H:%M")
