"""Is a video, or a question, part of a benchmark? By id, by visual fingerprint, and, as a report only, by shared words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import PositiveInt

from dmforge.curation.contract.collective import Collective, View
from dmforge.curation.contract.stage import StageConfig
from dmforge.curation.contract.stage_results import Key, Made, Origin, StageResults, settle
from dmforge.curation.lake.partition import Bounds
from dmforge.curation.sources.benchmark_references import Reference
from dmforge.curation.sources.video_names import parse
from dmforge.curation.video.fingerprint import Fingerprint, copies
from dmforge.schemas.ids import Id, show
from dmforge.schemas.record_fields import UNKNOWN
from dmforge.schemas.records import Provenance, Spliced, Task, Verdict, Video

RANGE_ROWS = 10_000
"""About how many videos or tasks are in memory at once."""


class ContaminationConfig(StageConfig):
    """How questions are compared."""

    words: PositiveInt = 8
    """Words in a row that two questions must share to be reported."""


@dataclass(frozen=True, slots=True)
class BenchmarkIndex:
    """The videos that benchmarks list, by id and namespace."""

    by_id: Mapping[str, Mapping[str, str]]
    """Id -> namespace -> benchmark."""

    def find(self, namespace: str, source_ids: Iterable[str]) -> str:
        """The benchmark that lists a video under one of these ids; where a namespace is unknown, the id alone decides."""
        for source_id in source_ids:
            for listed_namespace, benchmark_name in self.by_id.get(source_id, {}).items():
                if listed_namespace == namespace or UNKNOWN in (listed_namespace, namespace):
                    return benchmark_name
        return ""


class Contamination(Collective[Video, Verdict]):
    """One verdict a video, `clean`: 0 where a benchmark has it, else 1. And one a task, `novel_words`, as information only:
    common phrases are shared by chance (a third of one dataset's training queries stand in its test)."""

    name, version = "contamination", 2
    measures = ("clean", "novel_words")
    config: ContaminationConfig
    also_reads = (Fingerprint, Provenance, Reference, Task, Spliced)
    if_there = (Spliced,)

    def process(self, view: View, origin: Origin) -> Iterator[StageResults]:
        references, video_ranges = view.all_rows(Reference), max((view.ranges(r, RANGE_ROWS) for r in (Video, Task)), key=len)
        benchmark_index, lookalike_by_video = index_benchmarks(references), _benchmark_lookalikes(view, video_ranges)
        # parts of a spliced video lie anywhere: of all videos those are known at once that a benchmark has
        listed_verdicts = {
            verdict.video: verdict
            for bounds in video_ranges
            for provenance in view.about(bounds, Provenance)
            for verdict in [self._video_verdict(provenance, benchmark_index, lookalike_by_video.get(provenance.video))]
            if verdict.score < 1
        }
        benchmark_questions = BenchmarkQuestions(
            ((reference.question, reference.benchmark) for reference in references), self.config.words
        )
        for bounds in video_ranges:
            videos = sorted(video.id for video in view.about(bounds, Video))
            verdicts_by_video = {video: [listed_verdicts.get(video) or _clean(video)] for video in videos}
            for spliced_part in view.about(bounds, Spliced):
                part_verdict = listed_verdicts.get(spliced_part.part)
                if part_verdict is not None and verdicts_by_video[spliced_part.video][0].score == 1:
                    part_reason, part_name = "has a part that " + part_verdict.reason, show("video", spliced_part.part)
                    verdicts_by_video[spliced_part.video] = [_listed(spliced_part.video, part_reason, part_name)]
            for task in sorted(view.about(bounds, Task), key=lambda task: task.id) if benchmark_questions else ():
                verdicts_by_video[task.video].append(self._task_verdict(task, benchmark_questions))
            results = [Made(tuple(verdicts_by_video[video])) for video in videos]
            yield settle(origin, [Key(video, video) for video in videos], results, self.makes)

    def _video_verdict(self, provenance: Provenance, benchmark_index: BenchmarkIndex, lookalike: Id | None) -> Verdict:
        benchmark_name = benchmark_index.find(
            provenance.namespace, [parse(source_id).id for source_id in (provenance.source_id, *provenance.also)]
        )
        verdict_reason = verdict_detail = ""
        if provenance.role == "benchmark":
            verdict_reason = "is a benchmark's"
        elif benchmark_name:
            verdict_reason, verdict_detail = "its id is listed", benchmark_name
        elif lookalike is not None:
            verdict_reason, verdict_detail = "looks like a benchmark's video", show("video", lookalike)
        if not verdict_reason:
            return _clean(provenance.video)
        return _listed(provenance.video, verdict_reason, verdict_detail)

    def _task_verdict(self, task: Task, benchmark_questions: BenchmarkQuestions) -> Verdict:
        shared_runs = benchmark_questions.compare(task.question)
        verdict_score = 1 - shared_runs.shared / shared_runs.runs if shared_runs.runs else 1.0
        verdict_reason = "shares words with a benchmark's question" if shared_runs.shared else ""
        return Verdict(
            task.video, task.id, "task", "novel_words", verdict_score, shared_runs.runs, verdict_reason, shared_runs.benchmark
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SharedRuns:
    """How many runs of words a question has, how many of them benchmarks have, and the benchmark of the first of these."""

    runs: int
    shared: int
    benchmark: str


class BenchmarkQuestions:
    """The runs of `ngram_words` words in the questions of benchmarks, each question with its benchmark."""

    def __init__(self, questions: Iterable[tuple[str, str]], ngram_words: int) -> None:
        self._ngram_words = ngram_words
        self._benchmark_by_ngram = {
            word_ngram: benchmark_name
            for question, benchmark_name in questions
            for word_ngram in _word_ngrams(question, ngram_words)
        }

    def __bool__(self) -> bool:
        return bool(self._benchmark_by_ngram)

    def compare(self, question: str) -> SharedRuns:
        """The runs that a question shares with those of benchmarks."""
        question_ngrams = _word_ngrams(question, self._ngram_words)
        names = [self._benchmark_by_ngram[ngram] for ngram in question_ngrams if ngram in self._benchmark_by_ngram]
        return SharedRuns(len(question_ngrams), len(names), names[0] if names else "")


def index_benchmarks(references: Iterable[Reference]) -> BenchmarkIndex:
    """The index of what benchmarks list."""
    by_id: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for reference in sorted(references, key=lambda reference: reference.id):
        by_id[reference.source_id].setdefault(reference.namespace, reference.benchmark)
    return BenchmarkIndex(by_id)


def _clean(video: Id) -> Verdict:
    return Verdict(video, video, "video", "clean", 1.0, 1)


def _listed(video: Id, reason: str, detail: str) -> Verdict:
    return Verdict(video, video, "video", "clean", 0.0, 1, reason, detail)


def _benchmark_lookalikes(view: View, video_ranges: Iterable[Bounds]) -> dict[Id, Id]:
    """For each training video that is a copy of a benchmark's video, that video."""
    benchmark_videos = {
        provenance.video
        for bounds in video_ranges
        for provenance in view.about(bounds, Provenance)
        if provenance.role == "benchmark"
    }
    lookalike_by_video: dict[Id, Id] = {}
    if benchmark_videos:
        hashes_by_video = {row_of_video.video: row_of_video.hashes for row_of_video in view.all_rows(Fingerprint)}
        for first_video, second_video in copies(hashes_by_video):
            for video_id, copy_video in ((first_video, second_video), (second_video, first_video)):
                if video_id not in benchmark_videos and copy_video in benchmark_videos:
                    lookalike_by_video.setdefault(video_id, copy_video)
    return lookalike_by_video


def _word_ngrams(text: str, ngram_words: int) -> list[tuple[str, ...]]:
    """All runs of `ngram_words` words of a text; of a shorter text all of its words, if there are at least four."""
    text_words = "".join(text_char if text_char.isalnum() else " " for text_char in text.casefold()).split()
    if len(text_words) < ngram_words:
        return [tuple(text_words)] if len(text_words) >= 4 else []
    return [
        tuple(text_words[ngram_start : ngram_start + ngram_words]) for ngram_start in range(len(text_words) - ngram_words + 1)
    ]
