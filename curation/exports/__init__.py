"""Exports of a packed corpus to the formats of other trainers, a small module each, and those of plug-ins."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from dmforge.curation.exports.dynframe import to_dynframe
from dmforge.curation.exports.hf import to_hf
from dmforge.curation.exports.llamafactory import to_llamafactory
from dmforge.curation.exports.trl import to_trl
from dmforge.curation.io.plugins import PluginGroup
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.folders import published
from dmforge.curation.shards.integrity import require_undamaged
from dmforge.schemas.config import nearest
from dmforge.schemas.dialects.dialect import DialectName
from dmforge.schemas.dialects.known_dialects import DIALECTS
from dmforge.schemas.errors import DmforgeError, InputError

Export = Callable[[Corpus, Path], int]
"""Writes a corpus into an empty folder and returns how many samples it wrote."""
EXPORTS: dict[str, Export] = {
    "dynframe": to_dynframe,
    "llamafactory": to_llamafactory,
    "trl": to_trl,
    "hf": to_hf,
}
"""dmforge's own, by format; docs/formats.md describes them."""


CONVERSATION_EXPORTS: dict[str, Callable[[Corpus, Path, DialectName], int]] = {"llamafactory": to_llamafactory, "trl": to_trl}
"""Those whose rows are conversations, in which a look can end a turn: they write any dialect."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The counts of an export."""

    samples: int
    left_out: int
    """Samples that the format can't express."""


def find_export(to: str, dialect: DialectName = "span") -> Export:
    """The export to a format, dmforge's own or a plug-in's, that writes a dialect; what doesn't exist is refused."""
    if dialect not in DIALECTS:
        hint = nearest(dialect, list(DIALECTS))
        raise InputError(f"there is no dialect {dialect!r}", where="--dialect", hint=hint)
    write_export = _PLUGINS.load(to, "--to") or EXPORTS[to]
    if dialect == "span":
        return write_export
    if to not in CONVERSATION_EXPORTS:
        hint = f"export --to {' or --to '.join(CONVERSATION_EXPORTS)}, or leave --dialect out"
        raise InputError(f"{to} has no form for the dialect `{dialect}`", where="--dialect", hint=hint)
    return lambda corpus, folder: CONVERSATION_EXPORTS[to](corpus, folder, dialect)


def export(corpus: Corpus, to: str, folder: Path, dialect: DialectName = "span") -> Exported:
    """Write a corpus in another format, completely or not at all. Rows of conversations are said in the dialect."""
    write_export = find_export(to, dialect)
    if folder.exists():
        raise InputError("there is something here already", where=str(folder), hint="give another folder with --out")
    require_undamaged(corpus.place)
    with published(folder) as temporary_folder:
        sample_count = write_export(corpus, temporary_folder)
        if not isinstance(sample_count, int):  # pyright: ignore[reportUnnecessaryIsInstance] (a plug-in's may return anything)
            message = f"the export to {to} returned {sample_count!r}, and the number of samples that it wrote is needed"
            raise DmforgeError(message, where="--to", hint="mend the package that it is from")
        if not sample_count and len(corpus):
            message = f"none of the {len(corpus)} samples of this corpus can be said in this format"
            raise InputError(message, where=f"--to {to}", hint="take another format: docs/formats.md says what each has")
    return Exported(sample_count, len(corpus) - sample_count)


def _checked_export(export_name: str, loaded_object: object) -> Export:
    del export_name
    if not callable(loaded_object):
        raise TypeError(f"is a {type(loaded_object).__name__}, and a function of a Corpus and a folder is needed")
    try:
        inspect.signature(loaded_object).bind(None, None)
    except (TypeError, ValueError) as error:
        raise TypeError(f"takes something else than a Corpus and a folder: {error}") from None
    return cast("Export", loaded_object)


_PLUGINS = PluginGroup("dmforge.exports", "format", EXPORTS.keys(), _checked_export)
