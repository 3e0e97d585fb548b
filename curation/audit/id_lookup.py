"""A look-up of the row that an id names, given as it is printed, `sample_mzxw6...`, in hex, or as the beginning of either."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dmforge.curation.audit.stored_rows import StoredRows
from dmforge.curation.sources.takedowns import reasons_by_video
from dmforge.schemas.columns import id_list
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id, show
from dmforge.schemas.records import Video
from dmforge.schemas.visible import shortened

MIN_LETTERS = 4
"""How many letters the beginning of an id must have."""
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
LETTERS_OF_ID = 26
LAST_LETTERS = LETTERS[::4]
"""What a whole id can end with: 26 letters are 130 bits, and the last two of them are zero."""
SHA256_DIGITS = 64
BITS = 8 * ID_BYTES
MAX_LISTED = 8
SEARCHED_LAST = ("verdicts",)
"""Tables that are only searched where nothing else is found: they are long, and few ask for them."""
HINT = (
    "give it as it is printed, task_... or video_..., or in hex; its beginning will do where it is the only one. Of a video "
    "the sha256 or the name does, too; `dmforge audit --sql 'SELECT id, source_id FROM videos'` lists the names of files with "
    "their ids"
)


class IdRange(NamedTuple):
    """The range of ids that begin alike: from `low` to `high`, which are the same id where all of it is given."""

    low: Id
    high: Id


@dataclass(frozen=True, slots=True)
class TypedId:
    """An id as a person typed it: of a kind if the text names one, with a range of ids for each way to read its letters."""

    text: str
    """As messages quote it."""
    kind: str
    ranges: tuple[IdRange, ...]
    where: str
    """The argument that it was typed for."""

    @property
    def whole_id(self) -> Id | None:
        """The id, if the text is no mere beginning."""
        return next((id_range.low for id_range in self.ranges if id_range.low == id_range.high), None)


class RowLocation(NamedTuple):
    """A row that was found: its table, its id, its video."""

    table: str
    id: Id
    video: Id
    """The video that it is about."""


class ColumnOfIds(NamedTuple):
    """A column with ids of something that has no row of its own."""

    names: str
    """What they name."""
    table: str
    column: str


class RowMatch(NamedTuple):
    """One of several rows that a text may mean."""

    id: str
    """As it is printed."""
    text: str
    """What it has of the text; empty where that is its id."""


class SeveralMatches(InputError):
    """A text that may mean several rows: they are listed for whoever typed it."""

    def __init__(self, message: str, *, where: str = "", hint: str = "", matches: Sequence[RowMatch] = ()) -> None:
        super().__init__(message, where=where, hint=hint)
        self.matches = tuple(matches)


COLUMN_OF_KIND: Mapping[str, ColumnOfIds] = {
    "ask": ColumnOfIds("a question to a teacher", "answers", "request"),
    "variant": ColumnOfIds("a stage as it was configured", "outcomes", "variant"),
    "student": ColumnOfIds("a student", "evaluations", "student"),
}
"""Kinds of ids that are printed although nothing has them as its own: they are looked up in SQL."""
FORMER_KINDS = {"request": "ask"}
"""Kinds as answers printed them once, and as they are called now."""


def read_id(text: str, where: str = "ID") -> TypedId:
    """The ids that a text may mean: one, or all that begin so. Without a kind, it may be base32 as well as hex."""
    text = text.strip()
    id_kind, _, letters = text.lower().rpartition("_")
    quoted_text = shortened(text)
    if len(letters) < MIN_LETTERS:
        raise InputError(f"{quoted_text!r} is too short for an id", where=where, hint=f"give {MIN_LETTERS} letters at least")
    if not id_kind and len(letters) == SHA256_DIGITS and _is_hex(letters):
        return TypedId(quoted_text, Video.kind, (_range(int(letters[: 2 * ID_BYTES], 16), BITS),), where)
    id_ranges = (*(() if id_kind else _ranges_of_hex(letters)), *_ranges_of_base32(letters))
    if id_ranges:
        return TypedId(quoted_text, FORMER_KINDS.get(id_kind, id_kind), id_ranges, where)
    if len(letters) == LETTERS_OF_ID and set(letters) <= set(LETTERS):
        hint = f"copy it again: a whole id ends with one of {', '.join(LAST_LETTERS)}"
        raise InputError(f"{quoted_text!r} is mistyped: no id ends with {letters[-1]!r}", where=where, hint=hint)
    raise InputError(f"{quoted_text!r} is not an id", where=where, hint=HINT)


def whole_id(text: str, where: str = "ID") -> tuple[str, Id]:
    """The kind, if the text names one, and the id of a text that is a whole id: as it is printed, or in hex."""
    typed_id = read_id(text, where)
    if typed_id.whole_id is None:
        hint = f"give the whole of it: `dmforge why {typed_id.text}` says it, if it is there"
        raise InputError(f"{typed_id.text!r} is the beginning of an id", where=where, hint=hint)
    return typed_id.kind, typed_id.whole_id


def require_kind(typed_id: TypedId, kinds: Collection[str]) -> None:
    """Refuse an id of a kind that no table has, and say which kind was probably meant, or which column has such ids."""
    if typed_id.kind in COLUMN_OF_KIND:
        rows_noun, table_name, column = COLUMN_OF_KIND[typed_id.kind]
        example_id = f"{typed_id.kind}_..." if typed_id.whole_id is None else show(typed_id.kind, typed_id.whole_id)
        hint = (
            f"give the whole of it: dmforge audit --sql \"SELECT * FROM {table_name} WHERE {column} = '{example_id}' LIMIT 9\""
        )
        message = f"{typed_id.text!r} is the id of {rows_noun}, which has no row of its own"
        raise InputError(message, where=typed_id.where, hint=hint)
    if typed_id.kind and typed_id.kind not in kinds:
        message = f"the lake has nothing of the kind {shortened(typed_id.kind)!r}"
        raise InputError(message, where=typed_id.where, hint=nearest(typed_id.kind[:LETTERS_OF_ID], sorted(kinds)))


def find(stored: StoredRows, typed_id: TypedId) -> RowLocation:
    """The one row that an id means; an error where there are several, or none."""
    table_by_kind = {record.kind: table for table, record in stored.records.items()}
    require_kind(typed_id, table_by_kind)
    tables_to_search = (
        [table_by_kind[typed_id.kind]] if typed_id.kind else [table for table in stored.records if table not in SEARCHED_LAST]
    )
    last_tables = () if typed_id.kind else SEARCHED_LAST
    matches = [
        row_location
        for id_range in typed_id.ranges
        for row_location in _rows_in_range(stored, tables_to_search, id_range) or _rows_in_range(stored, last_tables, id_range)
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        printed_ids = _printed_ids(stored, [(row_location.table, row_location.id) for row_location in matches[:MAX_LISTED]])
        shown_ids_text = ", ".join(printed_ids) + (", ..." if len(matches) > MAX_LISTED else "")
        raise SeveralMatches(
            f"{typed_id.text!r} is the beginning of several ids",
            where=typed_id.where,
            hint=f"give more letters, or one of these: {shown_ids_text}",
            matches=[RowMatch(printed_id, "") for printed_id in printed_ids],
        )
    _require_not_forgotten(stored, typed_id)
    nearest_ids = _printed_ids(stored, _nearest_rows(stored, tables_to_search, typed_id.ranges))
    hint = (
        f"the nearest are {', '.join(nearest_ids)}" if nearest_ids else "the lake is empty: dmforge status says where it stands"
    )
    raise InputError(f"nothing in the lake has the id {typed_id.text!r}", where=typed_id.where, hint=hint)


def _require_not_forgotten(stored: StoredRows, typed_id: TypedId) -> None:
    """Refuse the id of a video that was taken down, with the reason."""
    for video_id, reason in reasons_by_video(stored.lake.workspace).items():
        if typed_id.kind in ("", Video.kind) and any(id_range.low <= video_id <= id_range.high for id_range in typed_id.ranges):
            hint = "nothing of it is left; to take it in again, delete its line in inputs/forgotten.jsonl"
            raise InputError(f"{show(Video.kind, video_id)} was forgotten: {reason}", where=typed_id.where, hint=hint)


def _ranges_of_hex(letters: str) -> Iterator[IdRange]:
    """The ids that begin so in hex, if any do."""
    if len(letters) <= 2 * ID_BYTES and _is_hex(letters):
        yield _range(int(letters, 16), 4 * len(letters))


def _ranges_of_base32(letters: str) -> Iterator[IdRange]:
    """The ids that begin so as they are printed, if any do: a whole id has one spelling."""
    if len(letters) > LETTERS_OF_ID or set(letters) - set(LETTERS):
        return
    low_bits_value = sum(
        LETTERS.index(letter) << 5 * letter_position for letter_position, letter in enumerate(reversed(letters))
    )
    if len(letters) < LETTERS_OF_ID:
        yield _range(low_bits_value, 5 * len(letters))
    elif letters[-1] in LAST_LETTERS:
        yield _range(low_bits_value >> 5 * LETTERS_OF_ID - BITS, BITS)


def _is_hex(letters: str) -> bool:
    return re.fullmatch(r"[0-9a-f]+", letters) is not None


def _range(first_bits_value: int, bit_count: int) -> IdRange:
    free_bits = BITS - bit_count
    lowest_value = first_bits_value << free_bits
    return IdRange(lowest_value.to_bytes(ID_BYTES, "big"), (lowest_value + (1 << free_bits) - 1).to_bytes(ID_BYTES, "big"))


def _rows_in_range(stored: StoredRows, tables: Iterable[str], id_range: IdRange) -> list[RowLocation]:
    videos_by_table = {table_name: stored.between(table_name, id_range.low, id_range.high) for table_name in tables}
    return [
        RowLocation(table_name, row_id, row_video)
        for table_name, video_by_id in videos_by_table.items()
        for row_id, row_video in sorted(video_by_id.items())
    ]


def _nearest_rows(stored: StoredRows, tables: Collection[str], ranges: Iterable[IdRange]) -> list[tuple[str, Id]]:
    """The rows whose ids begin most like the one that was given."""
    distance_by_row: dict[tuple[str, Id], int] = {}
    for id_range in ranges:
        range_start = int.from_bytes(id_range.low, "big")
        for table_name in filter(stored.has, tables):
            neighbours_sql = "SELECT unnest([max(id) FILTER (id < $low), min(id) FILTER (id > $high)]) AS id"
            neighbour_rows = stored.view.unchecked(
                f"{neighbours_sql} FROM {stored.sql(table_name, ['id'])}", id_range._asdict()
            )
            for id in filter(None, id_list(neighbour_rows.column("id"))):
                xor_distance = int.from_bytes(id, "big") ^ range_start
                distance_by_row[table_name, id] = min(xor_distance, distance_by_row.get((table_name, id), xor_distance))
    return sorted(distance_by_row, key=lambda table_and_id: distance_by_row[table_and_id])[:3]


def _printed_ids(stored: StoredRows, table_and_id_pairs: Iterable[tuple[str, Id]]) -> list[str]:
    kind_by_table: Mapping[str, str] = {table_name: record.kind for table_name, record in stored.records.items()}
    return [show(kind_by_table[table_name], row_id) for table_name, row_id in table_and_id_pairs]
