"""Exports of a packed corpus to the formats of other trainers, a small module each, and those of plug-ins."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dmforge.curation.exports.export_part import ExportJob
from dmforge.curation.exports.export_parts import OnPartWritten, write_parts
from dmforge.curation.exports.export_place import SEAL, export_place
from dmforge.curation.exports.known_formats import FORMATS
from dmforge.curation.exports.row_format import ExportTables, RowFormat
from dmforge.curation.io.atomic import sync_files
from dmforge.curation.io.locations import is_remote
from dmforge.curation.io.plugins import PluginGroup
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.folders import published
from dmforge.curation.shards.integrity import require_undamaged
from dmforge.schemas.config import nearest
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.known_dialects import DIALECTS
from dmforge.schemas.errors import DmforgeError, InputError

Export = Callable[[Corpus, Path], int]
"""A plug-in's: writes a corpus into an empty folder and returns how many samples it wrote."""
README = "README.md"


@dataclass(frozen=True, slots=True)
class Exported:
    """The counts of an export."""

    samples: int
    left_out: int
    """Samples that the format can't express."""
    caveats: tuple[str, ...] = ()
    """What readers of the format lose or get wrong."""


def require_export(to: str, dialect: DialectName | None = None) -> DialectName:
    """Refuse what doesn't exist; the dialect that rows are written in, which is the format's first unless it is said."""
    if dialect is not None and dialect not in DIALECTS:
        raise InputError(f"there is no dialect {dialect!r}", where="--dialect", hint=nearest(dialect, list(DIALECTS)))
    known_dialects = FORMATS[to].dialects if _PLUGINS.load(to, "--to") is None else ("span",)
    if dialect is not None and dialect not in known_dialects:
        formats = [name for name, row_format in FORMATS.items() if dialect in row_format.dialects]
        hint = f"export --to {' or --to '.join(formats)}, or leave --dialect out"
        raise InputError(f"{to} has no form for the dialect `{dialect}`", where="--dialect", hint=hint)
    return dialect or known_dialects[0]


def export(
    corpus: Corpus,
    to: str,
    out: str | Path,
    dialect: DialectName | None = None,
    report: OnPartWritten = lambda written, parts: None,
) -> Exported:
    """Write a corpus in another format into a folder or to an address, completely or not at all. Rows of conversations are
    said in the dialect. What an interrupted export has left is gone on with."""
    dialect, plug_in = require_export(to, dialect), _PLUGINS.load(to, "--to")
    if plug_in is not None:
        return _by_plug_in(plug_in, corpus, to, out)
    row_format, place, manifest = FORMATS[to], export_place(str(out)), corpus.manifest
    export_json: dict[str, Any] = {"format": to, "dialect": dialect, "corpus": manifest.corpus, "selection": manifest.selection}
    with place.held(export_json):
        require_undamaged(corpus.place)
        parts = write_parts(ExportJob(corpus.place, to, dialect, place.where), corpus, place, report)
        samples = len(corpus) - parts.left_out
        if not samples and len(corpus):
            message = f"none of the {len(corpus)} samples of this corpus can be said in this format"
            raise InputError(message, where=f"--to {to}", hint="take another format: docs/formats.md says what each has")
        tables = ExportTables(place, manifest, DIALECTS[dialect], parts.names, parts.table_rows)
        row_format.finish(tables)
        if place.read(README) is None:
            with place.file(README) as file:
                file.write(_readme(row_format, tables).encode())
        tables.write_json(SEAL, {**export_json, "samples": samples, "left_out": parts.left_out})
    return Exported(samples, parts.left_out, row_format.caveats)


def _readme(row_format: RowFormat, tables: ExportTables) -> str:
    manifest = tables.manifest
    lines = [
        f"# {manifest.corpus}", "",
        f"Exported from the selection `{manifest.selection}`: its card says where videos come from, under which licences, and "
        "how samples were judged.", "",
        "Frames of each clip have the times of the video that it was cut from. `clips` of a row lists them (`frame_times_s`), "
        "and the stamps under which a student is shown them in pairs (`stamps_s`).",
    ]  # fmt: skip
    if row_format.caveats:
        lines += ["", "What readers of this format lose or get wrong:", "", *(f"- {caveat}" for caveat in row_format.caveats)]
    return "\n".join(lines) + "\n"


def _by_plug_in(write_export: Export, corpus: Corpus, to: str, out: str | Path) -> Exported:
    if is_remote(str(out)):
        raise InputError(f"the export to {to} writes folders", where="--out", hint="give a folder, and copy it")
    folder = Path(out)
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
        sync_files(temporary_folder)
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


_PLUGINS = PluginGroup("dmforge.exports", "format", FORMATS.keys(), _checked_export)
