"""Does a set train on a benchmark? By the ids of its videos, and by the words of its questions, as `contamination` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dmforge.curation.sources.annotation_files import first_json_letter
from dmforge.curation.sources.annotation_format import AnnotationFormat, RefusedQuestion
from dmforge.curation.sources.annotation_reader import survey_records
from dmforge.curation.sources.benchmark_references import Reference
from dmforge.curation.sources.format_detection import detect_format
from dmforge.curation.sources.formats import FORMATS
from dmforge.curation.sources.video_names import parse
from dmforge.filters.contamination import BenchmarkQuestions, ContaminationConfig, index_benchmarks
from dmforge.filters.inspection.set_findings import SetTally
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import digest

HINT = "give a list of video ids, one a line, or the benchmark's own file in a format that dmforge import --list names"
NO_VIDEO = digest("no video", "")


class BenchmarkMatches:
    """The videos and the questions of benchmarks, from their files; each is called what its file is called."""

    def __init__(self, paths: Sequence[Path]) -> None:
        references = [reference for path in _files_of(paths) for reference in _references(path)]
        self._videos = index_benchmarks(references)
        questions = ((reference.question, reference.benchmark) for reference in references if reference.question)
        self._questions = BenchmarkQuestions(questions, ContaminationConfig().words)

    def check_video(self, row: int, namespace: str, video: str, tally: SetTally) -> None:
        benchmark_name = self._videos.find(namespace, [parse(video).id])
        if benchmark_name:
            tally.add("benchmark_video", row, benchmark_name, video)

    def check_question(self, row: int, question: str, tally: SetTally) -> None:
        shared_runs = self._questions.compare(question)
        if shared_runs.shared:
            tally.add("benchmark_question", row, shared_runs.benchmark, question)


def _files_of(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _references(path: Path) -> Iterator[Reference]:
    form = _format_of(path)
    reference_count = 0
    for record in survey_records(form, path, {}):
        for question in record.questions:
            text = "" if isinstance(question, RefusedQuestion) else question.question
            if question.video:
                reference_count += 1
                yield Reference(NO_VIDEO, path.stem, form.namespace, parse(question.video).id, text)
    if not reference_count:
        raise InputError("no benchmark: it names no video", where=str(path), hint=HINT)


def _format_of(path: Path) -> AnnotationFormat:
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), hint="correct the path")
    form = detect_format(path)
    if form is not None:
        return form
    if first_json_letter(path) in (b"[", b"{") or path.suffix == ".parquet":
        raise InputError("no benchmark in a known format", where=str(path), hint=HINT)
    return FORMATS["ids"]
