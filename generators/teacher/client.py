"""A client of an OpenAI-compatible endpoint: a question is repeated until it is answered or there is no hope for now."""

from __future__ import annotations

import asyncio
import random
import re
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from dmforge.curation.contract.budget import COUNTS, Budget, Price, Usage
from dmforge.curation.contract.run_events import RequestRetried
from dmforge.curation.io.backoff import growing_pauses_s
from dmforge.curation.lake.journal import Answer
from dmforge.generators.teacher.advice import final_error, refusal_text, too_large, unreadable
from dmforge.generators.teacher.batched_requests import BatchedRequests
from dmforge.generators.teacher.content_filters import filter_finish
from dmforge.generators.teacher.direct_requests import DirectRequests
from dmforge.generators.teacher.rate_limits import RateLimiter
from dmforge.generators.teacher.repeated_question import without_question
from dmforge.generators.teacher.request_end import request_end
from dmforge.generators.teacher.request_shape import REFUSING, RequestShape, first_shape
from dmforge.generators.teacher.response import MAX_SEARCHED, TeacherRefusal, read_response, shown
from dmforge.generators.teacher.teacher_config import NO_KEY, TeacherConfig, missing
from dmforge.generators.teacher.teacher_request import Messages, TeacherRequest
from dmforge.schemas.errors import Transient
from dmforge.schemas.replies import Reply
from dmforge.schemas.sizes import Size

FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH = 0.5, 30.0, 2.0
"""Pauses between tries, where the server doesn't say how long to wait."""
MIN_OF_PAUSE = 1 / 8
"""The share of that pause that is waited for even where the server says less: it may always say 0."""
LONGEST_WAIT_S = 365 * 86_400.0
"""Longer waits are cut to this: a server that says more than a year says nothing."""
MANY = 20
"""Useless responses in a row after which the endpoint is at fault, not the questions: no more are sent, or paid for."""
BAD_QUESTION = "bad_question"
"""The `finish` where the endpoint can't read what this question shows, though it has answered others."""
OF_THE_QUESTION = re.compile(r"\bmessages?\b|\bimages?\b|\bcontent\b", re.IGNORECASE)
TOO_LARGE = "too_large"
"""The `finish` where the question had more images, bytes or tokens than the endpoint takes: it is settled by that."""
SHORTEST_KEY = 8
"""The fewest characters of a key that is a secret: `none`, `EMPTY` and `x` occur in any text, and local servers take them."""
BYTES_A_TOKEN = 4
"""Bytes of English in a token. No token is less than a byte, which bounds what a text can cost."""
OVERHEAD = 100
"""The most tokens of roles and brackets."""


def image_tokens(price: Price, images: int, size: Size) -> int:
    """The tokens that so many images of a size count as."""
    return images * (size.tokens if price.image_tokens is None else price.image_tokens)


def max_usage(reply: type[Reply], image_token_count: int, text_bytes: int, limit: int) -> Usage:
    """The most that a call can use: no token of a text is less than a byte."""
    return Usage(1, image_token_count + text_bytes + len(str(reply.json_schema())) + OVERHEAD, limit)


class Teacher:
    """A model behind an endpoint."""

    def __init__(
        self,
        config: TeacherConfig,
        stage: str,
        account: Budget,
        requests: DirectRequests | BatchedRequests | None = None,
        *,
        has_answered: bool = False,
    ) -> None:
        self._config, self._stage, self._account = config, stage, account
        self._missing = missing(config, stage, account)
        # a batch is no burst: its provider takes its time for it
        limits = (None, None) if config.batch else (config.requests_per_minute, config.tokens_per_minute)
        self._limiter = RateLimiter(*limits)
        self._end_message: tuple[str, str] | None = None
        self._useless_in_a_row = 0
        self._has_been_reached = False
        self._shape = first_shape(config)
        self._reported, self._has_answered = Usage(), has_answered
        self._url, self._key = config.endpoint, config.key
        self._requests = requests or DirectRequests(config)

    async def aclose(self) -> None:
        """Close what was opened to send requests."""
        await self._requests.aclose()

    async def ask(self, request: TeacherRequest) -> Answer:
        """The model's answer, good or not."""
        if self._missing is not None:  # all answers may have been there: only who comes to ask needs an endpoint
            raise self._missing
        max_usage = self._max_usage(request)
        pauses_s = growing_pauses_s(FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH)
        failures, start_s = 0, time.monotonic()
        while True:
            outcome = await self._ask_once(request, max_usage)
            if not isinstance(outcome, TeacherRefusal):
                self._useless_in_a_row, self._has_answered = 0, True
                return outcome
            if outcome.is_adapted:  # the next request is written otherwise: no failure
                continue
            if outcome.kind == "filtered":  # it concerns this question alone: an answer like any refusal
                finish = filter_finish(outcome.words)
                return {"content": "", "refusal": shown(outcome.words), "finish": finish, "usage": {}}
            if outcome.kind == "too large" or self._is_about_the_question(outcome):
                return self._settling_answer(outcome, request)
            if outcome.kind == "final":
                variable = self._config.key_variable + ("" if self._key != NO_KEY else ", which is not set")
                error = final_error(outcome, self._config.model, self._url, variable)
                self.end(error.message, error.hint)
                raise error
            error_to_raise = Transient(f"the teacher fails: {refusal_text(outcome)}")
            if outcome.kind == "unreadable":
                error_to_raise = self._useless_error(*unreadable(outcome, self._url))
            failures += outcome.kind != "busy"  # a busy server has not even looked at the question: no failure
            if failures > self._config.retries:
                if outcome.never_arrived and not self._has_been_reached:  # of nobody there, one question tells as much as all
                    hint = "start what serves it, or correct base_url; nobody was there at all, so no more was asked"
                    self.end(error_to_raise.message, hint)
                raise error_to_raise
            await self._pause(outcome, next(pauses_s), start_s)
            self._account.events.emit(RequestRetried(self._stage, self._config.model))

    def _is_about_the_question(self, refusal: TeacherRefusal) -> bool:
        """Whether a refusal that would end the run concerns this question alone: others were answered, and it names what is
        shown."""
        words = f"{refusal.parameter} {refusal.words[:MAX_SEARCHED]}"
        return self._has_answered and refusal.status in REFUSING and OF_THE_QUESTION.search(words) is not None

    def _settling_answer(self, refusal: TeacherRefusal, request: TeacherRequest) -> Answer:
        """The answer that settles a question which the endpoint doesn't take; after many in a row the endpoint is at fault."""
        message, hint, finish = f"the teacher refuses the question: {refusal_text(refusal)}", "", BAD_QUESTION
        if refusal.kind == "too large":
            sizes = request.images, refusal.sent_bytes, self._limit(request)
            (message, hint), finish = too_large(refusal, self._config.model, *sizes), TOO_LARGE
        error = self._useless_error(message, hint)
        if self._end_message is not None:
            raise error
        return {"content": "", "refusal": message, "finish": finish, "usage": {}}

    async def _ask_once(self, request: TeacherRequest, max_usage: Usage) -> Answer | TeacherRefusal:
        """Ask once, within the budget and the rate limit; what it cost is recorded."""
        self._raise_if_ended()
        max_usd = self._config.price.usd(max_usage)
        await self._account.reserve(max_usd)
        usage, sent_s, outcome = Usage(), None, None
        try:
            await self._limiter.turn(self._likely_tokens(request))
            messages = await self._requests.prepared(request)
            self._raise_if_ended()
            # from here until something comes back, it is unknown what is charged
            usage, sent_s = self._estimated_usage(request, max_usage), time.monotonic()
            outcome = await self._send_once(request, messages)
            if not isinstance(outcome, TeacherRefusal):
                usage = self._usage(request, max_usage, outcome)
            elif not outcome.may_cost:
                usage = Usage()
            return outcome
        finally:
            if outcome is None and self._config.batch:  # what is out stays out, and is booked by the run in which it comes
                usage, sent_s = Usage(), None
            end = None if sent_s is None else request_end(outcome, time.monotonic() - sent_s)
            self._account.settle(self._stage, self._config.model, max_usd, usage, self._config.price.usd(usage), end)

    def _raise_if_ended(self) -> None:
        if self._end_message is not None:
            message, hint = self._end_message
            raise Transient(message, hint=hint)

    def _likely_tokens(self, request: TeacherRequest) -> int:
        """Likely tokens of a question and its answer, for the rate limit: with the most, only a quarter of it would be used."""
        return request.image_tokens + request.text_bytes // BYTES_A_TOKEN + self._config.reply_tokens

    def _max_usage(self, request: TeacherRequest) -> Usage:
        """The most that a call can use."""
        return max_usage(request.reply, request.image_tokens, request.text_bytes, self._limit(request))

    def _limit(self, request: TeacherRequest) -> int:
        return self._shape.limit(request.limit or self._config.max_output_tokens)

    def _estimated_usage(self, request: TeacherRequest, max_usage: Usage, answer: Answer | None = None) -> Usage:
        """What a call uses of which nothing is reported: by the model's own other replies; else by the texts, or by what the
        recipe takes a reply to be."""
        output_tokens = self._config.reply_tokens
        if self._reported.calls:
            output_tokens = self._reported.output_tokens // self._reported.calls
        elif answer is not None:
            output_tokens = len(str(answer["content"])) // BYTES_A_TOKEN
        input_tokens = request.image_tokens + request.text_bytes // BYTES_A_TOKEN
        return Usage(1, input_tokens, min(output_tokens, max_usage.output_tokens), estimated=1)

    def _usage(self, request: TeacherRequest, max_usage: Usage, answer: Answer) -> Usage:
        """The usage that a server reports; what it doesn't, or where it is nonsense, is estimated."""
        counts = answer["usage"]
        if len(counts) < len(COUNTS):
            estimated = self._estimated_usage(request, max_usage, answer)
            input_tokens = counts.get(COUNTS[0], estimated.input_tokens)
            return replace(estimated, input_tokens=input_tokens, output_tokens=counts.get(COUNTS[1], estimated.output_tokens))
        usage = Usage(1, counts[COUNTS[0]], counts[COUNTS[1]])
        self._reported += usage
        return usage

    async def _pause(self, refusal: TeacherRefusal, pause_s: float, start_s: float) -> None:
        """Wait before the next try: as long as the server says, within `wait_timeout_s`."""
        hint, wait_timeout_s = refusal.hint, self._config.wait_timeout_s
        if hint.of_the_day:
            self._end_now(f"the teacher's quota of the day is used up: {shown(refusal.words)}", "run again tomorrow")
        if hint.wait_s is not None and hint.wait_s > wait_timeout_s:
            message = f"the teacher asks not to be asked again before {_clock(hint.wait_s)}: {refusal_text(refusal)}"
            self._end_now(message, f"run again then; or raise wait_timeout_s, now {wait_timeout_s:g}, and a run waits for it")
        if hint.wait_s is None and refusal.kind != "busy":  # it concerns this question alone: others may be answered meanwhile
            await asyncio.sleep(pause_s * random.uniform(1, 1.25))
            return
        # a server that says the same again and again means longer
        wait_s = max(hint.wait_s or pause_s, pause_s * MIN_OF_PAUSE)
        if time.monotonic() + wait_s > start_s + wait_timeout_s:
            raise Transient(f"the teacher is asked too much: {refusal_text(refusal)}")
        self._limiter.refused(wait_s)

    def end(self, message: str, hint: str) -> None:
        """Ask no more in this stage: all that is left stays pending."""
        self._end_message = message, hint

    def _end_now(self, message: str, hint: str) -> None:
        self.end(message, hint)
        self._raise_if_ended()

    def _useless_error(self, message: str, hint: str) -> Transient:
        """The error for a useless response; after many in a row, no more questions are asked."""
        self._useless_in_a_row += 1
        if self._useless_in_a_row >= MANY:
            self._end_message = message, f"{hint}; {MANY} responses in a row were like this, so no more was asked"
        return Transient(message, hint=hint)

    async def _send_once(self, request: TeacherRequest, messages: Messages) -> Answer | TeacherRefusal:
        """Send one request; return an answer or a refusal, without the key, which some servers send back."""
        shape = self._shape
        parameters = shape.parameters(self._config, request, self._limit(request))
        response = await self._requests.send(request, messages, parameters, self._limit(request))
        if isinstance(response, TeacherRefusal):
            return response
        self._has_been_reached = True
        outcome = read_response(response.status, response.headers, response.body)
        if isinstance(outcome, TeacherRefusal):
            words = without_question(shown(self._without_key(outcome.words)), [request.instruction, *request.texts])
            outcome = replace(outcome, words=words, sent_bytes=response.sent_bytes)
            return replace(outcome, is_adapted=True) if self._adapts(outcome, shape, parameters) else outcome
        self._limiter.answered(response.headers)
        answer = {name: self._without_key(part) if isinstance(part, str) else part for name, part in outcome.items()}
        return answer | {"limit": response.limit} | ({"batched": True} if response.is_batched else {})

    def _adapts(self, refusal: TeacherRefusal, shape: RequestShape, parameters: dict[str, Any]) -> bool:
        """Whether requests are written otherwise after a refusal that names one of the parameters: by this, or meanwhile."""
        change = shape.after(refusal, parameters, self._config)
        if change is None:
            return False
        if self._shape is shape:
            self._shape, words = change
            words = f"{words} from now on, since the teacher refused with {refusal_text(refusal)}"
            self._account.note(self._stage, self._config.model, words)
        return True

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "(the key)") if len(self._key) >= SHORTEST_KEY else text


def _clock(wait_s: float) -> str:
    """The local time after so many seconds, as text."""
    end = datetime.now().astimezone() + timedelta(seconds=min(wait_s, LONGEST_WAIT_S))
    return end.strftime("%Y-%m-%d %H:%M")
