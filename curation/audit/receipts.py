"""Checks of every receipt in a row's lineage against what it is about: the file, media, parts, ids, answers, the shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dmforge.curation.audit.answer_receipts import answer_receipts
from dmforge.curation.audit.lineage import Lineage, Step
from dmforge.curation.audit.shard_locations import PackedSample
from dmforge.curation.audit.stored_rows import StoredRows
from dmforge.curation.io.byte_ranges import read_range, sha256_of_range
from dmforge.curation.io.locations import sha256_of
from dmforge.curation.shards.document import read_document
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.errors import DmforgeError, first_line
from dmforge.schemas.ids import ID_BYTES, Id, show
from dmforge.schemas.records import Record

GONE = "not there"


@dataclass(frozen=True, slots=True)
class ReceiptCheck:
    """The check of one receipt: what it says, and what was found."""

    what: str
    path: Path
    said: str
    found: str

    @property
    def holds(self) -> bool:
        return self.said == self.found


def checks(lineage: Lineage, stored: StoredRows) -> Iterator[ReceiptCheck]:
    """The checks of all receipts, the source first. A source file that has moved is not a failure."""
    yield from _source_check(lineage)
    yield from _media_checks(lineage)
    for step_of_part in {step.row.part: step for step in lineage.steps}.values():
        yield _part_check(step_of_part)
    for step in lineage.steps:
        yield _id_check(step, stored.records[step.row.table])
    for receipt in answer_receipts(stored.lake.workspace, [step.row for step in lineage.steps]):
        yield ReceiptCheck(f"the answer {receipt.request}, line {receipt.line}", receipt.path, receipt.expected, receipt.actual)
    for packed_sample in lineage.places:
        yield from _shard_checks(packed_sample)


def _source_check(lineage: Lineage) -> Iterator[ReceiptCheck]:
    source = lineage.source
    if source is not None and Path(source.path).is_file():
        yield ReceiptCheck("the file that was brought", Path(source.path), source.sha256, sha256_of(source.path))


def _media_checks(lineage: Lineage) -> Iterator[ReceiptCheck]:
    media, receipt = lineage.media, lineage.receipt
    if not lineage.video:
        return
    if receipt is None:
        yield ReceiptCheck("the receipt of its renditions", media.receipt, "a receipt", GONE)
        return
    yield ReceiptCheck(
        "the receipt names the video", media.receipt, str(lineage.video[-1].row.values["sha256"]), receipt.source_sha256
    )
    yield ReceiptCheck("the coarse rendition", media.coarse, receipt.coarse_sha256, _sha256(media.coarse))
    yield ReceiptCheck("the grid rendition", media.grid, receipt.grid_sha256, _sha256(media.grid))


def _part_check(step: Step) -> ReceiptCheck:
    (recorded_part,) = (
        recorded_part for recorded_part in step.row.commit.of(step.row.table) if recorded_part.name == step.row.part.name
    )
    return ReceiptCheck(f"the part of {step.row.table}", step.row.part, recorded_part.sha256, _sha256(step.row.part))


def _id_check(step: Step, record: type[Record]) -> ReceiptCheck:
    """Compute an id again: as a digest of content it says whether the row is what it was."""
    try:
        computed_id = show(record.kind, _computed_id(record, step.row.part, step.row.id))
    except (KeyError, ValueError, TypeError, IndexError) as error:
        computed_id = f"{type(error).__name__}: {error}"
    return ReceiptCheck(f"the id of {step.id}", step.row.part, step.id, computed_id)


def _computed_id(record: type[Record], part_path: Path, id: Id) -> Id:
    matching_rows = pq.read_table(part_path, filters=pc.field("id") == pa.scalar(id, pa.binary(ID_BYTES)))
    (row,) = from_arrow(record, matching_rows.slice(0, 1))
    content_values: Mapping[str, Any] = {
        record_field.name: getattr(row, record_field.name) for record_field in fields(record) if record_field.name != "id"
    }
    return record(**content_values).id


def _shard_checks(packed_sample: PackedSample) -> Iterator[ReceiptCheck]:
    for tar_member in packed_sample.members:
        member_sha256 = _sha256(packed_sample.path, tar_member.offset, tar_member.size)
        yield ReceiptCheck(f"{tar_member.name} at {tar_member.offset}", packed_sample.path, tar_member.sha256, member_sha256)
    document_member = packed_sample.members[1]
    try:
        with packed_sample.path.open("rb") as shard_file:
            _, shard_samples = read_document(
                read_range(shard_file, document_member.offset, document_member.size), str(packed_sample.path)
            )
        stored_sample_id = shard_samples[packed_sample.nth].id if 0 <= packed_sample.nth < len(shard_samples) else GONE
    except (DmforgeError, OSError) as error:
        stored_sample_id = first_line(error)
    yield ReceiptCheck(f"its sample number {packed_sample.nth}", packed_sample.path, packed_sample.sample, stored_sample_id)


def _sha256(path: Path, offset: int = 0, size_bytes: int | None = None) -> str:
    try:
        with path.open("rb") as hashed_file:
            return sha256_of_range(hashed_file, offset, size_bytes)
    except OSError:
        return GONE
