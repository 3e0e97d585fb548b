"""The records that were spoilt by hand, as the lake would hold them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dmforge.curation.settled import Made
from dmforge.curation.sources.names import parse as parse_name
from dmforge.curation.sources.references import Reference
from dmforge.filters.citations import Citations, CitationsConfig
from dmforge.filters.contamination import index_benchmarks
from dmforge.filters.duplicates import Duplicates, DuplicatesConfig
from dmforge.filters.rules import Rules, RulesConfig
from dmforge.filters.verify import Verify, VerifyConfig
from dmforge.schemas.grammar import Trajectory, parse
from dmforge.schemas.looks import Window
from dmforge.schemas.prompts import prompt
from dmforge.schemas.records import Attempt, Candidate, Task, Verdict, Video
from dmforge.schemas.transcript import Piece, Transcript
from tests.judging.lakes import judged

FILE = Path(__file__).parent / "by_hand.jsonl"
CLIP = "<video>"
CAUGHT_BY = {
    "wrong_window": "evidence",
    "right_answer_wrong_window": "evidence",
    "window_past_end": "window",
    "wrong_answer": "answer",
    "leaked_gold": "unleaked",
    "cited_off_stamps_t1": "cited_stamps",
    "cited_off_stamps_t2": "cited_stamps",
    "cited_outside_t1": "cited_inside",
    "cited_outside_t2": "cited_inside",
    "span_equals_answer": "own_span",
    "malformed_tags": "grammar",
    "missing_answer": "answer_form",
    "doubled_answer": "answer_form",
    "text_after_answer": "",
    "repetition": "repetition",
    "empty_thought": "grammar",
    "other_language": "language",
    "needs_audio": "silent",
}
"""`text_after_answer` is found by the grammar behind the element, by `answer_form` within it."""
LEAST = {"answer": 0.9, "own_span": 0.01, "repetition": 0.7, "evidence": 0.5}


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


def verdicts(spoilt: Spoilt) -> dict[str, Verdict]:
    stages = (Rules(RulesConfig()), Citations(CitationsConfig()), Verify(VerifyConfig()))
    found: dict[str, Verdict] = {}
    for stage in stages:
        (made,) = stage.process(iter([spoilt.attempt]))
        assert isinstance(made, Made)
        found |= {row.filter: row for row in made.rows if isinstance(row, Verdict)}
    return found


def missed(spoilt: Spoilt) -> dict[str, Verdict]:
    """The verdicts below the thresholds of a usual recipe."""
    return {name: row for name, row in verdicts(spoilt).items() if row.score < LEAST.get(name, 1.0)}


def twins(records: list[Spoilt], folder: Path) -> dict[str, float]:
    """Of each record that says again what another one says, how unlike the less unlike of the two is."""
    by_name = {one.name: one for one in records}
    sound = [one for one in records if not one.defect]
    spoilt = [one for one in records if one.defect == "paraphrase_duplicate"]
    rows = {row.id: row for one in (*sound, *spoilt) for row in (one.attempt.video, one.attempt.task) if row is not None}
    view = judged(folder, list(rows.values()), Duplicates(DuplicatesConfig()))
    found = dict(view.connection.execute("SELECT subject, score FROM verdicts WHERE filter = 'unique'").fetchall())
    pairs = {one.name: (one.attempt.task.id, by_name[one.beside].attempt.task.id) for one in spoilt}
    return {name: min(found[subject] for subject in pair) for name, pair in pairs.items()}


def is_listed(spoilt: Spoilt) -> bool:
    """Whether a benchmark lists the record's video, however it writes its id."""
    listed = index_benchmarks([Reference(b"\0" * 16, "bench", "youtube", name, "") for name in spoilt.listed])
    return listed.find("youtube", [parse_name(spoilt.video_name).id]) == "bench"
