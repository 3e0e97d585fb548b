"""An id as a person gives it, `sample_mzxw6...`, in hex, or the beginning of either, and the row of the lake that it names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dmforge.curation.audit.stored import Stored
from dmforge.schemas.columns import id_list
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id, show

LEAST = 4
"""Letters that the beginning of an id has at least."""
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
BITS = 8 * ID_BYTES
MOST_TOLD = 8
LATE = ("verdicts",)
"""Tables that are only searched where nothing else is found: they are long, and few ask for them."""
MEND = "give it as it is printed, or in hex; its beginning will do where it is the only one"


@dataclass(frozen=True, slots=True)
class Asked:
    """Ids from `low` to `high`, of a kind if one was named."""

    text: str
    kind: str
    low: Id
    high: Id


class Found(NamedTuple):
    """Where a row is."""

    table: str
    id: Id
    video: Id
    """What it is about."""


def read_id(text: str) -> Asked:
    """What a person means by an id."""
    text = text.strip()
    kind, _, letters = text.lower().rpartition("_")
    if len(letters) < LEAST:
        raise InputError(f"{text!r} is too short for an id", where="ID", mend=f"give {LEAST} letters at least")
    if not kind and len(letters) <= 2 * ID_BYTES and re.fullmatch(r"[0-9a-f]+", letters):
        return Asked(text, "", *_range(int(letters, 16), 4 * len(letters)))
    bits = 5 * len(letters)
    if set(letters) - set(LETTERS) or bits > BITS + 4:
        raise InputError(f"{text!r} is not an id", where="ID", mend=MEND)
    value = sum(LETTERS.index(letter) << 5 * place for place, letter in enumerate(reversed(letters)))
    if bits > BITS:  # the last letter of a whole id is padded
        value, bits = value >> bits - BITS, BITS
    return Asked(text, kind, *_range(value, bits))


def whole_id(text: str) -> tuple[str, Id]:
    """A kind, if one was named, and the id that a text is the whole of: as it is printed, or in hex."""
    asked = read_id(text)
    if asked.low != asked.high:
        raise InputError(f"{asked.text!r} is the beginning of an id", where="ID", mend="give the whole of it")
    return asked.kind, asked.low


def find(stored: Stored, asked: Asked) -> Found:
    """The one row that is meant."""
    kinds = {record.kind: table for table, record in stored.records.items()}
    if asked.kind and asked.kind not in kinds:
        raise InputError(
            f"the lake has nothing of the kind {asked.kind!r}", where="ID", mend=nearest(asked.kind, sorted(kinds))
        )
    tables = [kinds[asked.kind]] if asked.kind else [table for table in stored.records if table not in LATE]
    found = _within(stored, tables, asked)
    if not found and not asked.kind:
        found = _within(stored, LATE, asked)
    if len(found) == 1:
        return found[0]
    if found:
        shown = _shown(stored, [(one.table, one.id) for one in found[:MOST_TOLD]])
        told = ", ".join(shown) + (", ..." if len(found) > MOST_TOLD else "")
        raise InputError(f"{asked.text!r} is the beginning of several ids", where="ID", mend=f"give more letters: {told}")
    near = _shown(stored, _around(stored, tables, asked))
    mend = f"the nearest are {', '.join(near)}" if near else "the lake is empty: dmforge status says where it stands"
    raise InputError(f"nothing in the lake has the id {asked.text!r}", where="ID", mend=mend)


def _range(value: int, bits: int) -> tuple[Id, Id]:
    free = BITS - bits
    return (value << free).to_bytes(ID_BYTES, "big"), ((value << free) + (1 << free) - 1).to_bytes(ID_BYTES, "big")


def _within(stored: Stored, tables: Iterable[str], asked: Asked) -> list[Found]:
    between = {table: stored.between(table, asked.low, asked.high) for table in tables}
    return [Found(table, id, video) for table, ids in between.items() for id, video in sorted(ids.items())]


def _around(stored: Stored, tables: Iterable[str], asked: Asked) -> list[tuple[str, Id]]:
    """Those that begin the most like it."""
    found: list[tuple[str, Id]] = []
    for table in filter(stored.has, tables):
        ids = stored.sql(table, ["id"])
        sql = f"SELECT unnest([max(id) FILTER (id < $low), min(id) FILTER (id > $high)]) AS id FROM {ids}"
        around = id_list(stored.view.unchecked(sql, {"low": asked.low, "high": asked.high}).column("id"))
        found += [(table, one) for one in around if one]
    target = int.from_bytes(asked.low, "big")
    return sorted(found, key=lambda one: int.from_bytes(one[1], "big") ^ target)[:3]


def _shown(stored: Stored, found: Iterable[tuple[str, Id]]) -> list[str]:
    kinds: Mapping[str, str] = {table: record.kind for table, record in stored.records.items()}
    return [show(kinds[table], one) for table, one in found]
