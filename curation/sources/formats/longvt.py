"""LongVT: OpenAI's messages whose assistant calls `crop_video`, which shows a frame a second, 128 at most."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.message_rows import row_questions
from dmforge.curation.sources.formats.openai_messages import HELD, read_parts
from dmforge.curation.sources.published_turns import FixedDensity
from dmforge.curation.sources.row_rest import with_extras

CROP_TOOL = FixedDensity("crop_video", Fraction(1), min_frames=1, max_frames=128)
INSTRUCTIONS = re.compile(r"\s*(?:Think first, call \*\*crop_video\*\*|The [Vv]ideo [Pp]ath for this video is).*", re.DOTALL)
"""What stands behind a question: how to call the tool, and where the video lies."""


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    row = read_parts(record)
    instructions: list[str] = []
    for message in row.messages:
        match = INSTRUCTIONS.search(message["content"]) if message["role"] == "user" else None
        if match is not None:
            instructions.append(match.group().strip())
            message["content"] = message["content"][: match.start()]
    for question in row_questions(record, row, HELD, fixed_density=CROP_TOOL):
        yield with_extras(question, "instructions", instructions)


FORMAT = AnnotationFormat(
    "longvt", "json", frozenset({"messages"}), questions, "Parquet of messages, as of `messages`, whose calls are LongVT's"
)
