"""Does a benchmark know this video, or this question? By id, by what it looks like, and, as a report only, by its words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import PositiveInt

from dmforge.curation.lake.views import View
from dmforge.curation.settled import Key, Made, Origin, Settled, settle
from dmforge.curation.sources.names import parse
from dmforge.curation.sources.references import Reference
from dmforge.curation.stage import Collective, StageConfig
from dmforge.curation.video.fingerprint import Fingerprint, copies
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import Id, show
from dmforge.schemas.records import UNKNOWN, Provenance, Spliced, Task, Verdict, Video


class ContaminationConfig(StageConfig):
    """How questions are compared; ids and looks need no telling."""

    words: PositiveInt = 8
    """Words in a row that two questions must share for it to be told."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """The ids of benchmarks, by namespace."""

    by_id: Mapping[str, Mapping[str, str]]
    """Id -> namespace -> benchmark."""

    def find(self, namespace: str, names: Iterable[str]) -> str:
        """The benchmark that lists a video of these names; where a namespace is unknown, the id alone decides."""
        for name in names:
            for known, benchmark in self.by_id.get(name, {}).items():
                if known == namespace or UNKNOWN in (known, namespace):
                    return benchmark
        return ""


class Contamination(Collective[Video, Verdict]):
    """One verdict a video, `clean`: 1, or 0 where a benchmark has it. And one a task, `novel_words`, which nobody need use:
    common phrases are shared by chance (a third of one dataset's training queries stand in its test)."""

    name, version = "contamination", 2
    measures = ("clean", "novel_words")
    config: ContaminationConfig
    also_reads = (Fingerprint, Provenance, Reference, Task, Spliced)
    if_there = (Spliced,)

    def process(self, view: View, origin: Origin) -> Iterator[Settled]:
        videos = sorted(from_arrow(Video, view.table(view.rows(Video).sql)), key=lambda video: video.id)
        said = {row.video: row for row in from_arrow(Provenance, view.table(view.rows(Provenance).sql))}
        references = from_arrow(Reference, view.table(view.rows(Reference).sql))
        listed, looks = benchmark_ids(references), _looks_like(view, said)
        verdicts = {video.id: [self._of_video(said[video.id], listed, looks.get(video.id))] for video in videos}
        for part in from_arrow(Spliced, view.table(view.rows(Spliced).sql)):
            found = verdicts.get(part.part, [None])[0]
            if found is not None and found.score < 1 and verdicts[part.video][0].score == 1:
                told = "has a part that " + found.reason
                verdicts[part.video] = [
                    Verdict(part.video, part.video, "video", "clean", 0.0, 1, told, show("video", part.part))
                ]
        shingles = {gram: ref.benchmark for ref in references for gram in _grams(ref.question, self.config.words)}
        if shingles:
            for task in sorted(from_arrow(Task, view.table(view.rows(Task).sql)), key=lambda task: task.id):
                verdicts[task.video].append(self._of_task(task, shingles))
        yield settle(
            origin, [Key(video.id, video.id) for video in videos], [Made(tuple(verdicts[v.id])) for v in videos], self.makes
        )

    def _of_video(self, said: Provenance, listed: _Listed, alike: Id | None) -> Verdict:
        benchmark = listed.find(said.namespace, [parse(name).id for name in (said.source_id, *said.also)])
        reason = detail = ""
        if said.role == "benchmark":
            reason = "is a benchmark's"
        elif benchmark:
            reason, detail = "its id is listed", benchmark
        elif alike is not None:
            reason, detail = "looks like a benchmark's video", show("video", alike)
        return Verdict(said.video, said.video, "video", "clean", 0.0 if reason else 1.0, 1, reason, detail)

    def _of_task(self, task: Task, shingles: Mapping[tuple[str, ...], str]) -> Verdict:
        grams = _grams(task.question, self.config.words)
        shared = [shingles[gram] for gram in grams if gram in shingles]
        score = 1 - len(shared) / len(grams) if grams else 1.0
        reason = "shares words with a benchmark's question" if shared else ""
        return Verdict(task.video, task.id, "task", "novel_words", score, len(grams), reason, shared[0] if shared else "")


def benchmark_ids(references: Iterable[Reference]) -> _Listed:
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for reference in sorted(references, key=lambda reference: reference.id):
        found[reference.source_id].setdefault(reference.namespace, reference.benchmark)
    return _Listed(found)


def _looks_like(view: View, said: Mapping[Id, Provenance]) -> dict[Id, Id]:
    """For each video to train on the benchmark's video that it is a copy of."""
    prints = {row.video: row.hashes for row in from_arrow(Fingerprint, view.table(view.rows(Fingerprint).sql))}
    kept = {video for video, row in said.items() if row.role == "benchmark"}
    found: dict[Id, Id] = {}
    if kept:
        for one, other in copies(prints):
            for video, copy in ((one, other), (other, one)):
                if video not in kept and copy in kept:
                    found.setdefault(video, copy)
    return found


def _grams(text: str, length: int) -> list[tuple[str, ...]]:
    """So many words in a row, each time one further; of a shorter text all of its words, if there are at least four."""
    words = "".join(letter if letter.isalnum() else " " for letter in text.casefold()).split()
    if len(words) < length:
        return [tuple(words)] if len(words) >= 4 else []
    return [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]
