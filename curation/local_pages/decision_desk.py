"""The desk of one reviewer: decisions that a page sends are checked, written down, and on the disk once acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field, ValidationError

from dmforge.curation.sources.reviews import (
    MAX_NOTE_CHARS,
    GoldEdit,
    Review,
    append,
    read_windows,
    review_path,
    reviews_of,
)
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.config import Config
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.ids import Id
from dmforge.schemas.records import SubjectKind

MAX_WINDOWS = 64


class GoldBody(Config):
    """What should be right for a task, as a page sends it."""

    answer: Annotated[str, Field(max_length=4_000)] = ""
    """The right answer."""
    windows: Annotated[tuple[str, ...], Field(max_length=MAX_WINDOWS)] = ()
    """Where it shows, each as a span: `12.00 - 20.00`."""


class DecisionBody(Config):
    """A decision, as a page sends it."""

    id: str
    """The subject."""
    decision: Literal["keep", "reject", "comment"]
    """What is to become of it; a comment leaves that open."""
    reason: Literal["", "wrong answer", "wrong window", "not what is seen", "bad question", "unsafe", "other", "wrong gold"] = (
        ""
    )
    """Why it is rejected."""
    note: Annotated[str, Field(max_length=MAX_NOTE_CHARS)] = ""
    """Whatever else there is to say."""
    gold: GoldBody | None = None
    """What should be right instead: of a task that is rejected for its gold."""


@dataclass(frozen=True, slots=True)
class DecidedSubject:
    """What a decision is about."""

    subject: Id
    subject_kind: SubjectKind
    video: Id


class DecisionDesk:
    """The decisions of one reviewer on the subjects of a page."""

    def __init__(
        self, workspace: WorkspaceFolder, reviewer: str, shown_among: Callable[[Mapping[Id, Review]], Iterable[Id]]
    ) -> None:
        """`shown_among` are those of earlier decisions whose subjects are on the page."""
        self.reviewer = reviewer
        reviews_file = review_path(workspace, reviewer)
        earlier_reviews = reviews_of(reviews_file) if reviews_file.exists() else {}
        self._review_by_subject = {subject: earlier_reviews[subject] for subject in shown_among(earlier_reviews)}
        self._workspace, self._writing = workspace, asyncio.Lock()

    @property
    def reviews(self) -> Mapping[Id, Review]:
        """The decisions that count, by subject."""
        return self._review_by_subject

    def as_json(self, subject: Id) -> dict[str, str] | None:
        """What was decided on a subject, for its page."""
        review = self._review_by_subject.get(subject)
        return {"decision": review.decision, "reason": review.reason, "note": review.note} if review else None

    async def decide(self, request: web.Request, find: Callable[[str], DecidedSubject]) -> Review:
        """Write down the decision of a request; `find` refuses what the page does not show."""
        body = await _decision_body(request)
        subject = find(body.id)
        if body.gold is not None and (subject.subject_kind != "task" or body.reason != "wrong gold"):
            raise web.HTTPBadRequest(text="gold is corrected for a task, with the reason wrong gold")
        gold_edit = _gold_edit(body.gold) if body.gold is not None else GoldEdit()
        review = Review(
            subject.video, subject.subject, subject.subject_kind, self.reviewer, body.decision, body.reason,
            _utf8_text(body.note), gold_answer=gold_edit.answer, gold_windows=gold_edit.windows,
        )  # fmt: skip
        async with self._writing:
            try:
                await asyncio.shield(asyncio.to_thread(append, self._workspace, review))
            except DmforgeError as error:
                raise web.HTTPInternalServerError(text=str(error)) from None
            self._review_by_subject[subject.subject] = review
        return review


async def _decision_body(request: web.Request) -> DecisionBody:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="decisions are JSON")
    try:
        body = DecisionBody.model_validate_json(await request.read())
    except ValidationError as error:
        raise web.HTTPBadRequest(text=error.errors()[0]["msg"]) from None
    if (body.decision == "reject") != bool(body.reason):
        raise web.HTTPBadRequest(text="a rejection has a reason, and nothing else has one")
    if body.decision == "comment" and not body.note.strip():
        raise web.HTTPBadRequest(text="a comment says something")
    return body


def _gold_edit(gold: GoldBody) -> GoldEdit:
    try:
        windows = read_windows(gold.windows)
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    answer = _utf8_text(gold.answer)
    if not answer and not windows:
        raise web.HTTPBadRequest(text="give the right answer, or a window")
    return GoldEdit(answer, windows)


def _utf8_text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().strip()
