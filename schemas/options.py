"""Options that stand in the text of a question: read as an open question, it would have its letters scored as words.

Only lists that can hardly be anything else are read: letters from A on, none left out, at the end of a text, after a question.
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
"""Words of a line below a list that says how to answer: a line without any of these belongs to something else than options."""
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
MIN_OPTIONS, MIN_INITIALS = 2, 3
"""Two options make a list; `A. x B. y` within a line may be two people."""


@dataclass(frozen=True, slots=True)
class Choices:
    """A question and its options; where the text carries none, the text itself and no options."""

    question: str
    options: tuple[str, ...] = ()


def read_options(text: str) -> Choices:
    """A question without its options, and the options without their letters."""
    layout_readers = (_read_lines, _read_one_line, _read_headed) if len(text) <= MAX_QUESTION_CHARS else ()
    for read_layout in layout_readers:
        choices = read_layout(text)
        if choices is not None:
            return choices
    return Choices(text)


def without_letters(options: Sequence[str]) -> tuple[str, ...]:
    """Options without their letters `A. `, `B. `, ..., where each has its own; a single `A. Lincoln` is a name."""
    markers = [LETTERED.match(option) for option in options]
    letters = [_letter(marker) for marker in markers if marker is not None]
    if len(options) < MIN_OPTIONS or not _are_in_order(letters) or len(letters) < len(options):
        return tuple(options)
    return tuple(option[marker.end() :] for option, marker in zip(options, markers, strict=True) if marker is not None)


def _read_lines(text: str) -> Choices | None:
    """Options one a line, blank lines aside; below them at most how to answer."""
    lines = text.split("\n")
    line_markers = [LETTERED.match(line) for line in lines]
    first_index = max(
        (line_index for line_index, marker in enumerate(line_markers) if marker is not None and _letter(marker) == "A"),
        default=None,
    )
    if first_index is None:
        return None
    options: list[str] = []
    options_end = first_index
    while options_end < len(lines) and (
        not lines[options_end].strip() or _is_next_option(line_markers[options_end], line_markers[first_index], options)
    ):
        marker = line_markers[options_end]
        if marker is not None:
            options.append(lines[options_end][marker.end() :].strip())
        options_end += 1
    if any(line_markers[:first_index]) or any(line_markers[options_end:]):  # two lists, or letters that don't go on
        return None
    return _checked_choices("\n".join(lines[:first_index]), options, lines[options_end:])


def _read_one_line(text: str) -> Choices | None:
    """Options behind one another: `Which? (A) red (B) blue`."""
    markers = [*INSIDE.finditer(text)]
    first_index = max((marker_index for marker_index, marker in enumerate(markers) if _letter(marker) == "A"), default=None)
    if first_index is None or any(_letter(marker) == "B" for marker in markers[:first_index]):
        return None
    text_before_options, option_markers = text[: markers[first_index].start()], markers[first_index:]
    stripped_stem, white_space = text_before_options.rstrip(), text_before_options[len(text_before_options.rstrip()) :]
    is_headed = HEAD.search(stripped_stem) is not None
    if not is_headed and not stripped_stem.endswith(tuple(ENDS)) and "\n" not in white_space:
        return None
    if len({_marker_style(marker) for marker in option_markers}) > 1 or not _are_in_order(
        [_letter(marker) for marker in option_markers]
    ):
        return None
    if option_markers[0][4] == "." and len(option_markers) < MIN_INITIALS and not is_headed:
        return None
    option_ends = [*(marker.start() for marker in option_markers[1:]), len(text)]
    *leading_options, last_option = (
        text[marker.end() : option_end].strip() for marker, option_end in zip(option_markers, option_ends, strict=True)
    )
    last_option, *trailing_lines = last_option.split("\n")
    command_match = COMMAND.search(last_option)
    if command_match is not None:
        last_option, trailing_lines = (
            last_option[: command_match.start() + 1],
            [last_option[command_match.end() :], *trailing_lines],
        )
    options = [*map(_without_conjunction, leading_options), last_option.strip()]
    return (
        None
        if any("?" in option or "\n" in option for option in options)
        else _checked_choices(text_before_options, options, trailing_lines)
    )


def _read_headed(text: str) -> Choices | None:
    """Options without letters, below `Options:` or behind it."""
    heading_matches = [*HEAD.finditer(text)]
    if not heading_matches:
        return None
    lines_below = [line for line in text[heading_matches[-1].end() :].split("\n") if line.strip()]
    is_below = not text[heading_matches[-1].end() :].partition("\n")[0].strip()
    if lines_below and is_below:
        option_count = max(
            (line_number for line_number, line in enumerate(lines_below, 1) if not INSTRUCTION.search(line)), default=0
        )
        options, trailing_lines = (
            [BULLET.sub("", line, count=1).strip() for line in lines_below[:option_count]],
            lines_below[option_count:],
        )
    elif lines_below:
        option_separator = next((separator for separator in (";", "|", ", ") if separator in lines_below[0]), ", ")
        options, trailing_lines = [option.strip() for option in lines_below[0].split(option_separator)], lines_below[1:]
    else:
        return None
    if any("?" in option or option[:1].isdigit() or option[:1] in ("[", "{") for option in options):
        return None  # numbered, or written for a program
    return _checked_choices(text[: heading_matches[-1].end()], options, trailing_lines)


def _checked_choices(text_before_options: str, options: Sequence[str], trailing_lines: Sequence[str]) -> Choices | None:
    """The question and the options that were read; None where they are not a question with its options and nothing else."""
    heading_matches = [
        heading_match
        for heading_match in HEAD.finditer(text_before_options)
        if not text_before_options[heading_match.end() :].strip()
    ]
    question = (text_before_options[: heading_matches[-1].start()] if heading_matches else text_before_options).strip()
    lines_below = [line.strip() for line in trailing_lines if line.strip()]
    if not question or len(options) < MIN_OPTIONS or len(options) > len(ascii_uppercase) or not all(options):
        return None
    if OTHER_TASK.match(re.split(r"[.?!]\s+|\n", question)[-1]):
        return None
    if any(line.endswith("?") or not INSTRUCTION.search(line) for line in lines_below):
        return None
    instructions = [line for line in lines_below if not CUE.fullmatch(line)]
    return Choices("\n".join([question, *instructions]), tuple(options))


def _without_conjunction(option: str) -> str:
    """An option of one line without the `or`, `and` or comma before the next one."""
    return option.removesuffix(" or").removesuffix(" and").rstrip().rstrip(",;")


def _letter(marker: re.Match[str]) -> str:
    return _raw_letter(marker).upper()


def _raw_letter(marker: re.Match[str]) -> str:
    return next(filter(None, marker.groups()[:3]))


def _marker_style(marker: re.Match[str]) -> tuple[object, ...]:
    """How a letter is set off: options of one list are alike."""
    return (marker[1] is None, marker[2] is None, marker[4], _raw_letter(marker).isupper())


def _is_next_option(marker: re.Match[str] | None, first_marker: re.Match[str] | None, earlier_options: Sequence[str]) -> bool:
    """Whether a line is the next option of a list."""
    if marker is None or first_marker is None or len(earlier_options) == len(ascii_uppercase):
        return False
    return _marker_style(marker) == _marker_style(first_marker) and _letter(marker) == ascii_uppercase[len(earlier_options)]


def _are_in_order(letters: Sequence[str]) -> bool:
    return "".join(letters) == ascii_uppercase[: len(letters)]
