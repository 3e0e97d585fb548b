"""The numbers of the formats that this version writes. What bears a higher one was written by a newer version, and is refused.

A shape that changes gets a new number here (a table gets its own from its columns: `records.later`), an upgrade or declared
defaults, and a fixture in tests/compatibility. What is promised about them: docs/compatibility.md.
"""

from __future__ import annotations

from dmforge.schemas.errors import InputError

WORKSPACE = 2
"""1: a folder without `format.json`. 2: `format.json` says the numbers."""
JOURNAL = 1
"""Lines of journal/<model>/<writer>.jsonl."""
SHARDS = 1
"""manifest.json, the index, and which files a shard has for a video."""
DOCUMENTS = 1
"""The JSON document about a video and its samples in a shard."""
FRAMES = 1
"""Which frames a look and an overview have, and how large they are."""
KEYS = 1
"""How ids, keys of work and keys of questions are digested."""
TRAINING = 1
"""Files for `dmforge train` and `dmforge evaluate`."""


def refuse_newer(what: str, number: object, known: int, where: str, written_by: str = "") -> None:
    """An error where something bears a number that this version doesn't know."""
    if type(number) is not int or number < 1:
        raise InputError(
            f"the format number of {what} is {number!r}", where=where, mend="restore the file: a format is a number from 1 on"
        )
    if number > known:
        version = f"dmforge {written_by} or later" if written_by else "a newer dmforge"
        told = f"{what} is of format {number}; this dmforge reads formats up to {known}"
        raise InputError(told, where=where, mend=f"install {version}: this one would misread it")
