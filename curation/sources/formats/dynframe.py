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
        gold_window_s = (float(record["gt_span_start"]), float(record["gt_span_end"]))
        kept_fields = {field_name: record[field_name] for field_name in ("prompt", "video", "answer")}
        rl_question = _question(record["video"], record["prompt"], str(record["answer"]), (gold_window_s,))
        yield replace(rl_question, fps=float(record["fps"]), extras={"dynframe": kept_fields})


def _cot_question(record: Raw) -> Question | RefusedQuestion:
    (video_name,) = record["video"]
    human_text, gpt_text = (chat_turn["value"] for chat_turn in record["conversations"])
    answer_text = tagged_answer(gpt_text) or ""
    bounds_cs = read_span(answer_text)
    windows_s = ((bounds_cs[0] / 100, bounds_cs[1] / 100),) if bounds_cs else ()
    kept_keys = ("index", "video", "gemini_suggested_fps", "original_fps")
    kept_fields = {field_name: record[field_name] for field_name in kept_keys if field_name in record} | {"prompt": human_text}
    return replace(_question(video_name, human_text, answer_text, windows_s), reply=gpt_text, extras={"dynframe": kept_fields})


def _question(video_name: str, prompt: str, answer: str, windows_s: tuple[tuple[float, float], ...]) -> Question:
    """A query to be found, or a question whose answer is no span."""
    query_match = QUERY.search(prompt)
    if query_match or read_span(answer.strip()) is not None:
        return Question(video_name, "grounding", query_match[1] if query_match else untagged(prompt), windows=windows_s)
    return with_options(Question(video_name, "open", untagged(prompt), answer, windows=windows_s))


FORMAT = AnnotationFormat(
    "dynframe", "json", frozenset({"video"}), questions,
    "[{index, video, conversations, gemini_suggested_fps}], or lines {prompt, video, answer, fps, gt_span_start, gt_span_end}",
)  # fmt: skip
