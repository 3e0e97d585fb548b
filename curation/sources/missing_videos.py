"""The list of videos that annotations are about and nobody has brought: for whoever fetches them, a line of JSON each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from dmforge.curation.io.atomic import write_json_lines
from dmforge.curation.sources.video_names import VideoName, parse


def write_missing_videos(path: Path, questions_by_name: Mapping[str, int], namespace: str) -> int:
    """Write the list; how many videos there are. `questions_by_name` are the names that annotations say, each with the number
    of its questions; several names may mean one video."""
    return write_json_lines(path, _lines(questions_by_name, namespace))


def _lines(questions_by_name: Mapping[str, int], namespace: str) -> Iterator[dict[str, object]]:
    names_by_video: defaultdict[VideoName, list[str]] = defaultdict(list)
    for name in sorted(questions_by_name):
        names_by_video[parse(name)].append(name)
    questions = Counter({video: sum(map(questions_by_name.__getitem__, names)) for video, names in names_by_video.items()})
    for video, question_count in sorted(questions.items(), key=lambda item: (-item[1], item[0].id, item[0].part or (0, 0))):
        part = {"start_s": video.part[0], "end_s": video.part[1]} if video.part else {}
        yield {"namespace": namespace, "id": video.id, **part, "names": names_by_video[video], "questions": question_count}
