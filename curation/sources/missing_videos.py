"""The list of videos that annotations are about and nobody has brought: for whoever fetches them, a line of JSON each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from dmforge.curation.io.atomic import write_json_lines
from dmforge.curation.sources.video_names import VideoName, parse

MissingNames = Mapping[str, Mapping[str, int]]
"""By namespace, the names that annotations say, each with the number of its questions."""


def write_missing_videos(path: Path, missing_names: MissingNames) -> int:
    """Write the list, most questions first; how many videos there are. Several names may mean one video."""
    names_by_video: defaultdict[tuple[str, VideoName], list[str]] = defaultdict(list)
    questions_by_video = Counter[tuple[str, VideoName]]()
    for namespace, questions_by_name in missing_names.items():
        for name in sorted(questions_by_name):
            names_by_video[namespace, parse(name)].append(name)
            questions_by_video[namespace, parse(name)] += questions_by_name[name]
    return write_json_lines(path, _lines(names_by_video, questions_by_video))


def _lines(
    names_by_video: Mapping[tuple[str, VideoName], list[str]], questions_by_video: Mapping[tuple[str, VideoName], int]
) -> Iterator[dict[str, object]]:
    def rank(item: tuple[tuple[str, VideoName], int]) -> tuple[object, ...]:
        (namespace, video), question_count = item
        return -question_count, video.id, video.part or (0, 0), namespace

    for (namespace, video), question_count in sorted(questions_by_video.items(), key=rank):
        part = {"start_s": video.part[0], "end_s": video.part[1]} if video.part else {}
        names = names_by_video[namespace, video]
        yield {"namespace": namespace, "id": video.id, **part, "names": names, "questions": question_count}
