"""How a request to a teacher ended, for whoever follows the run: what may be a reply is not repeated."""

from __future__ import annotations

from dmforge.curation.contract.budget import RequestEnd
from dmforge.curation.lake.journal import Answer
from dmforge.generators.teacher.response import TeacherRefusal, shown

OK = 200
NO_OUTCOME = "the run ended before an answer came"
NO_COMPLETION = "no chat completion came"
"""Whatever came instead: it may be the reply, in a shape that isn't known."""


def request_end(outcome: Answer | TeacherRefusal | None, seconds: float) -> RequestEnd:
    """How a request that was sent ended; without an outcome it was stopped."""
    seconds = round(seconds, 3)
    if outcome is None:
        return RequestEnd(None, NO_OUTCOME, seconds)
    if not isinstance(outcome, TeacherRefusal):
        return RequestEnd(OK, "", seconds)
    return RequestEnd(outcome.status, NO_COMPLETION if outcome.kind == "unreadable" else shown(outcome.words), seconds)
