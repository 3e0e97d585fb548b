"""Every dialect: parser and renderer are inverses, the parser is total, and what can't be said is refused by name."""

from __future__ import annotations

import contextlib
import json
import random
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.schemas.defects import MAX_DEFECTS
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.grounding_dialect import GROUNDING
from dmforge.schemas.dialects.known_dialects import DIALECTS, SPAN
from dmforge.schemas.dialects.tool_dialect import TOOL
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory, render
from dmforge.schemas.looks import MAX_TOKENS, Box, Look, Window
from dmforge.schemas.transcript import COARSE, Piece
from tests.foundation.test_grammar import any_text, soup, trajectories

LOOK, LATER = Look(Window(1200, 2000), Fraction(2)), Look(Window(3050, 3125), Fraction(1, 3))
ONE = Trajectory(("T1", "T2"), (LOOK,), "A")
TOGETHER = Trajectory(("T1", "T2"), (LOOK, LATER), "A", turns=(2,))
QUOTA, BOXED = replace(LOOK, tokens=6144), replace(LOOK, box=Box(0, 100, 500, 1000))
FINE = replace(ONE, looks=(QUOTA,))
GROUNDING_TEXT = (
    '<think>T1</think>\n<grounding>{"temporal_segment": [12, 20], "sampling_strategy": "fine"}</grounding><|im_end|>'
    "\n<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n<think>T2</think>\n<answer>A</answer>"
)
CALL = '<tool_call>\n{"name": "crop_video", "arguments": {"start_time": 12, "end_time": 20, "fps": 2}}\n</tool_call>'
RESPONSE = "\n<|im_start|>user\n<tool_response>\n\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
TOOL_TEXT = f"<think>\nT1\n</think>\n\n{CALL}<|im_end|>{RESPONSE}<think>\nT2\n</think>\n\n<answer>A</answer>"
PARTS = [
    "<think>", "<think>\n", "</think>", "\n</think>\n\n", "<answer>", "</answer>", "A", "\n", CALL, "<|im_end|>", RESPONSE,
    "<grounding>", "</grounding>", '{"temporal_segment": [1, 2], "sampling_strategy": "coarse"}',
    "<tool_call>\n", "\n</tool_call>", "<tool_response>", "<|im_start|>", "<span>", "<box>1 2 3 4</box>",
    "\ud800", "\0", '{"name": "crop_video"',
]  # fmt: skip


def _insert(text: str, at: int, other: str) -> str:
    return text[:at] + other + text[at:]


damaged = st.builds(
    _insert,
    st.sampled_from([TOOL_TEXT, TOOL_TEXT[8:], TOOL_TEXT[:-9], GROUNDING_TEXT, GROUNDING_TEXT[:-9]]),
    st.integers(0, len(TOOL_TEXT)),
    st.lists(st.sampled_from(PARTS), max_size=3).map("".join),
)
texts = st.one_of(soup, any_text, damaged, st.lists(st.sampled_from(PARTS), max_size=20).map("".join))


sides = st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True).map(sorted)
boxes = st.tuples(sides, sides).map(lambda pair: Box(pair[0][0], pair[1][0], pair[0][1], pair[1][1]))
quotas = st.sampled_from([2048, 4096, 6144]) | st.integers(1, MAX_TOKENS)


@st.composite
def further(draw: st.DrawFn, look: Look) -> Look:
    """The look, with what later ones have besides; some of them as every dialect says them."""
    return draw(
        st.sampled_from(
            [
                look,
                replace(look, box=draw(st.none() | boxes), tokens=draw(st.none() | quotas)),
                replace(look, fps=Fraction(2), tokens=draw(quotas)),
            ]
        )
    )


@st.composite
def grouped(draw: st.DrawFn) -> Trajectory:
    """A trajectory whose turns may have several looks."""
    trajectory = draw(trajectories(max_looks=4))
    trajectory = replace(trajectory, looks=tuple(draw(further(look)) for look in trajectory.looks))
    look_count = len(trajectory.looks)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, look_count - 1)))) | {0, look_count})
    turns = tuple(end - start for start, end in pairwise(cuts))
    if max(turns, default=1) < 2:
        return trajectory
    return replace(trajectory, thoughts=trajectory.thoughts[: len(turns) + 1], turns=turns)


def rules(dialect: Dialect, text: str, max_looks: int = 3) -> list[str]:
    found = dialect.parse(text, max_looks)
    return [] if isinstance(found, Trajectory) else [defect.rule for defect in found]


@given(grouped())
def test_what_a_dialect_renders_it_parses_back(trajectory: Trajectory) -> None:
    for dialect in DIALECTS.values():
        with contextlib.suppress(InputError):  # what it has no words for
            assert dialect.parse(dialect.render(trajectory), 4) == trajectory


@given(texts)
def test_what_a_dialect_parses_it_renders_back_to_the_letter(text: str) -> None:
    for dialect in DIALECTS.values():
        parsed = dialect.parse(text, 2)
        if isinstance(parsed, Trajectory):
            assert dialect.render(parsed) == text
        else:
            assert parsed
            offsets = [defect.start for defect in parsed]
            assert offsets == sorted(offsets)
            assert all(0 <= defect.start <= defect.end <= len(text) and len(defect.message) < 400 for defect in parsed)


@given(trajectories())
def test_the_old_dialect_is_the_grammar(trajectory: Trajectory) -> None:
    assert SPAN.render(trajectory) == render(trajectory)


@given(grouped())
def test_tool_says_every_trajectory(trajectory: Trajectory) -> None:
    assert TOOL.parse(TOOL.render(trajectory), 4) == trajectory


def test_tool_reads_as_its_template_writes() -> None:
    assert TOOL.render(ONE) == TOOL_TEXT
    assert TOOL.render(replace(ONE, gap="\n")) == TOOL_TEXT.replace("<answer>", "\n<answer>")
    assert '"start_time": 30.5, "end_time": 31.25, "fps": "1/3"}' in TOOL.render(TOGETHER)


def test_the_policy_writes_its_calls_and_the_end_of_its_turn_and_the_runtime_the_rest() -> None:
    transcript = TOOL.transcribe((COARSE, Piece("prompt", "When?")), TOGETHER)
    authors = [(piece.author, piece.look) for piece in transcript.pieces]
    assert authors == [
        ("prompt", None), ("prompt", None), ("policy", None), ("runtime", None), ("runtime", LOOK), ("runtime", None),
        ("runtime", LATER), ("runtime", None), ("policy", None),
    ]  # fmt: skip
    first, last = (piece.text or "" for piece in transcript.pieces if piece.author == "policy")
    assert first.count("<tool_call>") == 2
    assert first.endswith("</tool_call><|im_end|>")
    assert last == "<think>\nT2\n</think>\n\n<answer>A</answer>"
    assert transcript.segments() == (None, None, "sampling", None, None, None, None, None, "reasoning")


def test_looks_of_a_turn_are_grouped_in_one_way_only() -> None:
    assert TOGETHER.looks_by_turn() == ((LOOK, LATER),)
    assert Trajectory(("a", "b", "c"), (LOOK, LATER), "A").looks_by_turn() == ((LOOK,), (LATER,))
    for turns in ((1, 1), (2, 1), (3,), (0, 2)):
        with pytest.raises(ValueError, match="don't group 2"):
            Trajectory(("a", "b", "c"), (LOOK, LATER), "A", turns=turns)
    with pytest.raises(ValueError, match="1 turns need 2 thoughts, not 3"):
        Trajectory(("a", "b", "c"), (LOOK, LATER), "A", turns=(2,))


@pytest.mark.parametrize(
    ("dialect", "trajectory", "value"),
    [
        (SPAN, TOGETHER, "2 looks in one turn can't be said in the dialect `span`"),
        (TOOL, replace(ONE, answer="a </tool_call>"), "holds </tool_call> can't be said in the dialect `tool`"),
        (TOOL, replace(ONE, answer="<|im_end|>"), "holds <|im_end|> can't be said"),
        (SPAN, FINE, "a quota of 6144 tokens can't be said in the dialect `span`"),
        (GROUNDING, ONE, "a look without a token quota can't be said in the dialect `grounding`"),
        (
            GROUNDING,
            replace(FINE, looks=(replace(QUOTA, tokens=6145),)),
            "a quota of 6145 tokens can't be said in the dialect `grounding`",
        ),
        (GROUNDING, replace(FINE, looks=(replace(QUOTA, fps=Fraction(4)),)), "4 fps can't be said in the dialect `grounding`"),
        (GROUNDING, replace(FINE, looks=(BOXED,)), "the box 0 100 500 1000 can't be said in the dialect `grounding`"),
        (
            GROUNDING,
            Trajectory(("a", "b"), (QUOTA, QUOTA), "A", turns=(2,)),
            "2 looks in one turn can't be said in the dialect `grounding`",
        ),
        (GROUNDING, replace(FINE, thoughts=("<grounding>", "")), "holds <grounding> can't be said"),
    ],
)
def test_what_a_dialect_has_no_words_for_is_refused_by_name(dialect: Dialect, trajectory: Trajectory, value: str) -> None:
    with pytest.raises(InputError) as refused:
        dialect.render(trajectory)
    assert value in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "expected", "place"),
    [
        ("", "think_missing", ""),
        ("Hm." + TOOL_TEXT, "text_before_think", "Hm."),
        (TOOL_TEXT[8:], "think_missing", ""),
        (TOOL_TEXT.replace("<think>\nT1", "<think>T1"), "layout_not_canonical", "T"),
        (TOOL_TEXT.replace("T1\n", "T1"), "layout_not_canonical", "</think>"),
        (TOOL_TEXT.replace("</think>\n\n<tool", "</think>\n<tool"), "layout_not_canonical", "<"),
        (TOOL_TEXT.replace("T1", "T1 <fps>"), "tag_nested", "<fps>"),
        (TOOL_TEXT.replace("12,", "12.0,"), "call_not_canonical", None),
        (TOOL_TEXT.replace("T2", "<box>1 2 3 4</box>T2"), "box_after_fps", "<box>1 2 3 4</box>"),
        (TOOL_TEXT.replace('"fps": 2', '"fps": "2"'), "fps_not_canonical", None),
        (TOOL_TEXT.replace('"fps": 2', '"fps": 0'), "fps_not_positive", None),
        (TOOL_TEXT.replace("20,", "12,"), "span_empty", None),
        (TOOL_TEXT.replace("20,", "11.99,"), "span_reversed", None),
        (TOOL_TEXT.replace("</tool_call><|im_end|>", "</tool_call>"), "turn_not_canonical", "\n"),
        (TOOL_TEXT.replace("<tool_response>", "<tool_result>"), "turn_not_canonical", "u"),
        (TOOL_TEXT[: TOOL_TEXT.index("<|im_end|>")], "turn_not_canonical", ""),
        (TOOL_TEXT[: TOOL_TEXT.index("}}")], "tag_unclosed", "<tool_call>"),
        (TOOL_TEXT.removesuffix("</answer>"), "tag_unclosed", "<answer>"),
        (TOOL_TEXT[: TOOL_TEXT.index("<answer>")], "answer_missing", ""),
        (TOOL_TEXT.replace("<answer>", "so<answer>"), "text_before_answer", "so"),
        (TOOL_TEXT.replace("<answer>A", "<answer> "), "answer_empty", "<answer> </answer>"),
        (TOOL_TEXT + "\n", "text_after_answer", "\n"),
    ],
)
def test_a_fault_of_tool_is_named_at_its_place(text: str, expected: str, place: str | None) -> None:
    found = TOOL.parse(text, 1)
    assert isinstance(found, tuple)
    assert [defect.rule for defect in found] == [expected]
    assert place is None or text[found[0].start : found[0].end] == place


def test_grounding_reads_as_published() -> None:
    assert GROUNDING.render(FINE) == GROUNDING_TEXT
    transcript = GROUNDING.transcribe((COARSE,), FINE)
    assert [piece.author for piece in transcript.pieces] == ["prompt", "policy", *["runtime"] * 3, "policy"]
    assert (transcript.pieces[1].text or "").endswith("</grounding><|im_end|>")


@pytest.mark.parametrize(
    ("text", "expected", "place"),
    [
        (GROUNDING_TEXT.replace("12,", "12.0,"), "call_not_canonical", None),
        (GROUNDING_TEXT.replace("fine", "dense"), "call_not_canonical", None),
        (GROUNDING_TEXT.replace("20]", "12]"), "span_empty", '{"temporal_segment": [12, 12], "sampling_strategy": "fine"}'),
        (GROUNDING_TEXT.replace("</think>\n<ans", "</think><ans"), "layout_not_canonical", "<"),
        (GROUNDING_TEXT.replace("user\n", "user\nLook: "), "turn_not_canonical", "L"),
        (GROUNDING_TEXT.replace("}</grounding>", "}</grounding>\n"), "turn_not_canonical", "\n"),
        (GROUNDING_TEXT.replace("</grounding>", ""), "tag_nested", "<|im_end|>"),
    ],
)
def test_a_fault_of_grounding_is_named_at_its_place(text: str, expected: str, place: str | None) -> None:
    found = GROUNDING.parse(text, 1)
    assert isinstance(found, tuple)
    assert [defect.rule for defect in found] == [expected]
    assert place is None or text[found[0].start : found[0].end] == place


@pytest.mark.parametrize("box", ["[0, 1, 2]", "[5, 0, 5, 9]", "[0, 0, 1001, 9]", "[0.5, 0, 5, 9]", "[00, 0, 5, 9]"])
def test_a_box_that_is_none_is_a_fault_of_its_call(box: str) -> None:
    text = TOOL_TEXT.replace('"fps": 2', f'"fps": 2, "box": {box}')
    assert rules(TOOL, text) == ["call_not_canonical"]


def test_faults_of_what_calls_say_are_all_reported() -> None:
    text = TOOL.render(TOGETHER).replace("20,", "12,").replace("31.25,", "31.250,").replace("<answer>A", "<answer>")
    assert rules(TOOL, text, 1) == ["span_empty", "looks_too_many", "call_not_canonical", "answer_empty"]


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_a_megabyte_of_anything_is_read_at_once(dialect: Dialect) -> None:
    draw = random.Random(1)
    text = dialect.render(FINE if dialect is GROUNDING else ONE)
    think, rest = text.split("T1")
    call = rest[: rest.index("T2")]
    hostile = [
        "<" * 1_000_000, think * 150_000, call * 8_000, think + call * 8_000, "<think>\n" + "\n" * 1_000_000, text * 4_000,
        think + "x" * 1_000_000, text[:-9] * 4_000, think + rest.replace("12", "1" * 1_000_000),
        text.replace("A", " " * 1_000_000), think + "\n</think>\n\n" + CALL * 9_000,
        think + "\n</think>\n\n" + f"{CALL}\n" * 9_000,
        think + "\n</think>\n\n" + "\n" * 1_000_000, "".join(draw.choices(PARTS, k=60_000)),
    ]  # fmt: skip
    for number, hostile_text in enumerate(hostile):
        begun = time.process_time()
        parsed = dialect.parse(hostile_text, 1_000_000)
        assert time.process_time() - begun < 1, number
        assert isinstance(parsed, Trajectory) or len(parsed) <= MAX_DEFECTS


@given(st.integers(0, 10**9 - 2), st.integers(1, 10**5), st.integers(1, 10**6), st.integers(1, 10**6))
def test_numbers_of_a_call_are_exact_and_read_by_any_json_reader(start: int, length: int, part: int, whole: int) -> None:
    look = Look(Window(start, min(10**9 - 1, start + length)), Fraction(part, whole), tokens=length)
    text = TOOL.render(Trajectory(("", ""), (look,), "A"))
    parsed = TOOL.parse(text, 1)
    assert isinstance(parsed, Trajectory)
    assert parsed.looks == (look,)
    call = json.loads(text.partition("<tool_call>")[2].partition("</tool_call>")[0], parse_float=Fraction)
    arguments = {name: Fraction(value) for name, value in call["arguments"].items()}
    times = {"start_time": look.window.start_s, "end_time": look.window.end_s}
    assert arguments == {**times, "fps": look.fps, "max_tokens": length}
