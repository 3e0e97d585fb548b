"""A look-up of the row that a person means: by its id, a video's name or file, a line of a file, or words that it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from dmforge.curation.audit.id_lookup import MIN_LETTERS, RowLocation, RowMatch, SeveralMatches, find, read_id
from dmforge.curation.audit.stored_rows import StoredRows
from dmforge.curation.sources.annotations import AnnotationRow
from dmforge.curation.sources.videos import listed, videos_by_name
from dmforge.curation.video.ingest import IngestedFile
from dmforge.schemas.columns import id_list
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import show
from dmforge.schemas.records import Candidate, Task, Video
from dmforge.schemas.visible import shortened

ARGUMENT = "ROW"
MAX_MATCHES = 100
"""How many rows are listed that say the same words."""
EXCERPT_CHARS = 80
LETTERS_BEFORE = 30
"""How much of a text an excerpt shows before the words that were looked for."""
TEXTS: Mapping[str, str] = {
    Task.table: "question",
    Candidate.table: "array_to_string([piece.text for piece in transcript.pieces if piece.author = 'policy'], ' ')",
}
"""What is looked through for words, as SQL."""

FoundRow = tuple[RowLocation, str]
"""A row, and which text of it was looked for."""


def find_row(stored: StoredRows, text: str) -> RowLocation:
    """The one row that a text means; an error with all of them where there are several, and one with a hint for none.

    A whole id is looked up as that. A name that fits exactly goes before the beginning of an id, and both before words.
    """
    text = text.strip()
    named_rows = _rows_named(stored, text)
    try:
        typed_id = read_id(text, ARGUMENT)
        id_match = find(stored, typed_id)
    except InputError as error:
        if not named_rows and isinstance(error, SeveralMatches):
            raise
        return _only(stored, text, named_rows or _rows_saying(stored, text), error)
    if typed_id.whole_id is not None:
        return id_match
    return _only(stored, text, dict([*named_rows.items(), (id_match, "")]))


def _only(
    stored: StoredRows, text: str, text_by_row: Mapping[RowLocation, str], id_error: InputError | None = None
) -> RowLocation:
    if len(text_by_row) == 1:
        return next(iter(text_by_row))
    quoted_text = shortened(text)
    if text_by_row:
        count_text = f"more than {MAX_MATCHES}" if len(text_by_row) > MAX_MATCHES else str(len(text_by_row))
        matches = [
            RowMatch(show(stored.records[location.table].kind, location.id), row_text)
            for location, row_text in list(text_by_row.items())[:MAX_MATCHES]
        ]
        hint = "give the id of one of them, or more words"
        raise SeveralMatches(f"{count_text} rows have {quoted_text!r}", where=ARGUMENT, hint=hint, matches=matches)
    assert id_error is not None, "an id that was found is a row"
    message = f"{id_error.message}; nor is it the name of a video, a line of a file, or said in a question or a thought"
    raise InputError(message, where=id_error.where, hint=id_error.hint)


def _rows_named(stored: StoredRows, text: str) -> dict[RowLocation, str]:
    """Videos of this name or file, and lines of an annotation file."""
    listed_videos = listed(stored.lake.workspace)
    text_by_row: dict[RowLocation, str] = {}
    for video in videos_by_name(listed_videos.values()).get(text, ()):
        # of a file that is no usable video there is no row but that of the file
        video_ids = stored.between(Video.table, video, video)
        file_rows = [] if video_ids or not stored.has(IngestedFile.table) else stored.about(IngestedFile.table, video)
        locations = [RowLocation(Video.table, video, video)] if video_ids else []
        locations += [RowLocation(IngestedFile.table, file_row.id, video) for file_row in file_rows[:1]]
        if not locations:
            message = f"{show(Video.kind, video)} was brought under the name {shortened(text)!r}, and no run has seen it yet"
            raise InputError(message, where=ARGUMENT, hint="dmforge run")
        path = next(listed_video.path for listed_video in listed_videos.values() if listed_video.video == video)
        text_by_row |= dict.fromkeys(locations, path)
    origin = PurePath(text).name
    for table_name in (AnnotationRow.table, Task.table) if ":" in origin else ():
        if not text_by_row:
            text_by_row |= _rows_where(stored, table_name, "origin", "text = $text", origin)
    return text_by_row


def _rows_saying(stored: StoredRows, text: str) -> dict[RowLocation, str]:
    """Rows that say these words, wherever lines end and in capitals or not."""
    words = " ".join(text.lower().split())
    text_by_row: dict[RowLocation, str] = {}
    if len(words) >= MIN_LETTERS:
        for table_name, text_sql in TEXTS.items():
            text_by_row |= _rows_where(
                stored, table_name, rf"regexp_replace({text_sql}, '\s+', ' ', 'g')", "contains(lower(text), $text)", words
            )
    return {location: _excerpt(row_text, words) for location, row_text in text_by_row.items()}


def _rows_where(stored: StoredRows, table: str, text_sql: str, condition: str, text: str) -> dict[RowLocation, str]:
    if not stored.has(table):
        return {}
    source_sql = stored.sql(table, ("id", stored.records[table].video_column, f"{text_sql} AS text"))
    matching_rows = stored.view.unchecked(
        f"SELECT DISTINCT * FROM {source_sql} WHERE {condition} ORDER BY id LIMIT {MAX_MATCHES + 1}", {"text": text}
    )
    columns: Sequence[Iterable[bytes]] = [id_list(matching_rows.column(column)) for column in (0, 1)]
    row_texts = matching_rows.column("text").to_pylist()
    return {
        RowLocation(table, row_id, row_video): row_text for row_id, row_video, row_text in zip(*columns, row_texts, strict=True)
    }


def _excerpt(text: str, words: str) -> str:
    start = max(0, text.lower().find(words) - LETTERS_BEFORE)
    return ("..." if start else "") + shortened(text[start:], EXCERPT_CHARS)
