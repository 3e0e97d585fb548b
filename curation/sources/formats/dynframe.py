"""DynFrame's own files: conversations with a look in the answer (DM-CoT), and prompts with a window and a density (DM-RL)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dmforge.curation.sources.contract import Beside, Format, Question, Raw, Refused
from dmforge.schemas.looks import read_span

QUERY = re.compile(r"textual query: (.*)")
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def questions(record: Raw, beside: Beside) -> Iterator[Question | Refused]:
    del beside
    if "conversations" in record:
        yield _of_cot(record)
    else:
        window = (float(record["gt_span_start"]), float(record["gt_span_end"]))
        extras = {name: record[name] for name in ("prompt", "video", "answer")}
        yield Question(
            record["video"], "grounding", _query(record["prompt"]), windows=(window,), fps=float(record["fps"]),
            extras={"dynframe": extras},
        )  # fmt: skip


def _of_cot(record: Raw) -> Question | Refused:
    (video,) = record["video"]
    human, gpt = (turn["value"] for turn in record["conversations"])
    found = ANSWER.search(gpt)
    bounds = read_span(found[1].strip()) if found else None
    windows = ((bounds[0] / 100, bounds[1] / 100),) if bounds else ()
    kept = ("index", "video", "gemini_suggested_fps", "original_fps")
    extras = {name: record[name] for name in kept if name in record} | {"prompt": human}
    return Question(video, "grounding", _query(human), windows=windows, reply=gpt, extras={"dynframe": extras})


def _query(prompt: str) -> str:
    found = QUERY.search(prompt)
    return found[1] if found else prompt.removeprefix("<video>\n")


FORMAT = Format(
    "dynframe", "json", frozenset({"video"}), questions,
    "[{index, video, conversations, gemini_suggested_fps}], or lines {prompt, video, answer, fps, gt_span_start, gt_span_end}",
)  # fmt: skip
