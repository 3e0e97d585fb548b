"""A packed corpus in the shapes that other trainers read: a small module each. docs/formats.md says what they make of it."""

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
from dmforge.curation.shards.verify import require_undamaged
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError

EXPORTS: dict[str, Callable[[Corpus, Path], int]] = {
    "dynframe": to_dynframe,
    "llamafactory": to_llamafactory,
    "trl": to_trl,
    "hf": to_hf,
}
"""Each writes a corpus into an empty folder, and says how many samples it wrote."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    samples: int
    left_out: int
    """Samples that the format has no words for."""


def require_format(to: str) -> None:
    """An error where there is no such format."""
    if to not in EXPORTS:
        raise InputError(f"there is no format {to!r}", where="--to", mend=nearest(to, list(EXPORTS)))


def export(corpus: Corpus, to: str, folder: Path) -> Exported:
    """Write a corpus in another format, whole or not at all."""
    require_format(to)
    if folder.exists():
        raise InputError("there is something here already", where=str(folder), mend="give another folder with --out")
    require_undamaged(corpus.place)
    with published(folder) as beside:
        written = EXPORTS[to](corpus, beside)
    return Exported(written, len(corpus) - written)
