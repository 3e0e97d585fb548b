"""The videos that a takedown is told to remove: by ids, by names or files, one by one or in lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from dmforge.curation.audit.id_lookup import HINT, MAX_LISTED, TypedId, read_id, require_kind
from dmforge.curation.audit.printed_ids import KINDS
from dmforge.curation.io.atomic import disk_errors
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lifecycle import takedown
from dmforge.curation.sources.videos import listed, videos_by_name
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, show
from dmforge.schemas.records import Video
from dmforge.schemas.visible import shortened

LIST_MARK = "@"
"""What begins the name of a file with a video a line."""
ARGUMENT = "VIDEO"


def video_finder(texts: Sequence[str]) -> Callable[[Lake], Sequence[Id]]:
    """A function that finds videos by their ids, in any form that `why` takes, or by their names; lists are read at once."""
    texts_with_places = [text_with_place for text in texts for text_with_place in _expanded(text)]

    def find_videos(lake: Lake) -> Sequence[Id]:
        known_videos = _KnownVideos(lake)
        return [*dict.fromkeys(known_videos.find(text, where) for text, where in texts_with_places)]

    return find_videos


def _expanded(text: str) -> Iterator[tuple[str, str]]:
    """A text with where it was typed; of a list `@FILE`, that of each line."""
    if not text.startswith(LIST_MARK):
        yield text, ARGUMENT
        return
    list_path = Path(text.removeprefix(LIST_MARK))
    if not list_path.is_file():
        raise InputError("there is no such list", where=str(list_path), hint="`@FILE` is a file with a video a line")
    with disk_errors(list_path):
        list_bytes = list_path.read_bytes()
    try:
        list_lines = list_bytes.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: {error}", where=str(list_path), hint="write an id or a name a line") from None
    entries = [(line.strip(), f"{list_path}:{number}") for number, line in enumerate(list_lines, 1) if line.strip()]
    if not entries:
        raise InputError("the list is empty", where=str(list_path), hint="write an id or a name of a video a line")
    yield from entries


class _KnownVideos:
    """The videos of a lake, by their ids and their names."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    @cached_property
    def _by_name(self) -> Mapping[str, Sequence[Id]]:
        return videos_by_name(listed(self._lake.workspace).values())

    def find(self, text: str, where: str) -> Id:
        """The video that a text means. A whole id needs no video in the lake: a takedown may come before the video."""
        text = text.strip()
        named_videos = self._by_name.get(text, ())
        try:
            typed_id = read_id(text, where)
            if typed_id.kind == Video.kind and typed_id.whole_id is not None:
                return typed_id.whole_id
            videos = self._with_id(typed_id)
        except InputError:
            if not named_videos:
                raise
            videos = []
        matching_videos = list(dict.fromkeys((*named_videos, *videos)))
        if len(matching_videos) == 1:
            return matching_videos[0]
        quoted_text, shown_ids = shortened(text), (show(Video.kind, video) for video in matching_videos[:MAX_LISTED])
        if named_videos:
            hint = f"give the id of one: {', '.join(shown_ids)}"
            raise InputError(f"{quoted_text!r} may mean several videos", where=where, hint=hint)
        if matching_videos:
            hint = f"give more letters: {', '.join(shown_ids)}"
            raise InputError(f"{quoted_text!r} is the beginning of several videos' ids", where=where, hint=hint)
        message = f"{quoted_text!r} is the id of no video here, and the name of none"
        raise InputError(message, where=where, hint=f"give the whole id, video_...; {HINT}")

    def _with_id(self, typed_id: TypedId) -> Sequence[Id]:
        require_kind(typed_id, KINDS)
        if typed_id.kind not in ("", Video.kind):
            message = f"{typed_id.text} is the id of a {typed_id.kind}"
            raise InputError(message, where=typed_id.where, hint="give the id of a video, video_...")
        return [video for low, high in typed_id.ranges for video in takedown.videos_between(self._lake, low, high)]
