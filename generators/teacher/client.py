"""One question to an OpenAI-compatible endpoint, asked until there is an answer or no hope of one for now."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from dmforge.curation.accounts import FREE, Account, Price, Usage
from dmforge.curation.lake.journal import Answer
from dmforge.curation.stage import AskConfig
from dmforge.generators.teacher.limits import Limiter, read_hint
from dmforge.generators.teacher.reach import client
from dmforge.schemas.config import Operational
from dmforge.schemas.errors import DmforgeError, InputError, Transient
from dmforge.schemas.replies import Reply
from dmforge.schemas.sizes import Size

if TYPE_CHECKING:
    from openai import APIError, RateLimitError

URL, KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
LONGEST_PAUSE_S = 30.0
PASSING = (408, 409)
"""Refusals that may be otherwise the next time: a time-out, a conflict. All from 500 on may, too."""
FILTERED = ("content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation")
"""Bad requests that say something about one question only."""
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
    try:
        without_key(config.endpoint)
    except InputError as error:
        return InputError(error.what, where=where if config.base_url else URL, mend=error.mend)
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
        self._over = ""
        url = config.endpoint
        self._key = os.environ.get(config.key_name) or "none"  # a server on one's own machine wants none
        self._client = AsyncOpenAI(
            base_url=url, api_key=self._key, max_retries=0, timeout=config.timeout_s, http_client=client(url)
        )

    async def aclose(self) -> None:
        """Leave no connection open."""
        await self._client.close()

    async def ask(self, asked: Asked) -> Answer:
        """The model's answer, good or not."""
        import openai

        most = self._most(asked)
        pause_s, failures, began_s = 0.5, 0, time.monotonic()
        while True:
            if self._over:
                raise Transient(self._over)
            await self._account.reserve(self._config.price.usd(most))
            used = Usage()
            try:
                await self._limiter.turn(self._likely(asked))
                answer, headers = await self._asked(asked)
                used = _usage(answer, most)
                self._limiter.answered(headers)
                return answer
            except openai.RateLimitError as error:  # no failure: it says that the question was not even looked at
                self._slow_down(error, pause_s)
                if time.monotonic() - began_s > self._config.patience_s:
                    raise Transient("the teacher is asked too much") from error
            except openai.BadRequestError as error:
                if error.code not in FILTERED:
                    self._give_up_if(error, error.status_code, 0)
                # this one question, and no other: an answer like any refusal
                return {"content": "", "refusal": self._without_key(error), "finish": "content_filter", "usage": {}}
            except (openai.APIError, ValueError) as error:
                status = error.status_code if isinstance(error, openai.APIStatusError) else None
                if status is None:  # the question was under way: nobody knows what was charged
                    used = most
                failures += 1
                self._give_up_if(error, status, failures)
                await asyncio.sleep(pause_s * random.uniform(1, 1.25))
            except asyncio.CancelledError:
                used = most
                raise
            finally:
                usd = self._config.price.usd(used)
                most_usd = self._config.price.usd(most)
                self._account.settle(self._stage, self._config.model, most_usd, used, usd)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _likely(self, asked: Asked) -> int:
        """Tokens of a question and its answer, for the pace: counted at the most, a limit would be used to a quarter."""
        pictures = image_tokens(self._config.price, asked.images, asked.size)
        return pictures + asked.text_bytes() // BYTES_A_TOKEN + self._config.reply_tokens

    def _most(self, asked: Asked) -> Usage:
        """No call can cost more than this."""
        pictures = image_tokens(self._config.price, asked.images, asked.size)
        text = asked.text_bytes() + len(str(asked.reply.json_schema())) + OVERHEAD
        return Usage(1, pictures + text, self._config.max_output_tokens)

    def _slow_down(self, error: RateLimitError, pause_s: float) -> None:
        hint = read_hint(error.response.headers, _body(error))
        if hint.no_money:
            told = f"the teacher refuses: {self._without_key(error)}"
            raise DmforgeError(told, mend="the account behind the key has no credit left; nothing was lost") from None
        if hint.of_the_day:
            self._over = "the teacher's quota of the day is used up"
            raise Transient(self._over) from None
        self._limiter.refused(hint, pause_s)

    def _give_up_if(self, error: Exception, status: int | None, failures: int) -> None:
        """What is no use to repeat stops the stage; what has failed too often leaves its task pending."""
        if status is not None and status < 500 and status not in PASSING:
            mend = "check the model's name, the key and the endpoint; nothing was lost"
            raise DmforgeError(f"the teacher refuses with {status}: {self._without_key(error)}", mend=mend) from None
        if failures > self._config.retries:
            raise Transient(f"the teacher fails: {status or type(error).__name__}") from error

    def _without_key(self, error: Exception) -> str:
        """What the server said; some send back the key that they were shown."""
        return str(error).replace(self._key, "(the key)")

    async def _asked(self, asked: Asked) -> tuple[Answer, Mapping[str, str]]:
        from openai.types.chat import ChatCompletion

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
        completion: Any = response.parse()
        # what an address gives that is no such endpoint: a page, a list, anything
        if not isinstance(completion, ChatCompletion) or not completion.choices or not completion.choices[0].message:  # pyright: ignore
            raise ValueError("an answer that is no chat completion")
        message = completion.choices[0].message
        usage = completion.usage.model_dump(include={"prompt_tokens", "completion_tokens"}) if completion.usage else {}
        told = {
            "content": message.content or "", "refusal": message.refusal or "",
            "finish": completion.choices[0].finish_reason, "usage": usage,
        }  # fmt: skip
        return told, response.headers


def _usage(answer: Answer, most: Usage) -> Usage:
    """What the server says that an answer cost; who says nothing is taken to charge the most."""
    told = answer.get("usage") or {}
    return Usage(1, told.get("prompt_tokens", most.input_tokens), told.get("completion_tokens", most.output_tokens))


def _body(error: APIError) -> Any:
    """What stands in a refusal, whole: the SDK keeps a part of it."""
    response = getattr(error, "response", None)
    try:
        return response.json() if response is not None else error.body
    except ValueError:
        return error.body
