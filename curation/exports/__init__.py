"""Exports of a packed corpus to the formats of other trainers, a small module each; docs/formats.md describes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dmforge.curation.exports.dynframe import to_dynframe
from dmforge.curation.exports.hf import to_hf
from dmforge.curation.exports.llamafactory import to_llamafactory
from dmforge.curation.exports.trl import to_trl
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.folders import published
from dmforge.curation.shards.integrity import require_undamaged
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError

EXPORTS: dict[str, Callable[[Corpus, Path], int]] = {
    "dynframe": to_dynframe,
    "llamafactory": to_llamafactory,
    "trl": to_trl,
    "hf": to_hf,
}
"""By format, a function that writes a corpus into an empty folder and returns how many samples it wrote."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The counts of an export."""

    samples: int
    left_out: int
    """Samples that the format can't express."""


def require_format(to: str) -> None:
    """Refuse a format that doesn't exist."""
    if to not in EXPORTS:
        raise InputError(f"there is no format {to!r}", where="--to", hint=nearest(to, list(EXPORTS)))


def export(corpus: Corpus, to: str, folder: Path) -> Exported:
    """Write a corpus in another format, completely or not at all."""
    require_format(to)
    if folder.exists():
        raise InputError("there is something here already", where=str(folder), hint="give another folder with --out")
    require_undamaged(corpus.place)
    with published(folder) as temporary_folder:
        sample_count = EXPORTS[to](corpus, temporary_folder)
    return Exported(sample_count, len(corpus) - sample_count)
