"""The format numbers that this version writes. A file with a higher one was written by a newer version, and is refused.

A shape that changes gets a new number here (a table gets its own from its columns: `records.later`), an upgrade or declared
defaults, and a fixture in tests/compatibility. What is promised about them: docs/compatibility.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from dmforge.schemas.errors import InputError

WORKSPACE = 3
"""1: a folder without `format.json`. 2: `format.json` says the numbers. 3: commits say which videos their parts hold; those
without are read as they are."""
JOURNAL = 3
"""Lines of journal/<model>/<writer>.jsonl. 1: one answer a question. 2: a line says how long the answer could be, and
whether it was cut off there; of several answers to a question one counts. 3: a line ends with its own sha256; those without
are read as they are."""
SHARDS = 1
"""manifest.json, the index, and which files a shard has for a video."""
DOCUMENTS = 3
"""The JSON document about a video and its samples in a shard. 2: looks have `box` and `tokens`. 3: a target may have several
looks. Shards have the lowest number that says what is in them, so older versions read those without."""
FRAMES = 2
"""Which frames a look and an overview have, and how large they are. 1: all looks at a video have one size. 2: `look_size` may
be `floor`; shards without it are written with 1, so older versions read them."""
KEYS = 1
"""How ids and keys of work are digested."""
QUESTIONS = 2
"""How keys of questions are digested. 1: with the schema and the limit of the reply; 2: without. Answers under 1 are found."""
TRAINING = 1
"""Files for `dmforge train` and `dmforge evaluate`."""


def frames_format(clips: Mapping[str, object]) -> int:
    """The format number of frames with these clip settings, by their first names."""
    return 2 if "look_size" in clips else 1


def documents_format(has_limits: bool, has_target_sets: bool) -> int:
    """The format number of documents, by whether a look in them has a box or a token quota, or a target several looks."""
    return 3 if has_target_sets else 2 if has_limits else 1


def refuse_newer(subject: str, format_number: object, max_supported: int, where: str, written_by: str = "") -> None:
    """Raise an error where a file has a format number that this version doesn't know."""
    if type(format_number) is not int or format_number < 1:
        raise InputError(
            f"the format number of {subject} is {format_number!r}",
            where=where,
            hint="restore the file: a format is a number from 1 on",
        )
    if format_number > max_supported:
        needed_version = f"dmforge {written_by} or later" if written_by else "a newer dmforge"
        message = f"{subject} is of format {format_number}; this dmforge reads formats up to {max_supported}"
        raise InputError(message, where=where, hint=f"install {needed_version}: this one would misread it")
