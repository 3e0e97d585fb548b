"""How many replies of a small real model can be read where words alone ask for their form, by the wording of the prompt?

    make .venv-llm/.installed && .venv-llm/bin/python -m benchmarks.readability

The model is SmolLM2-135M behind llama.cpp's server; requests are those of the stages that show nothing, as their client writes
them. Questions are rows of NExT-GQA where DMFORGE_REAL_DATA points to them, else those of synthetic worlds. Every wording is
put to the same questions; the baseline is the prompt as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from dmforge.curation.contract.budget import Budget
from dmforge.generators.prompts import instruction
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.generators.synthetic.worlds.world_questions import questions
from dmforge.generators.teacher.client import Teacher
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.prompts import lettered
from dmforge.schemas.replies import GuessReply, Reply, SafetyReply
from dmforge.schemas.reply_reader import read_reply
from tests.support.small_model import MODEL, SLOTS, serving
from tests.support.tables import show
from tests.support.text_requests import text_request

PROMPTS: tuple[tuple[type[Reply], float], ...] = ((GuessReply, 0.7), (SafetyReply, 0.0))
"""With the temperature that their stages have."""
EMPTY = {GuessReply.name: '{"thought": "", "answer": ""}', SafetyReply.name: '{"quote": "", "safety": 1}'}
MAX_TOKENS = 96
"""Of a reply: twice what a good one has."""
THOUGHT = "Someone stands near the left edge at 4.3 seconds and turns at 5.0 seconds; what they do then must be seen closely."
BEHIND = "and said again behind the question"
FORM_SENTENCE = re.compile(r"Reply with one JSON object: [^\n]+\n\n")


def form_last(text: str) -> str:
    """The sentence about the form behind the examples."""
    sentence = FORM_SENTENCE.findall(text)[0]
    return f"{text.replace(sentence, '').rstrip()}\n\n{sentence.strip()}\n"


def alone(text: str) -> str:
    return f"{text.rstrip()}\n\nReply with such a JSON object and nothing else: it begins with a brace and ends with one.\n"


def to_fill_in(text: str, name: str) -> str:
    return f"{text.rstrip()}\n\nYour reply is this object with the values put in:\n\n{EMPTY[name]}\n"


def wordings(name: str) -> dict[str, Callable[[str], str]]:
    """What each wording makes of the prompt of this name."""
    return {
        "as it is": str, "the form said last": form_last, BEHIND: str,
        "`and nothing else` at the end": alone, "an object to fill in at the end": partial(to_fill_in, name=name),
    }  # fmt: skip


def question_texts(count: int) -> list[str]:
    """Questions with their options."""
    data = os.environ.get("DMFORGE_REAL_DATA")
    if data:
        rows = csv.DictReader((Path(data) / "annotations/nextgqa/val.csv").read_text("utf-8").splitlines())
        texts = ["\n".join([f"{row['question']}?", *lettered(tuple(row[f"a{at}"] for at in range(5)))]) for row in rows]
        return texts[:count]
    settings = WorldSettings(videos=count)
    asked_of = [questions(settings.script(number))[number % 3] for number in range(count)]
    return ["\n".join([question.text, *lettered(question.options)]) for question in asked_of]


def text_for(reply: type[Reply], question: str) -> str:
    return question if reply is GuessReply else f"{question}\n\n<think>{THOUGHT}</think><answer>A</answer>"


async def readable(url: str, reply: type[Reply], prompt: str, temperature: float, texts: Sequence[str]) -> str:
    """The share of replies that can be read."""
    config = TeacherConfig(
        model=MODEL, base_url=url, profile="llama.cpp", structured_output="prompt", temperature=temperature,
        max_output_tokens=MAX_TOKENS, timeout_s=600,
    )  # fmt: skip
    teacher, slots = Teacher(config, "readability", Budget()), asyncio.Semaphore(SLOTS)

    async def is_readable(index: int, text: str) -> bool:
        async with slots:
            answer = await teacher.ask(text_request(f"q{index}", prompt, text, index, reply))
        return not isinstance(read_reply(reply, str(answer["content"])), str)

    readable_count = sum(await asyncio.gather(*(is_readable(index, text) for index, text in enumerate(texts))))
    await teacher.aclose()
    return f"{readable_count} of {len(texts)}"


async def measure(url: str, count: int) -> None:
    texts, command = question_texts(count), f".venv-llm/bin/python -m benchmarks.readability --questions {count}"
    for reply, temperature in PROMPTS:
        prompt = instruction(reply.name)
        form = FORM_SENTENCE.findall(prompt)[0].strip()
        rows: list[tuple[str, str]] = []
        for words, reword in wordings(reply.name).items():
            put = [f"{text_for(reply, text)}\n\n{form}" if words == BEHIND else text_for(reply, text) for text in texts]
            rows.append((words, await readable(url, reply, reword(prompt), temperature, put)))
        show(f"`{reply.name}`, {MODEL}, by words alone", command, ("wording", "readable"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--questions", type=int, default=40)
    options = parser.parse_args()
    with serving() as url:
        asyncio.run(measure(url, options.questions))


if __name__ == "__main__":
    main()
