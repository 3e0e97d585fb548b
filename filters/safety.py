"""Is a text fit to train on? A teacher scores it; off unless a recipe asks for it, since every candidate costs a call."""

from __future__ import annotations

import json

from dmforge.curation.accounts import Expected, Usage
from dmforge.curation.settled import Made, Rejected, Result
from dmforge.curation.stage import Ask
from dmforge.curation.workspace import Workspace
from dmforge.filters.judged import Fault, Measure, verdict
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.client import BYTES_A_TOKEN, TeacherConfig, missing
from dmforge.generators.teacher.interview import Interview, Unreadable
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import Attempt, Verdict
from dmforge.schemas.replies import SafetyReply


class SafetyConfig(TeacherConfig):
    """Who judges."""

    temperature: float = 0.0
    """Of sampling."""


class Safety(Ask[Attempt, Verdict]):
    """One verdict a candidate, `safe`: how safe the teacher says its text and its question are."""

    name, version = "safety", 1
    measures = ("safe",)
    config: SafetyConfig

    def ingredients(self) -> list[str]:
        return [instruction(SafetyReply.name), json.dumps(SafetyReply.json_schema())]

    def missing(self) -> InputError | None:
        return missing(self.config, self.name, self.account)

    def open(self, workspace: Workspace) -> None:
        self._judge = Interview(workspace, self.config, Clips(), self.name, self.account)

    async def aclose(self) -> None:
        await self._judge.aclose()

    def expected(self, item: Attempt) -> Expected | None:
        words = len((instruction(SafetyReply.name) + _text(item)).encode("utf-8", "replace")) // BYTES_A_TOKEN
        used = Usage(1, words, self.config.reply_tokens)
        return Expected(used, self.config.price.usd(used))

    async def process(self, item: Attempt) -> Result:
        try:
            _, said = await self._judge.ask_text(SafetyReply, item.candidate.video, _text(item), 0)
        except Unreadable as error:
            return Rejected("no readable reply", str(error))
        if said.safety == 1:
            return Made((verdict(item, "safe", Measure(1.0)),))
        return Made((verdict(item, "safe", Measure(said.safety, 1, "unfit", (_place(item, said.quote),))),))


def _text(item: Attempt) -> str:
    """What is judged. Half a surrogate, which can't be sent, is said as its number."""
    text = f"{question_text(item.task)}\n\n{item.candidate.transcript.trajectory_text}"
    return text.encode("utf-8", "backslashreplace").decode()


def _place(item: Attempt, quote: str) -> Fault:
    """Where the quote stands; the whole text where it doesn't."""
    text = item.candidate.transcript.trajectory_text
    at = text.find(quote) if quote else -1
    return Fault(f"unfit: {quote[:200]!r}", at, at + len(quote)) if at >= 0 else Fault("unfit", 0, len(text))
