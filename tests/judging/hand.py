"""The records that were spoilt by hand, as the lake would hold them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dmforge.schemas.grammar import Trajectory, parse
from dmforge.schemas.looks import Window
from dmforge.schemas.prompts import prompt
from dmforge.schemas.records import Attempt, Candidate, Task, Video
from dmforge.schemas.transcript import Piece, Transcript

FILE = Path(__file__).parent / "by_hand.jsonl"
CLIP = "<video>"


@dataclass(frozen=True)
class Spoilt:
    """A record, and what is wrong with it."""

    name: str
    defect: str
    attempt: Attempt
    video_name: str
    beside: str
    listed: tuple[str, ...]


def read() -> list[Spoilt]:
    return [_read(json.loads(line)) for line in FILE.read_text("utf-8").splitlines()]


def _read(told: dict[str, object]) -> Spoilt:
    record = json.loads(json.dumps(told))
    name = Path(record["row"]["video"][0]).stem
    video = Video(
        hashlib.sha256(name.encode()).hexdigest(), round(record["duration_s"] * 100), 64, 64, Fraction(12), "h264", 0, 1,
        namespace="youtube", source_id=name,
    )  # fmt: skip
    windows = tuple(Window(round(start * 100), round(end * 100)) for start, end in record["windows"])
    task = Task(video.id, record["kind"], record["question"], tuple(record["options"]), record["gold"], windows, "any")
    before, _, after = record["row"]["conversations"][1]["value"].partition(CLIP)
    found = parse(before + after)
    looks, answer = (found.looks, found.answer) if isinstance(found, Trajectory) else ((), "")
    clips = (Piece("runtime", None, looks[0]),) if looks else ()
    pieces = (*prompt(task), Piece("policy", before), *clips, Piece("policy", after))
    candidate = Candidate(video.id, task.id, 0, "hand", Transcript(pieces), looks, answer, "teacher", ())
    attempt = Attempt(candidate, task, video)
    return Spoilt(record["name"], record["defect"], attempt, name, record["beside"], tuple(record["listed"]))
