"""Records that were spoilt by hand, as rows of a lake."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dmforge.curation.contract.stage_results import Made
from dmforge.curation.sources.benchmark_references import Reference
from dmforge.curation.sources.video_names import parse as parse_name
from dmforge.filters.contamination import index_benchmarks
from dmforge.filters.duplicates import Duplicates, DuplicatesConfig
from dmforge.filters.rules.citations import Citations, CitationsConfig
from dmforge.filters.rules.rules import Rules, RulesConfig
from dmforge.filters.verify import Verify, VerifyConfig
from dmforge.schemas.grammar import Trajectory, parse
from dmforge.schemas.looks import Window
from dmforge.schemas.prompts import prompt
from dmforge.schemas.records import Candidate, CandidateWithTask, Task, Verdict, Video
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
"""Defect -> the filter that finds it. `text_after_answer` is found by `grammar` after the element, by `answer_form` in it."""
MIN_SCORES = {"answer": 0.9, "own_span": 0.01, "repetition": 0.7, "evidence": 0.5}


@dataclass(frozen=True)
class Spoilt:
    """A record with its defect."""

    name: str
    defect: str
    attempt: CandidateWithTask
    video_name: str
    twin_name: str
    listed: tuple[str, ...]


def read() -> list[Spoilt]:
    return [_parse_record(json.loads(line)) for line in FILE.read_text("utf-8").splitlines()]


def _parse_record(line_record: dict[str, object]) -> Spoilt:
    record = json.loads(json.dumps(line_record))
    name = Path(record["row"]["video"][0]).stem
    video = Video(
        hashlib.sha256(name.encode()).hexdigest(), round(record["duration_s"] * 100), 64, 64, Fraction(12), "h264", 0, 1,
        namespace="youtube", source_id=name,
    )  # fmt: skip
    windows = tuple(Window(round(start * 100), round(end * 100)) for start, end in record["windows"])
    task = Task(video.id, record["kind"], record["question"], tuple(record["options"]), record["gold"], windows, "any")
    text_before, _, text_after = record["row"]["conversations"][1]["value"].partition(CLIP)
    parsed = parse(text_before + text_after)
    looks, answer = (parsed.looks, parsed.answer) if isinstance(parsed, Trajectory) else ((), "")
    clips = (Piece("runtime", None, looks[0]),) if looks else ()
    pieces = (*prompt(task), Piece("policy", text_before), *clips, Piece("policy", text_after))
    candidate = Candidate(video.id, task.id, 0, "hand", Transcript(pieces), looks, answer, "teacher", ())
    attempt = CandidateWithTask(candidate, task, video)
    return Spoilt(record["name"], record["defect"], attempt, name, record["beside"], tuple(record["listed"]))


def verdicts(spoilt_record: Spoilt) -> dict[str, Verdict]:
    stages = (Rules(RulesConfig()), Citations(CitationsConfig()), Verify(VerifyConfig()))
    by_filter: dict[str, Verdict] = {}
    for stage in stages:
        (result,) = stage.process(iter([spoilt_record.attempt]))
        assert isinstance(result, Made)
        by_filter |= {row.filter: row for row in result.rows if isinstance(row, Verdict)}
    return by_filter


def missed(spoilt_record: Spoilt) -> dict[str, Verdict]:
    """The verdicts below the thresholds of a usual recipe."""
    return {name: row for name, row in verdicts(spoilt_record).items() if row.score < MIN_SCORES.get(name, 1.0)}


def twins(records: list[Spoilt], folder: Path) -> dict[str, float]:
    """For each paraphrase of another record, the lower `unique` score of the two."""
    by_name = {record.name: record for record in records}
    sound_records = [record for record in records if not record.defect]
    paraphrases = [record for record in records if record.defect == "paraphrase_duplicate"]
    rows = {
        row.id: row
        for record in (*sound_records, *paraphrases)
        for row in (record.attempt.video, record.attempt.task)
        if row is not None
    }
    view = judged(folder, list(rows.values()), Duplicates(DuplicatesConfig()))
    unique_scores = dict(view.connection.execute("SELECT subject, score FROM verdicts WHERE filter = 'unique'").fetchall())
    pairs = {record.name: (record.attempt.task.id, by_name[record.twin_name].attempt.task.id) for record in paraphrases}
    return {name: min(unique_scores[subject] for subject in pair) for name, pair in pairs.items()}


def is_listed(spoilt_record: Spoilt) -> bool:
    """Whether a benchmark lists the record's video, however it writes its id."""
    benchmark_index = index_benchmarks([Reference(b"\0" * 16, "bench", "youtube", name, "") for name in spoilt_record.listed])
    return benchmark_index.find("youtube", [parse_name(spoilt_record.video_name).id]) == "bench"
