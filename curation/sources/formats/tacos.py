"""TACoS as it is passed on: like ActivityNet Captions, but times are numbers of frames."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion, by_key


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    video_name, video_fps = record["video"], float(record["fps"])
    duration_s = record["num_frames"] / video_fps
    for (start_frame, end_frame), caption in zip(record["timestamps"], record["sentences"], strict=True):
        yield Question(
            video_name, "grounding", caption, windows=((start_frame / video_fps, end_frame / video_fps),), duration_s=duration_s
        )


FORMAT = AnnotationFormat(
    "tacos", "json", frozenset({"timestamps", "sentences", "fps", "num_frames"}), questions,
    "{VID: {timestamps (frames), sentences, fps, num_frames}}", records=by_key, namespace="tacos",
)  # fmt: skip
