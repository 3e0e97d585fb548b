"""A look-up of the row that an id names, given as it is printed, `sample_mzxw6...`, in hex, or as the beginning of either."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dmforge.curation.audit.stored_rows import StoredRows
from dmforge.schemas.columns import id_list
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id, show

MIN_LETTERS = 4
"""How many letters the beginning of an id must have."""
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
BITS = 8 * ID_BYTES
MAX_LISTED = 8
SEARCHED_LAST = ("verdicts",)
"""Tables that are only searched where nothing else is found: they are long, and few ask for them."""
HINT = "give it as it is printed, or in hex; its beginning will do where it is the only one"


@dataclass(frozen=True, slots=True)
class IdRange:
    """The range of ids that a text means, from `low` to `high`, of a kind if the text names one."""

    text: str
    kind: str
    low: Id
    high: Id


class RowLocation(NamedTuple):
    """A row that was found: its table, its id, its video."""

    table: str
    id: Id
    video: Id
    """The video that it is about."""


def read_id(text: str) -> IdRange:
    """The ids that a text may mean: one, or all that begin so."""
    text = text.strip()
    kind, _, letters = text.lower().rpartition("_")
    if len(letters) < MIN_LETTERS:
        raise InputError(f"{text!r} is too short for an id", where="ID", hint=f"give {MIN_LETTERS} letters at least")
    if not kind and len(letters) <= 2 * ID_BYTES and re.fullmatch(r"[0-9a-f]+", letters):
        return IdRange(text, "", *_range(int(letters, 16), 4 * len(letters)))
    bit_count = 5 * len(letters)
    if set(letters) - set(LETTERS) or bit_count > BITS + 4:
        raise InputError(f"{text!r} is not an id", where="ID", hint=HINT)
    value = sum(LETTERS.index(letter) << 5 * position for position, letter in enumerate(reversed(letters)))
    if bit_count > BITS:  # the last letter of a whole id is padded
        value, bit_count = value >> bit_count - BITS, BITS
    return IdRange(text, kind, *_range(value, bit_count))


def whole_id(text: str) -> tuple[str, Id]:
    """The kind, if the text names one, and the id of a text that is a whole id: as it is printed, or in hex."""
    id_range = read_id(text)
    if id_range.low != id_range.high:
        raise InputError(f"{id_range.text!r} is the beginning of an id", where="ID", hint="give the whole of it")
    return id_range.kind, id_range.low


def find(stored: StoredRows, id_range: IdRange) -> RowLocation:
    """The one row whose id is in a range; an error where there are several, or none."""
    kinds = {record.kind: table for table, record in stored.records.items()}
    if id_range.kind and id_range.kind not in kinds:
        raise InputError(
            f"the lake has nothing of the kind {id_range.kind!r}", where="ID", hint=nearest(id_range.kind, sorted(kinds))
        )
    tables = [kinds[id_range.kind]] if id_range.kind else [table for table in stored.records if table not in SEARCHED_LAST]
    matches = _rows_in_range(stored, tables, id_range)
    if not matches and not id_range.kind:
        matches = _rows_in_range(stored, SEARCHED_LAST, id_range)
    if len(matches) == 1:
        return matches[0]
    if matches:
        printed_ids = _printed_ids(stored, [(match.table, match.id) for match in matches[:MAX_LISTED]])
        shown_ids = ", ".join(printed_ids) + (", ..." if len(matches) > MAX_LISTED else "")
        raise InputError(
            f"{id_range.text!r} is the beginning of several ids", where="ID", hint=f"give more letters: {shown_ids}"
        )
    nearest_ids = _printed_ids(stored, _nearest_rows(stored, tables, id_range))
    hint = (
        f"the nearest are {', '.join(nearest_ids)}" if nearest_ids else "the lake is empty: dmforge status says where it stands"
    )
    raise InputError(f"nothing in the lake has the id {id_range.text!r}", where="ID", hint=hint)


def _range(value: int, bit_count: int) -> tuple[Id, Id]:
    free_bits = BITS - bit_count
    return (value << free_bits).to_bytes(ID_BYTES, "big"), ((value << free_bits) + (1 << free_bits) - 1).to_bytes(
        ID_BYTES, "big"
    )


def _rows_in_range(stored: StoredRows, tables: Iterable[str], id_range: IdRange) -> list[RowLocation]:
    ids_by_table = {table: stored.between(table, id_range.low, id_range.high) for table in tables}
    return [RowLocation(table, id, video) for table, ids in ids_by_table.items() for id, video in sorted(ids.items())]


def _nearest_rows(stored: StoredRows, tables: Iterable[str], id_range: IdRange) -> list[tuple[str, Id]]:
    """The rows whose ids begin most like the one that was given."""
    neighbours: list[tuple[str, Id]] = []
    for table in filter(stored.has, tables):
        ids = stored.sql(table, ["id"])
        sql = f"SELECT unnest([max(id) FILTER (id < $low), min(id) FILTER (id > $high)]) AS id FROM {ids}"
        table_neighbours = id_list(stored.view.unchecked(sql, {"low": id_range.low, "high": id_range.high}).column("id"))
        neighbours += [(table, neighbour) for neighbour in table_neighbours if neighbour]
    target = int.from_bytes(id_range.low, "big")
    return sorted(neighbours, key=lambda neighbour: int.from_bytes(neighbour[1], "big") ^ target)[:3]


def _printed_ids(stored: StoredRows, rows: Iterable[tuple[str, Id]]) -> list[str]:
    kinds: Mapping[str, str] = {table: record.kind for table, record in stored.records.items()}
    return [show(kinds[table], id) for table, id in rows]
