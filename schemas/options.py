"""Options that stand in the text of a question: whoever reads such a text as an open question scores letters as words.

Read are lists that can hardly be anything else: letters from A on, none left out, at the end of the text, behind a question.
Everything else is a text like any other: `A. Smith`, a single option, steps that are asked about below their list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from dmforge.schemas.text_limits import MAX_QUESTION_CHARS

LETTERED = re.compile(r"[ \t]*(?:\(([A-Za-z])\)[.:]?[ \t]*|\[([A-Za-z])\][.:]?[ \t]*|([A-Za-z])([.):])[ \t]+)(?=\S)")
"""`(A) `, `[A] `, `A. `, `A) `, `A: `, before an option."""
INSIDE = re.compile(r"(?<!\S)(?:\(([A-Z])\)|\[([A-Z])\]|([A-Z])([.)])(?=\s))(?=\s*\S)")
"""The same within a line, where small letters and colons are common for other reasons."""
HEAD = re.compile(
    r"(?:^|(?<=[.?!])(?=[ \t])|\n)[ \t]*\**(?:the |here are the )?(?:possible |answer |given |available )*"
    r"(?:options|choices|candidates)(?: are)?\**[ \t]*[:\uff1a]\**(?=\s|$)",
    re.IGNORECASE,
)
"""`Options:`, before a list."""
INSTRUCTION = re.compile(r"\b(?:answers?|options?|letters?|choices?|choose|select|respond|reply|pick)\b", re.IGNORECASE)
"""What a line below a list has that says how to answer: one without any of these belongs to something else than options."""
COMMAND = re.compile(r"[.!]\s+(?=(?:please\s+)?(?:answer|choose|select|respond|reply|pick|provide)\b)", re.IGNORECASE)
"""Where an instruction begins behind the last option of a line."""
CUE = re.compile(r"\W*(?:your |the )?(?:best |correct |final )?answer(?: is)?\W*", re.IGNORECASE)
"""A last line that waits for the answer: above the options it would say nothing."""
OTHER_TASK = re.compile(
    r"(?:please\s+)?(?:describe|explain|summari[sz]e|list|narrate|compare|discuss|write|translate)\b", re.IGNORECASE
)
"""How a request begins whose list is what to write about."""
BULLET = re.compile(r"[ \t]*[-*\u2022][ \t]+")
ENDS = "?:.!,;"
"""Behind one of these a list may begin in the middle of a line."""
FEWEST, FEWEST_INITIALS = 2, 3
"""Two options make a list; `A. x B. y` within a line may be two people."""


@dataclass(frozen=True, slots=True)
class Choices:
    """A question, and what can be chosen; where the text carries no options, the text itself and none."""

    question: str
    options: tuple[str, ...] = ()


def read_options(text: str) -> Choices:
    """A question without its options, and the options without their letters."""
    readers = (_of_lines, _of_one_line, _of_headed) if len(text) <= MAX_QUESTION_CHARS else ()
    for reader in readers:
        choices = reader(text)
        if choices is not None:
            return choices
    return Choices(text)


def without_letters(options: Sequence[str]) -> tuple[str, ...]:
    """Options of a list without `A. `, `B. `, ..., where each has its own; a single `A. Lincoln` is called so."""
    marks = [LETTERED.match(option) for option in options]
    letters = [_letter(mark) for mark in marks if mark is not None]
    if len(options) < FEWEST or not _in_order(letters) or len(letters) < len(options):
        return tuple(options)
    return tuple(option[mark.end() :] for option, mark in zip(options, marks, strict=True) if mark is not None)


def _of_lines(text: str) -> Choices | None:
    """An option a line, blank lines aside; below them at most how to answer."""
    lines = text.split("\n")
    marks = [LETTERED.match(line) for line in lines]
    first = max((at for at, mark in enumerate(marks) if mark is not None and _letter(mark) == "A"), default=None)
    if first is None:
        return None
    options: list[str] = []
    end = first
    while end < len(lines) and (not lines[end].strip() or _goes_on(marks[end], marks[first], options)):
        mark = marks[end]
        if mark is not None:
            options.append(lines[end][mark.end() :].strip())
        end += 1
    if any(marks[:first]) or any(marks[end:]):  # two lists, or letters that don't go on
        return None
    return _choices("\n".join(lines[:first]), options, lines[end:])


def _of_one_line(text: str) -> Choices | None:
    """Options behind one another: `Which? (A) red (B) blue`."""
    marks = [*INSIDE.finditer(text)]
    first = max((at for at, mark in enumerate(marks) if _letter(mark) == "A"), default=None)
    if first is None or any(_letter(mark) == "B" for mark in marks[:first]):
        return None
    stem, listed = text[: marks[first].start()], marks[first:]
    bare, between = stem.rstrip(), stem[len(stem.rstrip()) :]
    is_headed = HEAD.search(bare) is not None
    if not is_headed and not bare.endswith(tuple(ENDS)) and "\n" not in between:
        return None
    if len({_style(mark) for mark in listed}) > 1 or not _in_order([_letter(mark) for mark in listed]):
        return None
    if listed[0][4] == "." and len(listed) < FEWEST_INITIALS and not is_headed:
        return None
    ends = [*(mark.start() for mark in listed[1:]), len(text)]
    *others, last = (text[mark.end() : end].strip() for mark, end in zip(listed, ends, strict=True))
    last, *tail = last.split("\n")
    command = COMMAND.search(last)
    if command is not None:
        last, tail = last[: command.start() + 1], [last[command.end() :], *tail]
    options = [*map(_unjoined, others), last.strip()]
    return None if any("?" in option or "\n" in option for option in options) else _choices(stem, options, tail)


def _of_headed(text: str) -> Choices | None:
    """Options without letters, below `Options:` or behind it."""
    heads = [*HEAD.finditer(text)]
    if not heads:
        return None
    listed = [line for line in text[heads[-1].end() :].split("\n") if line.strip()]
    is_below = not text[heads[-1].end() :].partition("\n")[0].strip()
    if listed and is_below:
        last = max((at for at, line in enumerate(listed, 1) if not INSTRUCTION.search(line)), default=0)
        options, tail = [BULLET.sub("", line, count=1).strip() for line in listed[:last]], listed[last:]
    elif listed:
        separator = next((mark for mark in (";", "|", ", ") if mark in listed[0]), ", ")
        options, tail = [part.strip() for part in listed[0].split(separator)], listed[1:]
    else:
        return None
    if any("?" in option or option[:1].isdigit() or option[:1] in ("[", "{") for option in options):
        return None  # numbered, or written for a program
    return _choices(text[: heads[-1].end()], options, tail)


def _choices(stem: str, options: Sequence[str], tail: Sequence[str]) -> Choices | None:
    """What was read, where it is a question with its options and nothing else."""
    heads = [head for head in HEAD.finditer(stem) if not stem[head.end() :].strip()]
    question = (stem[: heads[-1].start()] if heads else stem).strip()
    below = [line.strip() for line in tail if line.strip()]
    if not question or len(options) < FEWEST or len(options) > len(ascii_uppercase) or not all(options):
        return None
    if OTHER_TASK.match(re.split(r"[.?!]\s+|\n", question)[-1]):
        return None
    if any(line.endswith("?") or not INSTRUCTION.search(line) for line in below):
        return None
    said = [line for line in below if not CUE.fullmatch(line)]
    return Choices("\n".join([question, *said]), tuple(options))


def _unjoined(option: str) -> str:
    """Without what stands between options of one line."""
    return option.removesuffix(" or").removesuffix(" and").rstrip().rstrip(",;")


def _letter(mark: re.Match[str]) -> str:
    return _written(mark).upper()


def _written(mark: re.Match[str]) -> str:
    return next(filter(None, mark.groups()[:3]))


def _style(mark: re.Match[str]) -> tuple[object, ...]:
    """How a letter is set off: options of one list are alike."""
    return (mark[1] is None, mark[2] is None, mark[4], _written(mark).isupper())


def _goes_on(mark: re.Match[str] | None, first: re.Match[str] | None, options: Sequence[str]) -> bool:
    """Whether a line is the next option of a list."""
    if mark is None or first is None or len(options) == len(ascii_uppercase):
        return False
    return _style(mark) == _style(first) and _letter(mark) == ascii_uppercase[len(options)]


def _in_order(letters: Sequence[str]) -> bool:
    return "".join(letters) == ascii_uppercase[: len(letters)]
