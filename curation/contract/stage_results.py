"""Results of stages in Arrow form: the outcomes of inputs, and the rows made from them, by table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dmforge.curation.io.arrow_stream import stream_of, table_of
from dmforge.schemas.columns import id_list, schema, to_arrow
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.ids import ID_BYTES, Id
from dmforge.schemas.records import Outcome, Record

MADE_FROM = "made_from"
"""The extra column of each row: the input that it was made from. A row is current while that input is."""


UNSTORABLE_ERRORS = (ValueError, TypeError, OverflowError, pa.ArrowException)
"""Half a surrogate pair, as broken JSON escapes leave behind; a number beyond 64 bits; a value of another type."""


@dataclass(frozen=True, slots=True)
class Made:
    """The rows made from an input, possibly none."""

    rows: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The input is sound, but was judged unsuitable."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """The input can't be processed: it is damaged, hostile, or not what it claims to be."""

    reason: str
    detail: str = ""


Result = Made | Rejected | Quarantined


@dataclass(frozen=True, slots=True)
class Key:
    """The key of an outcome: the input, and its video, by which work is kept together."""

    input: Id
    video: Id


@dataclass(frozen=True, slots=True)
class Origin:
    """The stage and variant that settled an input: constant over a commit."""

    stage: str
    variant: Id


@dataclass(frozen=True, slots=True)
class StageResults:
    """Outcomes and rows, ready to be written. SQL-based stages build it directly, the others by `settle`."""

    outcomes: pa.Table
    rows: Mapping[str, pa.Table]


def row_schema(record: type[Record]) -> pa.Schema:
    """The schema of a record in the lake: its own columns and `MADE_FROM`."""
    return schema(record).append(pa.field(MADE_FROM, pa.binary(ID_BYTES)))


def settle(origin: Origin, keys: Sequence[Key], results: Sequence[Result], makes: tuple[type[Record], ...]) -> StageResults:
    """Results of the inputs `keys`, in their order, as Arrow."""
    try:
        return _settle(origin, keys, results, makes)
    except UNSTORABLE_ERRORS:
        return _settle(origin, keys, [_storable(result) for result in results], makes)


def _settle(origin: Origin, keys: Sequence[Key], results: Sequence[Result], makes: tuple[type[Record], ...]) -> StageResults:
    outcomes = [_outcome(origin, input_key, result) for input_key, result in zip(keys, results, strict=True)]
    made_rows = [
        (input_key, made_row)
        for input_key, result in zip(keys, results, strict=True)
        if isinstance(result, Made)
        for made_row in result.rows
    ]
    for _, made_row in made_rows:
        if type(made_row) not in makes:
            raise DmforgeError(
                f"stage {origin.stage!r} made a {type(made_row).__name__}; it declares {[record.__name__ for record in makes]}"
            )
    return StageResults(
        pa.Table.from_batches([to_arrow(Outcome, outcomes)]),
        {
            record.table: _rows(
                record, [(input_key, made_row) for input_key, made_row in made_rows if type(made_row) is record]
            )
            for record in makes
        },
    )


def joined(result_pieces: Sequence[StageResults], keys: Sequence[Key]) -> StageResults:
    """Join pieces of a batch, in the order of `keys`, whatever order they were finished in."""
    position_by_input = {key.input: key_index for key_index, key in enumerate(keys)}
    joined_outcomes = pa.concat_tables([results_piece.outcomes for results_piece in result_pieces])
    rows_by_table = {
        table_name: pa.concat_tables([results_piece.rows[table_name] for results_piece in result_pieces])
        for table_name in result_pieces[0].rows
    }
    return StageResults(
        _sorted(joined_outcomes, "input", position_by_input),
        {table_name: _sorted(table_rows, MADE_FROM, position_by_input) for table_name, table_rows in rows_by_table.items()},
    )


def to_bytes(stage_results: StageResults) -> dict[str, bytes]:
    """Serialize for another process."""
    return {
        table_name: stream_of(table_rows).to_pybytes()
        for table_name, table_rows in {Outcome.table: stage_results.outcomes, **stage_results.rows}.items()
    }


def from_bytes(stream_by_table: Mapping[str, bytes]) -> StageResults:
    table_by_name = {table_name: table_of(arrow_stream) for table_name, arrow_stream in stream_by_table.items()}
    return StageResults(table_by_name.pop(Outcome.table), table_by_name)


def _sorted(unsorted_table: pa.Table, id_column_name: str, position_by_id: Mapping[Id, int]) -> pa.Table:
    row_positions = np.array([position_by_id[row_id] for row_id in id_list(unsorted_table.column(id_column_name))], np.int64)
    if bool((row_positions[1:] >= row_positions[:-1]).all()):
        return unsorted_table
    return unsorted_table.take(np.argsort(row_positions, kind="stable"))


def _outcome(origin: Origin, input_key: Key, result: Result) -> Outcome:
    if isinstance(result, Made):
        return Outcome(input_key.input, input_key.video, origin.stage, origin.variant, "made", "", "", len(result.rows))
    outcome_status = "rejected" if isinstance(result, Rejected) else "quarantined"
    detail_text = result.detail.encode("utf-8", "backslashreplace").decode()
    return Outcome(
        input_key.input, input_key.video, origin.stage, origin.variant, outcome_status, result.reason, detail_text, 0
    )


def _storable(result: Result) -> Result:
    """A result with a value that can't be stored is no result: its input is quarantined, and its neighbours are not."""
    if isinstance(result, Made):
        for result_row in result.rows:
            try:
                to_arrow(type(result_row), [result_row])
            except UNSTORABLE_ERRORS as error:
                return Quarantined("unstorable", f"{type(error).__name__}: {error}")
    return result


def _rows(record: type[Record], made_rows: list[tuple[Key, Record]]) -> pa.Table:
    record_batch = to_arrow(record, [row for _, row in made_rows])
    table = pa.Table.from_batches([record_batch])
    return table.append_column(
        row_schema(record).field(MADE_FROM), pa.array([input_key.input for input_key, _ in made_rows], pa.binary(ID_BYTES))
    )
