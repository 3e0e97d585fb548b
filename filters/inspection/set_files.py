"""The files of a released set: which of them hold annotations, in which format, of which split, and which go with others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dmforge.curation.exports.read_back import read_written
from dmforge.curation.shards.stores import selection_place
from dmforge.curation.sources.annotation_files import first_json_letter, placed_message, read_json, readable_records
from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions
from dmforge.curation.sources.annotation_reader import read_companion
from dmforge.curation.sources.format_detection import FIRST_RECORDS, detect_format
from dmforge.curation.sources.formats import FORMATS, find_format
from dmforge.schemas.errors import DmforgeError, InputError

SUFFIXES = frozenset({".json", ".jsonl", ".ndjson", ".csv", ".txt", ".parquet", ".tar"})
HINT = "dmforge import --list says what each format looks like; --format NAME says which one it is"
EXPORT = "export"
"""What the format is called of rows that no importer reads and `dmforge lint` does: shards and exports."""
UNKNOWN = "no annotations of a known format"
NOTHING = "there is nothing in this file"
MAX_FAULTS = 3
"""Files that can't be read and are named in one error."""
FORMAT_OF_LAYOUT = {".parquet": "hf", ".csv": "nextqa", ".txt": "ids"}
"""A format whose files are laid out as these suffixes say; all others are JSON."""
SPLIT_OF_WORD = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "dev": "validation", "test": "test", "testing": "test", "eval": "test",
}  # fmt: skip
"""Words in the name of a file, or of its folders, that say its split."""


@dataclass(frozen=True, slots=True)
class SetFile:
    """A file with annotations."""

    path: Path
    name: str
    """As it is called within the set."""
    form: AnnotationFormat | None
    """None where `read_back` reads it: shards, and exports that no importer reads."""
    split: str
    """Empty where its name says none."""

    @property
    def format_name(self) -> str:
        return self.form.name if self.form else EXPORT

    @property
    def namespace(self) -> str:
        return self.form.namespace if self.form else "unknown"


@dataclass(frozen=True, slots=True)
class ReleasedSet:
    """The files of a set."""

    files: tuple[SetFile, ...]
    companions: Mapping[str, Companions]
    """What companion files say, by the name of the format that they go with."""
    left_aside: Mapping[str, str]
    """Files that hold no annotations of a known format, and why."""


def open_set(places: Sequence[Path], format_name: str | None = None) -> ReleasedSet:
    """The files of a set, given as files and folders; each is of this format, or of the one that it looks like."""
    form = find_format(format_name, "--format") if format_name else None
    named_paths = dict(
        pair for place, name in zip(places, _names_of(places), strict=True) for pair in _named_paths(place, name)
    )
    set_files: list[SetFile] = []
    unread_paths: dict[str, Path] = {}
    for name, path in named_paths.items():
        if form is not None and read_companion(form, path) is None:
            set_files.append(SetFile(path, name, form, split_of(name)))
        elif form is None and (detected_form := detect_format(path)) is not None:
            set_files.append(SetFile(path, name, detected_form, split_of(name)))
        elif form is None and _is_written(path):
            set_files.append(SetFile(path, name, None, split_of(name)))
        else:
            unread_paths[name] = path
    companions, left_aside = _read_companions(set_files, unread_paths)
    if not set_files:
        where = ", ".join(map(str, places))[:200]
        faults = [f"{name}: {reason}" for name, reason in left_aside.items() if reason != UNKNOWN]
        if faults and len(places) == 1 and places[0].is_file():  # then `where` is its name
            faults = list(left_aside.values())
        message = "; ".join(faults[:MAX_FAULTS]) or f"there are {UNKNOWN} here"
        raise InputError(message, where=where, hint=HINT)
    return ReleasedSet(tuple(set_files), companions, left_aside)


def lacking_companion(released_set: ReleasedSet) -> str:
    """What to give, too, where a file can't be read without one that goes with it; empty where none lacks."""
    for set_file in released_set.files:
        if set_file.form and set_file.form.needs_companion and not released_set.companions.get(set_file.form.name):
            pattern = set_file.form.needs_companion
            return f"give {' or '.join(sorted(path.name for path in set_file.path.parent.glob(pattern))) or pattern} too"
    return ""


def split_of(name: str) -> str:
    """The split that a file's name says, or else one of its folders'."""
    for path_part in reversed(Path(name).parts):
        for word in reversed(re.split(r"[^a-z]+", path_part.lower())):
            if word in SPLIT_OF_WORD:
                return SPLIT_OF_WORD[word]
    return ""


def _names_of(places: Sequence[Path]) -> list[str]:
    """What places are called within the set: a single folder isn't named, others are by their last part if that tells them
    apart."""
    if len(places) == 1 and not places[0].is_file():
        return [""]
    last_parts = [place.name for place in places]
    return last_parts if len(set(last_parts)) == len(places) else list(map(str, places))


def _named_paths(place: Path, place_name: str) -> Iterator[tuple[str, Path]]:
    """The files of a place, each with its name within the set."""
    folder = Path(selection_place(str(place)))
    if folder.is_file():
        yield place_name, folder
        return
    if not folder.is_dir():
        message = "neither a file nor a folder" if folder.exists() else "there is no such file or folder"
        raise InputError(message, where=str(place), hint="give files and folders that can be read")
    for path in sorted(folder.rglob("*")):
        inner_path = path.relative_to(folder)
        is_hidden = any(path_part.startswith(".") for path_part in inner_path.parts)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not is_hidden:
            yield str(Path(place_name, inner_path)), path


def _is_written(path: Path) -> bool:
    """Whether `lint` reads it."""
    try:
        return any(True for _ in read_written(path))
    except (DmforgeError, OSError):
        return False


def _fault_of(path: Path) -> str:
    """Why no record of a file can be read, whatever its format is; empty where one can."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".tar":
            return "" if any(True for _ in read_written(path)) else NOTHING
        form = FORMATS[FORMAT_OF_LAYOUT.get(suffix, "jsonl")]
        first_records = [record for _, record in islice(readable_records(path, form), FIRST_RECORDS)]
        errors = [record for record in first_records if isinstance(record, InputError)]
        if len(errors) < len(first_records):
            return ""
        if suffix == ".json" and first_json_letter(path) == b"{":  # an object over many lines is no record a line
            read_json(path)
            return ""
        return placed_message(errors[0], path) if errors else NOTHING
    except (DmforgeError, OSError) as error:
        return placed_message(error, path) if isinstance(error, DmforgeError) else str(error.strerror)


def _read_companions(
    set_files: Sequence[SetFile], unread_paths: Mapping[str, Path]
) -> tuple[dict[str, Companions], dict[str, str]]:
    companions: dict[str, Companions] = {}
    left_aside = {name: _fault_of(path) or UNKNOWN for name, path in unread_paths.items()}
    for form in {set_file.form.name: set_file.form for set_file in set_files if set_file.form}.values():
        companion_values: dict[str, Any] = {}
        for name, path in unread_paths.items():
            try:
                companion_entries = read_companion(form, path)
            except InputError as error:
                left_aside[name] = error.message
                continue
            if companion_entries is not None:
                companion_values |= companion_entries
                left_aside.pop(name, None)
        companions[form.name] = companion_values
    return companions, left_aside
