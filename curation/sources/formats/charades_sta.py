"""Charades-STA: `VID start end##sentence` a line. Lengths come from a CSV with the columns id and length."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from dmforge.curation.sources.annotation_files import open_as_utf8
from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion

LINE = re.compile(r"(\S+) (-?[0-9.]+) (-?[0-9.]+)##(.*)")


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    line_match = LINE.fullmatch(record["line"].strip())
    if line_match is None:
        raise ValueError("a line is not `VID start end##sentence`")
    video_name, start_text, end_text, caption = line_match.groups()
    yield Question(
        video_name, "grounding", caption, windows=((float(start_text), float(end_text)),), duration_s=companions.get(video_name)
    )


def companion(path: Path) -> Companions | None:
    if path.suffix.lower() != ".csv":
        return None
    with open_as_utf8(path) as byte_lines, io.TextIOWrapper(byte_lines, "utf-8-sig", newline="") as text_file:
        return {csv_row["id"]: float(csv_row["length"]) for csv_row in csv.DictReader(text_file) if csv_row.get("length")}


FORMAT = AnnotationFormat(
    "charades_sta", "text", frozenset({"line"}), questions, "lines `VID start end##sentence`",
    companion=companion, namespace="charades",
)  # fmt: skip
