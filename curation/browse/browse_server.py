"""The pages of `dmforge browse`: rows of a view, counts of its columns, cards, side by side what one task has, decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import duckdb
from aiohttp import web
from pydantic import ValidationError

from dmforge.curation.browse.map_points import MAX_COLOURS, MapRegion
from dmforge.curation.browse.row_cards import RowCards
from dmforge.curation.browse.row_index import FACETS
from dmforge.curation.browse.row_query import DECISION, SCORE, RowQuery
from dmforge.curation.browse.row_selection import PAGE_ROWS, ColumnCounts, RowSelection, filters_of
from dmforge.curation.browse.saved_views import MAX_NAME_CHARS, delete_view, save_view, saved_views
from dmforge.curation.local_pages.decision_desk import DecidedSubject, DecisionDesk
from dmforge.curation.local_pages.loopback import TEMPLATES as SHARED
from dmforge.curation.local_pages.loopback import application, html_response, requested_id
from dmforge.curation.local_pages.request_guard import RequestGuard
from dmforge.curation.local_pages.video_files import VideoFiles
from dmforge.curation.report.cards import Card
from dmforge.curation.report.html_text import plain
from dmforge.curation.report.page import environment
from dmforge.curation.sources.reviews import REASONS
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.config import Config
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.ids import Id, show
from dmforge.schemas.records import SubjectKind

T = TypeVar("T")
TEMPLATES = Path(__file__).parent / "templates"
ASSETS: Mapping[str, Path] = dict.fromkeys(("browse.js", "browse.css", "facets.js", "map.js", "map.css"), TEMPLATES)
MAX_SIDE_BY_SIDE, MAX_PICTURED = 24, 6
"""How many candidates of a task are put side by side, and of how many the frames of their looks are read."""
MAX_PAGES = 10_000_000
OUTDATED = "the lake has changed since it was read: end browse with Ctrl-C, and start it again"


class SavedViewBody(Config):
    """A view with its name, as a page sends it; without an address it is deleted."""

    name: str
    """What it is called."""
    address: str | None = None
    """What follows the question mark of its address."""


class BrowseServer:
    """The web application over one index, for one person; without a desk nothing is decided."""

    def __init__(
        self,
        workspace: WorkspaceFolder,
        selection: RowSelection,
        row_cards: RowCards,
        reviewer: str | None,
        title: str,
        guard: RequestGuard,
    ) -> None:
        self._workspace, self._selection, self._row_cards, self._title = workspace, selection, row_cards, title
        self._index = selection.index
        self._videos = VideoFiles(workspace, self._index.holds_video)
        self._desk = DecisionDesk(workspace, reviewer, self._shown_among) if reviewer is not None else None
        for review in self._desk.reviews.values() if self._desk else ():
            selection.note_decision(review.subject, review.decision)
        self._state_read = _state(workspace)
        self._templates = environment(TEMPLATES, SHARED)
        self._templates.get_template("side_by_side.html")  # compiled now: the first card need not wait for it
        pages = {
            "/": self._shell, "/rows": self._rows, "/facets": self._facets, "/scores": self._scores, "/map": self._map,
            "/samples/{id}": self._sample, "/tasks/{id}": self._side_by_side, "/views": self._views,
            "/media/{id}.mp4": self._videos.file,
        }  # fmt: skip
        self.app = application(guard, {"GET": pages, "POST": {"/reviews": self._decide, "/views": self._save_view}}, ASSETS)

    async def _shell(self, request: web.Request) -> web.Response:
        filters = [(name, self._index.scores[name].min_score) for name in filters_of(self._index)]
        facets = {**FACETS, **({DECISION: f"Decided by {self._desk.reviewer}"} if self._desk else {})}
        values = {
            "title": self._title, "total": len(self._index), "facets": facets, "filters": filters, "score": SCORE,
            "reviewer": self._desk.reviewer if self._desk else None, "reasons": REASONS, "max_name_chars": MAX_NAME_CHARS,
        }  # fmt: skip
        return html_response(self._templates.get_template("browse.html").render(values))

    async def _rows(self, request: web.Request) -> web.Response:
        query = self._query(request)
        page_text = request.query.get("page", "1")
        if not page_text.isdecimal() or not 1 <= int(page_text[:12]) <= MAX_PAGES:
            raise web.HTTPBadRequest(text="there is no such page")
        page = await _in_thread(partial(self._selection.page, query, int(page_text) - 1))
        rows_json = [self._row_json(row, query) for row in page.rows]
        return web.json_response({
            "total": page.total, "page": page.page + 1, "pages": max(1, -(-page.total // PAGE_ROWS)), "rows": rows_json,
            "outdated": _state(self._workspace) != self._state_read,
        })  # fmt: skip

    async def _facets(self, request: web.Request) -> web.Response:
        query, columns = self._query(request), request.query.getall("of", [])
        counts = [await _in_thread(partial(self._selection.counts, query, column)) for column in dict.fromkeys(columns)]
        return web.json_response([_counts_json(column_counts) for column_counts in counts])

    async def _scores(self, request: web.Request) -> web.Response:
        query, filters = self._query(request), filters_of(self._index)
        counts = await _in_thread(lambda: [self._selection.score_counts(query, filter_name) for filter_name in filters])
        return web.json_response([asdict(score_counts) for score_counts in counts])

    async def _map(self, request: web.Request) -> web.Response:
        query, column = self._query(request), request.query.get("by", "kind")
        question_map = await _in_thread(self._selection.question_map)
        if question_map is None:
            return web.json_response({"measured": 0})
        points = await _in_thread(partial(self._selection.map_points, question_map, query, column))
        names = [{"label": plain(name), "questions": count} for name, count in points.names[:MAX_COLOURS]]
        others = sum(count for _, count in points.names[MAX_COLOURS:])
        return web.json_response({
            "measured": question_map.measured, "kept_variance": question_map.kept_variance, "names": names, "others": others,
            "places": points.places.tolist(), "codes": points.codes.tolist(),
            "regions": [self._region_json(region) for region in points.regions], "further": points.further_regions,
        })  # fmt: skip

    async def _sample(self, request: web.Request) -> web.Response:
        row = self._row(request.match_info["id"])
        shown_cards = await self._cards([row])
        task_rows = self._index.rows_of_task(int(self._index.tasks[row]))
        values = {"card": shown_cards[0], "beside": len(task_rows), "review": self._review(self._index.id(row))}
        return html_response(self._templates.get_template("row.html").render(values))

    async def _side_by_side(self, request: web.Request) -> web.Response:
        row = self._row(request.match_info["id"])
        rows = [
            task_row
            for task_row in self._index.rows_of_task(int(self._index.tasks[row]))
            if self._index.subject_kind(task_row) == "candidate"
        ]
        shown_cards = await self._cards(rows[:MAX_SIDE_BY_SIDE] or [row])
        values = {"cards": shown_cards, "further": max(0, len(rows) - MAX_SIDE_BY_SIDE)}
        return html_response(self._templates.get_template("side_by_side.html").render(values))

    async def _views(self, request: web.Request) -> web.Response:
        return web.json_response(await _in_thread(partial(saved_views, self._workspace)))

    async def _save_view(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="views are JSON")
        try:
            body = SavedViewBody.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(text=error.errors()[0]["msg"]) from None
        if body.address is None:
            return web.json_response(await _in_thread(partial(delete_view, self._workspace, body.name)))
        return web.json_response(await _in_thread(partial(save_view, self._workspace, body.name, body.address)))

    async def _decide(self, request: web.Request) -> web.Response:
        if self._desk is None:
            raise web.HTTPForbidden(text="nobody decides here: start it with --as NAME")
        review = await self._desk.decide(request, self._decided_subject)
        self._selection.note_decision(review.subject, review.decision)
        return web.json_response({"review": self._review(review.subject)})

    def _decided_subject(self, id_text: str) -> DecidedSubject:
        subject, row = requested_id(id_text), self._row(id_text)
        kind: SubjectKind = self._index.subject_kind(row) if self._index.id(row) == subject else "task"
        return DecidedSubject(subject, kind, self._index.video(row))

    async def _cards(self, rows: Sequence[int]) -> list[Card]:
        try:
            shown_cards = await _in_thread(partial(self._row_cards.cards_of, rows, MAX_PICTURED))
        except (DmforgeError, duckdb.Error) as error:
            raise web.HTTPConflict(text=f"{OUTDATED} ({error})") from None
        if not shown_cards:
            raise web.HTTPConflict(text=OUTDATED)
        return shown_cards

    def _query(self, request: web.Request) -> RowQuery:
        self._selection.hide(self._videos.forgotten())
        try:
            return RowQuery.read(request.rel_url.raw_query_string)
        except InputError as error:
            raise web.HTTPBadRequest(text=str(error)) from None

    def _row(self, id_text: str) -> int:
        """The row that an id names, or the first one of the task that it names."""
        row = self._index.find(requested_id(id_text))
        if row is None:
            raise web.HTTPNotFound(text="it is not in this workspace")
        if self._videos.is_forgotten(self._index.video(row)):
            raise web.HTTPGone(text="its video was taken down")
        return row

    def _row_json(self, row: int, query: RowQuery) -> dict[str, Any]:
        index = self._index
        sorting = index.scores.get(query.sort_column.removeprefix(SCORE)) if query.sort_column.startswith(SCORE) else None
        names = {column: index.facets[column].name(row) for column in ("state", "reason", "subject", "kind", "teacher")}
        return {
            "id": index.printed_id(row), "task": show("task", index.task_id(row)),
            **{key: plain(text) for key, text in {**names, "question": index.question(row)}.items()},
            "score": sorting.score(row) if sorting else None, "review": self._review(index.id(row)),
        }  # fmt: skip

    def _region_json(self, region: MapRegion) -> dict[str, Any]:
        question = self._index.of_tasks.questions[region.example].as_py()
        named = {"label": plain(region.name), "named": region.named, "example": plain(question)}
        return {"area": list(region.area), "questions": region.questions, **named}

    def _review(self, subject: Id) -> dict[str, str] | None:
        return self._desk.as_json(subject) if self._desk else None

    def _shown_among(self, reviews: Iterable[Id]) -> list[Id]:
        return [subject for subject in reviews if self._index.find(subject) is not None]


def _state(workspace: WorkspaceFolder) -> frozenset[tuple[str, int]]:
    """When commits of each stage came or went the last time."""
    folders = workspace.commits.iterdir() if workspace.commits.exists() else ()
    return frozenset((folder.name, folder.stat().st_mtime_ns) for folder in folders)


def _counts_json(column_counts: ColumnCounts) -> dict[str, Any]:
    names = [{**asdict(name_count), "label": plain(name_count.name)} for name_count in column_counts.names]
    return {"column": column_counts.column, "names": names, "further": column_counts.further}


async def _in_thread(work: Callable[[], T]) -> T:
    """Work beside the loop of the server; what is wrong with a request is said to whoever sent it."""
    try:
        return await asyncio.to_thread(work)
    except InputError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
