"""Names of ids: ids in an answer are printed as `task_mzxw6...`, and texts in a query that are such ids become ids."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cached_property

import duckdb
import numpy as np
import pyarrow as pa

from dmforge.curation.audit.id_lookup import COLUMN_OF_KIND, LETTERS, LETTERS_OF_ID, SEARCHED_LAST, whole_id
from dmforge.curation.contract.stage import Root
from dmforge.curation.lake.views import LakeView
from dmforge.schemas.columns import id_list
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id
from dmforge.schemas.records import RECORDS

KINDS = frozenset(record.kind for record in RECORDS)
"""A column that is called like a kind holds ids of this kind: nothing is looked up for it."""
KIND_OF_COLUMN = {"request": "ask", "requests": "ask", "part": "video", "other_task": "task"}
"""The kinds of ids in columns that are not called like the kind."""
PLAIN = re.compile(r"[a-z]+")
LITERAL = re.compile(rb"'(?:\w+_[a-z2-7]{26}|[0-9a-f]{32})'", re.IGNORECASE)
"""A text in SQL that is a whole id."""
CONDITION = re.compile(rb"\"?(?P<column>\w+)\"?\s*(?:=|==|<>|!=)\s*'(?P<text>(?P<kind>[a-z]+)_\w*)'", re.IGNORECASE)
"""A column that is compared with a text that begins like an id."""
ID_KINDS = KINDS | COLUMN_OF_KIND.keys()
ID_COLUMNS = ID_KINDS | KIND_OF_COLUMN.keys() | {"id", "input", "subject", "made_from"}


class PrintedIds:
    """A naming of the ids in one answer, as far as the lake has rows of them."""

    def __init__(self, view: LakeView) -> None:
        self._view = view
        self._last_kind = ""
        """The kind that was found last: what follows will be of it, too."""

    @cached_property
    def _tables(self) -> Mapping[str, str]:
        """SQL of all that has ids, by kind; what is long and seldom asked for stands last."""
        view = self._view
        sql_by_made_record = {record: view.rows(record, gated=False).sql for stage in view.stages for record in stage.makes}
        sql_by_roster_record = {stage.reads: view.inputs(stage).sql for stage in view.stages if isinstance(stage, Root)}
        sql_by_record = sorted(
            (sql_by_made_record | sql_by_roster_record).items(), key=lambda kind_and_sql: kind_and_sql[0].table in SEARCHED_LAST
        )
        return {record.kind: rows_sql for record, rows_sql in sql_by_record}

    def of(self, column: str, ids: Collection[Id]) -> Mapping[Id, str]:
        """The printed form of ids that stand in a column of the answer."""
        if kind_of(column) in ID_KINDS:
            return by_column(column, ids)  # what the column says is right
        kind_by_id: dict[Id, str] = {}
        for id_kind in sorted(self._tables, key=lambda kind: kind != self._last_kind):
            if len(kind_by_id) == len(ids):
                break
            known_ids = self._among(id_kind, [id for id in ids if id not in kind_by_id])
            kind_by_id |= dict.fromkeys(known_ids, id_kind)
            self._last_kind = id_kind if known_ids else self._last_kind
        column_kind = kind_of(column)
        return {
            id: f"{kind_by_id.get(id, column_kind)}_{base32_text}" for id, base32_text in zip(ids, _base32(ids), strict=True)
        }

    def _among(self, kind: str, ids: list[Id]) -> list[Id]:
        cursor = self._view.connection.cursor()
        cursor.register("asked", pa.table({"id": pa.array(ids, pa.binary(ID_BYTES))}))
        present_ids = cursor.sql(f"SELECT DISTINCT id FROM ({self._tables[kind]}) SEMI JOIN asked USING (id)").to_arrow_table()
        return id_list(present_ids.column("id"))


def by_column(column: str, ids: Collection[Id]) -> Mapping[Id, str]:
    """The printed form of ids, by what their column's name says alone."""
    id_kind = kind_of(column)
    return {id: f"{id_kind}_{base32_text}" for id, base32_text in zip(ids, _base32(ids), strict=True)}


def kind_of(column: str) -> str:
    """The kind of the ids in a column, as far as its name says."""
    return KIND_OF_COLUMN.get(column) or (column if PLAIN.fullmatch(column) else "id")


def with_ids(sql: str) -> str:
    """The query with texts that are whole ids turned into ids: `video = 'video_mzxw6...'` finds its rows."""
    sql_bytes = sql.encode("utf-8", "surrogateescape")
    sql_parts: list[bytes] = []
    copied_until = 0
    try:
        sql_tokens = duckdb.tokenize(sql)
    except (duckdb.Error, UnicodeError):
        return sql  # the sandbox says what is wrong with it
    for token_index, (token_offset, token_kind) in enumerate(sql_tokens):
        if token_kind != duckdb.token_type.string_const:
            continue
        literal_match = LITERAL.match(sql_bytes, token_offset)
        literal_id = None if literal_match is None else _id_of(literal_match[0])
        if literal_match is not None and literal_id is not None:
            sql_parts += [sql_bytes[copied_until:token_offset], f"unhex('{literal_id.hex()}')".encode()]
            copied_until = literal_match.end()
        elif token_index > 1:
            _require_id(sql_bytes[sql_tokens[token_index - 2][0] :])
    return b"".join([*sql_parts, sql_bytes[copied_until:]]).decode("utf-8", "surrogateescape")


def _id_of(id_literal: bytes) -> Id | None:
    try:
        return whole_id(id_literal[1:-1].decode())[1]
    except InputError:
        return None


def _require_id(condition_bytes: bytes) -> None:
    """Refuse a condition by which a column of ids equals a text that begins like an id and is none: it would find nothing."""
    condition_match = CONDITION.match(condition_bytes)
    if (
        condition_match is not None
        and _word(condition_match["column"]) in ID_COLUMNS
        and _word(condition_match["kind"]) in ID_KINDS
    ):
        whole_id(condition_match["text"].decode(), "--sql")


def _word(name: bytes) -> str:
    return name.decode().lower()


def _base32(ids: Collection[Id]) -> list[str]:
    """The `base32` of each id, in an eighth of the time: an answer may have millions."""
    bit_matrix = np.zeros((len(ids), LETTERS_OF_ID * 5), np.uint8)
    bit_matrix[:, : 8 * ID_BYTES] = np.unpackbits(np.frombuffer(b"".join(ids), np.uint8).reshape(-1, ID_BYTES), axis=1)
    letter_indices = bit_matrix.reshape(-1, 5) @ np.array([16, 8, 4, 2, 1], np.uint8)
    all_letters = np.frombuffer(LETTERS.encode(), np.uint8)[letter_indices].tobytes().decode("ascii")
    return [all_letters[text_start : text_start + LETTERS_OF_ID] for text_start in range(0, len(all_letters), LETTERS_OF_ID)]
