"""DynFrame's own files: conversations with a look in the answer (DM-CoT), and prompts with a window and a density (DM-RL)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.conversations import tagged_answer, untagged, with_options
from dmforge.schemas.looks import read_span

QUERY = re.compile(r"textual query: (.*)")


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    if "conversations" in record:
        yield _cot_question(record)
    else:
        window = (float(record["gt_span_start"]), float(record["gt_span_end"]))
        extras = {field_name: record[field_name] for field_name in ("prompt", "video", "answer")}
        rl_question = _question(record["video"], record["prompt"], str(record["answer"]), (window,))
        yield replace(rl_question, fps=float(record["fps"]), extras={"dynframe": extras})


def _cot_question(record: Raw) -> Question | RefusedQuestion:
    (video,) = record["video"]
    human_text, gpt_text = (turn["value"] for turn in record["conversations"])
    answer = tagged_answer(gpt_text) or ""
    bounds_cs = read_span(answer)
    windows = ((bounds_cs[0] / 100, bounds_cs[1] / 100),) if bounds_cs else ()
    kept_keys = ("index", "video", "gemini_suggested_fps", "original_fps")
    extras = {field_name: record[field_name] for field_name in kept_keys if field_name in record} | {"prompt": human_text}
    return replace(_question(video, human_text, answer, windows), reply=gpt_text, extras={"dynframe": extras})


def _question(video: str, prompt: str, answer: str, windows: tuple[tuple[float, float], ...]) -> Question:
    """A query to be found, or a question whose answer is no span."""
    query_match = QUERY.search(prompt)
    if query_match or read_span(answer.strip()) is not None:
        return Question(video, "grounding", query_match[1] if query_match else untagged(prompt), windows=windows)
    return with_options(Question(video, "open", untagged(prompt), answer, windows=windows))


FORMAT = AnnotationFormat(
    "dynframe", "json", frozenset({"video"}), questions,
    "[{index, video, conversations, gemini_suggested_fps}], or lines {prompt, video, answer, fps, gt_span_start, gt_span_end}",
)  # fmt: skip
