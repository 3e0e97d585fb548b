"""Charades-STA: `VID start end##sentence` a line. Lengths come from a CSV with the columns id and length."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from dmforge.curation.sources.contract import Beside, Format, Question, Raw, Refused
from dmforge.curation.sources.files import opened_as_utf8

LINE = re.compile(r"(\S+) (-?[0-9.]+) (-?[0-9.]+)##(.*)")


def questions(record: Raw, beside: Beside) -> Iterator[Question | Refused]:
    found = LINE.fullmatch(record["line"].strip())
    if found is None:
        raise ValueError("not `VID start end##sentence`")
    video, start, end, sentence = found.groups()
    yield Question(video, "grounding", sentence, windows=((float(start), float(end)),), duration_s=beside.get(video))


def companion(path: Path) -> Beside | None:
    if path.suffix.lower() != ".csv":
        return None
    with opened_as_utf8(path) as lines, io.TextIOWrapper(lines, "utf-8-sig", newline="") as file:
        return {row["id"]: float(row["length"]) for row in csv.DictReader(file) if row.get("length")}


FORMAT = Format(
    "charades_sta", "text", frozenset({"line"}), questions, "lines `VID start end##sentence`",
    companion=companion, namespace="charades",
)  # fmt: skip
