"""Settings of a teacher: whom to ask, how, and how patiently; and what is missing of them before anything is asked."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dmforge.curation.contract.budget import FREE, Budget, Price
from dmforge.curation.contract.stage import AskConfig
from dmforge.generators.teacher.profiles import BatchLimits, Profile, find_profile
from dmforge.schemas.config import Formerly, Later, Operational
from dmforge.schemas.errors import InputError

URL, KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
NO_KEY = "none"
"""Sent in place of a key where none is set: a local server wants none."""
SECRET_HEADERS = re.compile("authorization|cookie|key|token|secret", re.IGNORECASE)
"""Names of headers that hold secrets."""
BATCHED_INPUTS = 5_000
"""Inputs that are worked on at once where questions go in batches: each waits for hours."""
LIKE_A_KEY = re.compile(r"(?=.*[a-z])(?=.*[0-9]).{20,}")
"""What may be a variable's name by its letters, and is a key, such as Google's or Groq's, by its looks."""
TEMPERATURE = 0.7
"""The temperature of a recipe that names none: it stands in no key of a question."""


def without_key(url: str) -> str:
    """Check that an address holds no secret, so that it may be stored; return it."""
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        hint = "leave that out; the key is read from the environment, from the variable that `api_key_env` names"
        raise InputError("an endpoint's address holds a name, a key or a query", where="base_url", hint=hint)
    return url


def _known_profile(name: str) -> str:
    find_profile(name)
    return name


def _variable_name(name: str) -> str:
    """Check that a text may name a variable of the environment: a key itself doesn't, most of the time."""
    if name and (not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or LIKE_A_KEY.fullmatch(name)):
        hint = "name the variable, such as OPENAI_API_KEY; the key itself belongs into the environment"
        raise InputError("that is no name of a variable of the environment", where="api_key_env", hint=hint)
    return name


def _without_secrets(headers: dict[str, str]) -> dict[str, str]:
    for name in headers:
        if SECRET_HEADERS.search(name):
            hint = "leave it out; the key is read from the environment, from the variable that `api_key_env` names"
            raise InputError(f"the header {name!r} would put a key into the recipe", where="extra_headers", hint=hint)
    return headers


def _beside_the_question(parameters: dict[str, Any]) -> dict[str, Any]:
    for name in parameters.keys() & {"model", "messages", "stream", "n"}:
        hint = "leave it out: dmforge sets it, and reads one whole reply"
        raise InputError(f"{name!r} is no further parameter", where="extra_body", hint=hint)
    return parameters


Variable = Annotated[str, AfterValidator(_variable_name)]
Address = Annotated[str, AfterValidator(without_key)]


class TeacherConfig(AskConfig):
    """Whom to ask, how, and how patiently: `[teacher]` for all stages that ask, and a stage's own table where it differs. The
    key is read from the environment and stands nowhere else."""

    model: str
    """The model's name, as the endpoint knows it."""
    earlier_models: Later[tuple[str, ...]] = ()
    """Models that were asked before, in order: what one of them has answered, by the journal, stands, and nobody asks them any
    more. All else is asked of `model`."""
    profile: Annotated[Operational[str], AfterValidator(_known_profile)] = ""
    """Who serves it, where known: openai, gemini, anthropic, openrouter, vllm, llama.cpp, ollama, dashscope. It sets what is
    known of that provider's interface, as far as the recipe doesn't say otherwise: docs/teachers.md."""
    base_url: Operational[Address] = ""
    """The endpoint, up to and including /v1. Empty: the profile's; without a profile, what OPENAI_BASE_URL says."""
    api_key_env: Annotated[Operational[Variable], Formerly("key_name")] = ""
    """The variable of the environment that holds the key. Empty: the profile's, or OPENAI_API_KEY."""
    temperature: Annotated[float, Field(ge=0, le=2)] | Literal["default"] = TEMPERATURE
    """Of sampling: further attempts at a task should differ. `"default"` leaves it to the provider."""
    max_output_tokens: PositiveInt = 8192
    """A longer reply is cut off; what a model thinks before it speaks counts, too. A reply that was cut off is asked for once
    more with twice as much, and again, up to four times as much."""
    reasoning: Later[Literal["none", "minimal", "low", "medium", "high"] | PositiveInt | None] = None
    """How much to think, where a provider has it: an effort, or a number of tokens."""
    max_images: Later[Annotated[int, Field(ge=2)] | None] = None
    """The most images that the endpoint takes in one request. A clip with more is sent as evenly chosen pairs of its frames,
    each under its own stamp: what a student sees is not changed."""
    max_request_mb: Later[PositiveFloat | None] = None
    """The most megabytes of a request: as many images are sent as should fit."""
    frames_as: Later[Literal["images", "video"]] = "images"
    """How the frames of a clip are sent. `images`: two under each stamp, to any endpoint. `video`: the same frames under the
    same stamps as one video of half as many visual tokens, to a vLLM server with dmforge's plug-in: docs/teachers.md."""
    structured_output: Operational[Literal["auto", "json_schema", "json_object", "prompt"]] = "auto"
    """What a reply's form is asked for by: a schema, a mode of the endpoint, or words alone. `auto` begins with the first that
    the profile knows of, and takes the next one where the endpoint refuses it."""
    extra_body: Later[Annotated[dict[str, Any], AfterValidator(_beside_the_question)]] = Field(default_factory=dict[str, Any])
    """More parameters of each request, as they are sent."""
    extra_headers: Operational[Annotated[dict[str, str], AfterValidator(_without_secrets)]] = Field(
        default_factory=dict[str, str]
    )
    """More headers of each request. No keys: a recipe is stored and passed on."""
    reply_tokens: Operational[PositiveInt] = 120
    """What a plan takes a reply to be: only the teacher knows how much it will say."""
    requests_per_minute: Annotated[Operational[PositiveFloat | None], Formerly("requests_a_minute")] = None
    """The endpoint's limit; without one, what its headers say, if they say anything."""
    tokens_per_minute: Annotated[Operational[PositiveFloat | None], Formerly("tokens_a_minute")] = None
    """The same for tokens, of questions and answers together."""
    batch: Operational[bool] = False
    """Send questions by the provider's batch endpoint: at half the price, and answered within a day. A run waits; it may be
    stopped, and the next one goes on waiting."""
    batch_requests: Operational[PositiveInt] = 50_000
    """The most requests of one batch."""
    timeout_s: Operational[PositiveFloat] = 300.0
    """Seconds until a request is given up and sent again."""
    wait_timeout_s: Annotated[Operational[PositiveFloat], Formerly("patience_s")] = 1800.0
    """Seconds that a task waits for a server which says that it is asked too much; then it stays pending."""
    retries: Operational[NonNegativeInt] = 6
    """How often a request is sent again after an error of the server or the network; then its task stays pending."""
    prices: Operational[dict[str, Price]] = Field(default_factory=dict[str, Price])
    """By model: the recipe's `[prices]`."""

    @model_validator(mode="after")
    def _refuse_itself_as_earlier(self) -> Self:
        if self.model and self.model in self.earlier_models:
            raise ValueError(f"`earlier_models` names {self.model!r}, the model that is asked now: its answers stand anyhow")
        return self

    @property
    def known(self) -> Profile:
        """What is known of the provider."""
        return find_profile(self.profile)

    @property
    def endpoint(self) -> str:
        return self.base_url or self.known.base_url or os.environ.get(URL, "")

    @property
    def key_variable(self) -> str:
        return self.api_key_env or self.known.api_key_env or KEY

    @property
    def key(self) -> str:
        return os.environ.get(self.key_variable) or NO_KEY

    @property
    def in_flight(self) -> int:
        return BATCHED_INPUTS if self.batch else self.concurrency

    @property
    def finishes_calls(self) -> bool:
        return not self.batch  # what is out stays out, and the next run waits for it

    @property
    def batch_limits(self) -> BatchLimits:
        """How large one batch may be."""
        limits = self.known.batches or BatchLimits()
        return replace(limits, requests=min(limits.requests, self.batch_requests))

    @property
    def sampling(self) -> dict[str, Any]:
        """The parameters of sampling that aren't the default: they are part of what is asked."""
        values = {"temperature": self.temperature, "reasoning": self.reasoning, "extra_body": self.extra_body or None}
        defaults = {"temperature": TEMPERATURE}
        return {name: value for name, value in values.items() if value != defaults.get(name)}

    @property
    def price(self) -> Price:
        price = self.prices.get(self.model, FREE)
        return price.in_batch() if self.batch else price

    def each(self) -> list[TeacherConfig]:
        """One configuration for each teacher that is asked."""
        return [self]

    def shared(self, askers: int) -> Self:
        limits = {name: getattr(self, name) for name in ("requests_per_minute", "tokens_per_minute")}
        shares = {name: limit and limit / askers for name, limit in limits.items()}
        return super().shared(askers).model_copy(update=shares)


class TeacherDefaults(TeacherConfig):
    """What a recipe says of its teachers, once for all stages: any of their settings."""

    model: str = ""
    """The model's name, as the endpoint knows it."""


def missing(config: TeacherConfig, stage: str, account: Budget) -> InputError | None:
    """The error for a setting that is missing to ask a teacher, as far as it can be known beforehand; None if there is none."""
    if account.asks_nobody:
        return None
    where = _where(config, stage)
    if not config.endpoint:
        return InputError("no endpoint is named", where=where, hint=f"set base_url there, or {URL} in the environment")
    if config.frames_as == "video" and config.profile not in ("", "vllm"):
        hint = "leave frames_as out: a video of these frames can be read by a vLLM server with dmforge's plug-in alone"
        return InputError(f"{config.profile} takes no frames as a video", where=f"{where}, frames_as", hint=hint)
    if config.batch and config.known.batches is None:
        hint = "leave batch out; or name the profile of one that has them"
        return InputError(f"{config.profile} takes no batches", where=f"{where}, batch", hint=hint)
    if (error := wrong_endpoint(config, stage)) is not None:
        return error
    key = os.environ.get(config.key_variable)
    if not key and _wants_key(config):
        hint = f"set it to your key; or give base_url, if {config.profile} isn't whom you ask"
        return InputError(
            f"{config.key_variable} is not set, and profile = {config.profile!r} needs a key", where=where, hint=hint
        )
    if config.api_key_env and key is None:
        hint = f"set it to the key, to {NO_KEY!r} where a local server wants none; or leave api_key_env out"
        return InputError(f"{config.api_key_env} is not set, and api_key_env names it", where=where, hint=hint)
    if not _is_key(key or NO_KEY):
        message = "the key holds a space, a line end or a letter that no key has"
        return InputError(message, where=config.key_variable, hint="set the variable to the key and nothing else")
    if account.budget_usd is not None and config.model not in config.prices:
        hint = f"write down [prices.{json.dumps(config.model)}]: input_usd and output_usd, a million tokens; 0 if it is free"
        return InputError("a budget can't be kept without prices", where=where, hint=hint)
    return None


def wrong_endpoint(config: TeacherConfig, stage: str) -> InputError | None:
    """The error for an endpoint that is named and can't be one."""
    setting = _where(config, stage) if config.base_url or config.profile else URL
    if config.endpoint and not _is_address(config.endpoint):
        hint = "give the whole address: http://127.0.0.1:8000/v1, say"
        return InputError(f"{config.endpoint!r} is no endpoint's address", where=setting, hint=hint)
    try:
        without_key(config.endpoint)
    except InputError as error:
        return InputError(error.message, where=setting, hint=error.hint)
    return None


def _where(config: TeacherConfig, stage: str) -> str:
    return f"[stages.{stage}] model = {config.model!r}"


def _wants_key(config: TeacherConfig) -> bool:
    """Whether it is a known provider that is asked, where it is known to be: local servers want no key."""
    return not config.base_url and config.known.base_url.startswith("https://")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # unclosed brackets, or a port out of range
        return False


def _is_key(key: str) -> bool:
    return key.isascii() and key.isprintable() and key == key.strip()
