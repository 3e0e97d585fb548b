"""What all formats of conversations share: a trajectory as a user's turn and an assistant's, and files beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from dmforge.curation.atomic import writing
from dmforge.curation.shards.corpus import Corpus, PackedVideo
from dmforge.curation.shards.document import ShardSample
from dmforge.curation.video.cut import cut_look
from dmforge.schemas.looks import Look

VIDEO = "<video>"
"""Stands for a clip in a text."""


def user_text(sample: ShardSample) -> str:
    """What is asked, the coarse clip first, as these formats have it."""
    pieces = [piece for piece in sample.transcript.pieces if piece.author == "prompt"]
    return "\n".join(VIDEO if piece.text is None else piece.text for piece in pieces)


def assistant_text(sample: ShardSample) -> str:
    """What the policy wrote, with the clip of its look where it was shown."""
    pieces = [piece for piece in sample.transcript.pieces if piece.author != "prompt"]
    return "".join(f"{VIDEO}\n" if piece.text is None else piece.text for piece in pieces)


def first_look(sample: ShardSample) -> Look | None:
    """The look that was shown."""
    return next((piece.look for piece in sample.transcript.pieces if piece.look is not None), None)


def cut(corpus: Corpus, video: PackedVideo, look: Look) -> bytes:
    """The clip of a look as a file of its own, with the very frames that stand in the transcript."""
    return cut_look(video.grid, corpus.clips.look(video.video.as_record(), look))


def number(fps: Fraction) -> int | float:
    """A density as JSON: 2, 0.5."""
    return fps.numerator if fps.denominator == 1 else float(fps)


def write_bytes(path: Path, data: bytes) -> None:
    """A file of an export."""
    with writing(path) as file:
        file.write(data)


def write_json(path: Path, content: Any) -> None:
    """A JSON document."""
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def write_lines(path: Path, rows: Iterable[Any]) -> int:
    """JSON lines; how many."""
    count = 0
    with writing(path) as file:
        for row in rows:
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
            count += 1
    return count
