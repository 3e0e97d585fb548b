"""The parser and the renderer are inverses, the parser is total, and a defect names the fault at its place."""

import gc
import random
import re
import time
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dmforge.schemas.defects import MAX_DEFECTS, Defect
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory, parse, render, trajectory_of, transcribe
from dmforge.schemas.looks import MAX_CS, Box, Look, Window
from dmforge.schemas.tags import TAG
from dmforge.schemas.transcript import COARSE, Piece, Transcript

GOOD = "<think>T1 <span>12.00 - 20.00</span><fps>2</fps>T2</think><answer>A</answer>"
TAGS = ["<think>", "</think>", "<span>", "</span>", "<fps>", "</fps>", "<answer>", "</answer>"]
FRAGMENTS = [
    *TAGS,
    "12.00 - 20.00",
    "20.00 - 12.00",
    "3.00 - 3.00",
    "12-20",
    "2",
    "0.5",
    "1/3",
    "0",
    "-1",
    "2.0",
    " ",
    "\n",
    "x",
]
FRAGMENTS += ["<", "</", "<thin", "k>", "<Think>", "< think>", "<think/>", "<video>", "\0", "\ud800", "\u2028", "é"]
BOXED = "<box>120 40 560 800</box>"
FRAGMENTS += [BOXED, "<box>", "</box>", "120 40 560 800", "120 40 1560 800"]
PLAIN = [fragment for fragment in FRAGMENTS if fragment not in TAGS]

any_text = st.text(st.characters(exclude_categories=()), max_size=60)  # lone surrogates and NULs included
soup = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join)
# a well-formed text with some pieces lost, doubled or moved: most faults of a real policy look like this
damaged = st.builds(
    lambda cut, at, other: cut[:at] + other + cut[at:], st.sampled_from([GOOD, GOOD[7:], GOOD[:-9]]), st.integers(0, 90), soup
)

plain_text = (any_text | st.lists(st.sampled_from(PLAIN), max_size=8).map("".join)).filter(lambda text: not TAG.search(text))
windows = st.tuples(st.integers(0, MAX_CS - 1), st.integers(1, 10_000)).map(lambda w: Window(w[0], min(w[0] + w[1], MAX_CS)))
sides = st.tuples(st.integers(0, 999), st.integers(1, 1000)).map(lambda side: (side[0], min(1000, side[0] + side[1])))
boxes = st.tuples(sides, sides).map(lambda axes: Box(axes[0][0], axes[1][0], axes[0][1], axes[1][1]))
densities = st.builds(Fraction, st.integers(1, 1000), st.integers(1, 1000))
looks = st.builds(Look, windows, densities, st.none() | boxes)
BOX_FIRST = re.compile("<box>" + " ".join([r"(0|[1-9]\d{0,3})"] * 4) + "</box>", re.ASCII)


@st.composite
def trajectories(draw: st.DrawFn, max_looks: int = 3) -> Trajectory:
    looked = tuple(draw(st.lists(looks, max_size=max_looks)))
    later = plain_text.filter(lambda text: not BOX_FIRST.match(text))  # behind a density a box is none of the words
    thoughts = tuple(draw(later if index else plain_text) for index in range(len(looked) + 1))
    answer = draw(plain_text.filter(lambda text: bool(text.strip())))
    return Trajectory(thoughts, looked, answer, draw(st.text(" \t\r\n", max_size=3)))


def rules(text: str, max_looks: int = 1) -> list[str]:
    """The rules that a text breaks, in order."""
    found = parse(text, max_looks)
    return [] if isinstance(found, Trajectory) else [defect.rule for defect in found]


def only(text: str) -> Defect:
    """The one defect of a text."""
    found = parse(text)
    assert isinstance(found, tuple)
    assert len(found) == 1
    return found[0]


# inverse


@given(trajectories())
def test_what_is_rendered_parses_back(trajectory: Trajectory) -> None:
    assert parse(render(trajectory), max_looks=3) == trajectory


@given(st.one_of(soup, damaged, any_text, trajectories(max_looks=2).map(render)))
@example(GOOD)
def test_what_parses_renders_back_to_the_letter(text: str) -> None:
    found = parse(text, max_looks=2)
    if isinstance(found, Trajectory):
        assert render(found) == text


def test_a_trajectory_reads_as_it_says() -> None:
    look = Look(Window(1200, 2000), Fraction(2))
    assert parse(GOOD) == Trajectory(("T1 ", "T2"), (look,), "A")
    assert parse("<think>no need to look</think>\n<answer> B\n</answer>") == Trajectory(("no need to look",), (), " B\n", "\n")


def test_only_tags_are_markup() -> None:
    trajectory = parse("<think>1 < 2 <b> <Think> <span ></think><answer><video></answer>")
    assert isinstance(trajectory, Trajectory)
    assert (trajectory.thoughts, trajectory.answer) == (("1 < 2 <b> <Think> <span >",), "<video>")


@pytest.mark.parametrize(
    ("thoughts", "answer", "gap", "message"),
    [
        (("a", "b"), "A", "", "0 looks need 1 thoughts, not 2"),
        (("a",), " \n", "", "the answer is empty"),
        (("a",), "A", "so", "only white space"),
        (("a</think>",), "A", "", "holds a tag"),
        (("a",), "<fps>", "", "holds a tag"),
    ],
)
def test_a_trajectory_that_would_not_parse_back_cant_be_built(
    thoughts: tuple[str, ...], answer: str, gap: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Trajectory(thoughts, (), answer, gap)


# total


@given(st.one_of(any_text, soup, damaged), st.integers(0, 2))
@example("\ud800", 1)
@example("", 0)
def test_any_text_is_a_trajectory_or_has_defects_that_lie_inside_it(text: str, max_looks: int) -> None:
    found = parse(text, max_looks)
    if isinstance(found, Trajectory):
        assert len(found.looks) <= max_looks
        return
    assert 0 < len(found) <= MAX_DEFECTS
    assert [defect.start for defect in found] == sorted(defect.start for defect in found)
    assert len(set(found)) == len(found)
    for defect in found:
        assert 0 <= defect.start <= defect.end <= len(text)
        assert defect.message.encode("utf-8")  # printable anywhere, whatever the text held


_TEXT = f"(?:(?!{'|'.join(TAGS)}).)*"
_TIME = r"((?:0|[1-9][0-9]{0,6})\.[0-9][0-9])"
_BOX = r"(?:<box>(?P<box>" + " ".join(["(?:0|[1-9][0-9]{0,2}|1000)"] * 4) + ")</box>)?"
_LATE = "(?!<box>" + " ".join(["(?:0|[1-9][0-9]{0,3})"] * 4) + "</box>)"
_LOOK = rf"<span>{_TIME} - {_TIME}</span>{_BOX}<fps>(?P<fps>[0-9]+|[0-9]+\.[0-9]+|[0-9]+/[0-9]+)</fps>{_LATE}"
_SHAPE = re.compile(
    rf"<think>{_TEXT}(?:{_LOOK}{_TEXT})?</think>[ \t\r\n]*<answer>(?!\s*</answer>){_TEXT}</answer>",
    re.DOTALL,
)


def by_definition(text: str) -> bool:
    """What the grammar accepts, said once more: the shape by a regular expression, the numbers by arithmetic."""
    found = _SHAPE.fullmatch(text)
    if found is None or found[1] is None:
        return found is not None
    start, end, density = found[1], found[2], found["fps"]
    x1, y1, x2, y2 = map(int, (found["box"] or "0 0 1 1").split())
    if not (x1 < x2 and y1 < y2):
        return False
    if float(start) >= float(end) or set(density.partition("/")[2]) == {"0"}:
        return False
    fps = Fraction(density)
    decimal = next((f"{float(fps):.{n}f}" for n in range(20) if Fraction(f"{float(fps):.{n}f}") == fps), None)
    printed = f"{fps.numerator}/{fps.denominator}" if decimal is None else decimal
    return fps > 0 and max(fps.numerator, fps.denominator) <= 1_000_000 and density == printed


def filled(tag: str) -> str:
    """A tag with the content that it needs behind it."""
    return tag + {"<think>": "x", "<span>": "12.00 - 20.00", "<fps>": "2", "<answer>": "x"}.get(tag, "")


def edits(tags: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Every sequence with one tag lost, put in or replaced."""
    cuts = [(tags[:at], tags[at:]) for at in range(len(tags) + 1)]
    shorter = {left + right[1:] for left, right in cuts}
    return shorter | {(*left, tag, *right[keep:]) for left, right in cuts for tag in TAGS for keep in (0, 1)}


def test_of_all_short_sequences_of_tags_exactly_those_that_the_grammar_allows_are_accepted() -> None:
    sequences = (tags for length in range(6) for tags in product(TAGS, repeat=length))
    texts = ["".join(map(filled, tags)) for tags in sequences]
    assert len(texts) == 37_449
    assert [text for text in texts if isinstance(parse(text), Trajectory)] == ["<think>x</think><answer>x</answer>"]


def test_of_all_sequences_two_edits_from_a_look_exactly_those_that_the_grammar_allows_are_accepted() -> None:
    texts = {"".join(map(filled, tags)) for once in edits(tuple(TAG.findall(GOOD))) for tags in edits(once)}
    assert len(texts) > 7_000
    accepted = {text for text in texts if isinstance(parse(text), Trajectory)}
    assert accepted == {text for text in texts if by_definition(text)} != set()


@given(st.one_of(soup, damaged))
@example("<think></think> <answer>x</answer>")
@example("<think>T1 <span>12.00 - 200.00</span><fps>2</fps>T2</think><answer>A</answer>")
@example("<think>T1 <span>12.00 - 20.00</span><fps>2.0</fps>T2</think><answer>A</answer>")
@example("<think><span>12.00 - 20.00</span><fps>1/3</fps></think>\n<answer>2</answer>")
@example(GOOD.replace("<fps>", f"{BOXED}<fps>"))
@example(GOOD.replace("T2", f"{BOXED}T2"))
@example(GOOD.replace("T2", f"T2{BOXED}").replace("T1", f"{BOXED}"))
def test_a_regular_expression_written_from_the_definition_agrees(text: str) -> None:
    assert isinstance(parse(text), Trajectory) == by_definition(text)


BOXED_UNITS = ["<box>", "<box>1 2 3 4", BOXED, f"<span>1.00 - 2.00</span>{BOXED}", f"<span></span>{BOXED}<fps>2</fps>{BOXED}"]
BROKEN_UNITS = ["<", "</", "<think>", "</fps>", "<span>", "<answer><think>", "<think>" + "<" * 50, "<think>x</span>", "\ud800"]
PAIRED_UNITS = ["<think></think>", "<span>1.00 - 2.00</span>", "<fps></fps>", "<think><span>1.00 - 2.00</span><fps>"]


@pytest.mark.parametrize("unit", [*BROKEN_UNITS, *PAIRED_UNITS, *BOXED_UNITS])
@pytest.mark.parametrize("frame", [("", ""), ("<think>", "</think><answer>A</answer>"), ("<answer>", "</answer>")])
def test_time_grows_no_faster_than_the_text(unit: str, frame: tuple[str, str]) -> None:
    text = frame[0] + unit * (400_000 // len(unit)) + frame[1]
    begin = time.process_time()
    parse(text)
    assert time.process_time() - begin < 1.5  # takes .02 to .3 s; a quadratic search would take minutes


@pytest.mark.slow
def test_twenty_thousand_trajectories_parse_in_a_second() -> None:
    words = ["the", "person", "then", "slowly", "opens", "door", "and", "3", "others", "look", "<", "back", "her,", "rains."]
    rng = random.Random(7)

    def trajectory() -> str:
        first, second = (" ".join(rng.choices(words, k=k)) for k in (30, 120))
        start = rng.randrange(100_000)
        look = Look(Window(start, start + rng.randrange(1, 5000)), Fraction(rng.choice([1, 2, 3, 4, 6])))
        return render(Trajectory((first, second), (look,), "B", "\n"))

    texts = [trajectory() for _ in range(20_000)]
    assert 700 < sum(map(len, texts)) / len(texts) < 900
    gc.collect()
    gc.freeze()  # what other tests left in this process is not searched while the clock runs
    try:
        begin = time.process_time()
        parsed = [parse(text) for text in texts]
        took_s = time.process_time() - begin
    finally:
        gc.unfreeze()
    assert took_s < 1  # so 100,000 in 5 s; takes about .2 s
    assert all(isinstance(trajectory, Trajectory) for trajectory in parsed)


# defects


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # presence
        ("", ["think_missing", "answer_missing"]),
        ("The answer is B.", ["think_missing", "answer_missing"]),
        ("so <answer>A</answer>", ["think_missing"]),
        ("<think>a</think>A", ["answer_missing"]),
        ("<think>a</think><answer></answer>", ["answer_empty"]),
        ("<think>a</think><answer> \n</answer>", ["answer_empty"]),
        ("<think>a</think><think>b</think><answer>A</answer>", ["think_doubled"]),
        ("<think>a</think><answer>A</answer><answer>B</answer>", ["answer_doubled"]),
        ("<answer>A</answer><think>a</think>", ["answer_before_think"]),
        # tags that don't match
        ("a</think><answer>A</answer>", ["tag_unopened"]),
        ("<think>a</think></think><answer>A</answer>", ["tag_unopened"]),
        ("<think>a<answer>A</answer>", ["tag_unclosed"]),
        ("<think>a<span>12.00 - 20.00<fps>2</fps>b</think><answer>A</answer>", ["tag_unclosed"]),
        ("<think>a<span>12.00 - 20.00</span><fps>2</think><answer>A</answer>", ["tag_unclosed"]),
        ("<think>a<think>b</think></think><answer>A</answer>", ["tag_nested"]),
        ("<think>a<answer>A</answer></think>", ["tag_nested"]),
        ("<think>a</think><answer>A<think>b</think></answer>", ["tag_nested"]),
        ("<think><span><span>1.00 - 2.00</span></span><fps>2</fps></think><answer>A</answer>", ["tag_nested"]),
        ("<think><span>1.00 - 2.00<fps>2</fps></span></think><answer>A</answer>", ["tag_nested"]),
        ("<think>a <span>1.00 - 2.00 b</think><answer>A</answer>", ["tag_unclosed"]),
        ("<think>a <span>1.00 - 2.00</fps><fps>2</fps></think><answer>A</answer>", ["tag_unclosed", "tag_unopened"]),
        (GOOD[7:], ["tag_unopened"]),
        (GOOD.replace("</think>", ""), ["tag_unclosed"]),
        (GOOD.replace("</span>", "<span>"), ["tag_unclosed", "tag_nested"]),
        (GOOD.replace("</answer>", "<answer>"), ["tag_unclosed", "tag_nested"]),
        (GOOD.replace("T2", "<fps>"), ["tag_unclosed"]),
        # cut off: one fault, and nothing that merely would have followed
        ("<think>a", ["tag_unclosed"]),
        ("<think>a<span>12.0", ["tag_unclosed"]),
        ("<think>a<span>12.00 - 20.00</span>", ["tag_unclosed"]),
        ("<think>a<span>12.00 - 20.00</span><fps>", ["tag_unclosed"]),
        ("<think>a</think><answer>A", ["tag_unclosed"]),
        ("Hm.<think>a<span>12 - 20</span> <fps>2", ["text_before_think", "span_not_canonical", "text_in_look", "tag_unclosed"]),
        # text where none belongs
        (" " + GOOD, ["text_before_think"]),
        (GOOD + "\n", ["text_after_answer"]),
        ("<think>a</think>so<answer>A</answer>", ["text_before_answer"]),
        ("<think>a</think>\xa0<answer>A</answer>", ["text_before_answer"]),
        # looks
        ("<think>a</think><span>1.00 - 2.00</span><fps>2</fps><answer>A</answer>", ["look_outside_think"]),
        ("<think>a</think><answer><span>1.00 - 2.00</span><fps>2</fps></answer>", ["look_outside_think"]),
        (GOOD.replace("<fps>2</fps>", ""), ["fps_missing"]),
        (GOOD.replace("<span>12.00 - 20.00</span>", ""), ["fps_without_span"]),
        (GOOD.replace("<fps>", " <fps>"), ["text_in_look"]),
        (GOOD.replace("T2", GOOD[10:48] * 2), ["looks_too_many"]),
        # boxes
        (GOOD.replace("<fps>", "<box>120 40 560 1001</box><fps>"), ["box_outside"]),
        (GOOD.replace("<fps>", "<box>120 40 560</box><fps>"), ["box_not_canonical"]),
        (GOOD.replace("<fps>", "<box>120, 40, 560, 800</box><fps>"), ["box_not_canonical"]),
        (GOOD.replace("<fps>", "<box>0.12 0.04 0.56 0.8</box><fps>"), ["box_not_canonical"]),
        (GOOD.replace("<fps>", "<box></box><fps>"), ["box_not_canonical"]),
        (GOOD.replace("<fps>", "<box>560 40 120 800</box><fps>"), ["box_reversed"]),
        (GOOD.replace("<fps>", "<box>120 40 120 800</box><fps>"), ["box_empty"]),
        (GOOD.replace("<fps>", "<box>120 40 560 800<fps>"), ["box_unclosed"]),
        (GOOD.replace("<fps>", f"{BOXED}{BOXED}<fps>"), ["box_doubled"]),
        (GOOD.replace("<fps>", f"{BOXED} <fps>"), ["text_in_look"]),
        (GOOD.replace("<fps>", f" {BOXED}<fps>"), ["text_in_look"]),
        (GOOD.replace("<fps>", "</box><fps>"), ["text_in_look"]),
        (GOOD.replace("</fps>", f"</fps>{BOXED}"), ["box_after_fps"]),
        (GOOD.replace("<fps>2</fps>", BOXED), ["fps_missing"]),
        (GOOD.replace("<fps>", "<box>120 40 <fps>560 800</box>"), ["box_unclosed", "fps_not_canonical"]),
        # numbers
        (GOOD.replace("12.00 - 20.00", "12 - 20"), ["span_not_canonical"]),
        (GOOD.replace("12.00 - 20.00", ""), ["span_not_canonical"]),
        (GOOD.replace("20.00", "12.00"), ["span_empty"]),
        (GOOD.replace("20.00", "11.99"), ["span_reversed"]),
        (GOOD.replace("<fps>2", "<fps>2.0"), ["fps_not_canonical"]),
        (GOOD.replace("<fps>2", "<fps>2/0"), ["fps_not_canonical"]),
        (GOOD.replace("<fps>2", "<fps>0"), ["fps_not_positive"]),
        (GOOD.replace("<fps>2", "<fps>-0.5"), ["fps_not_positive"]),
    ],
)
def test_a_fault_is_named_and_nothing_else_is(text: str, expected: list[str]) -> None:
    assert rules(text) == expected


def test_independent_faults_are_all_reported() -> None:
    text = "Hm.<think><span>20-12</span> <fps>02</fps></think>so<answer> </answer>!"
    assert rules(text) == [
        "text_before_think",
        "span_not_canonical",
        "text_in_look",
        "fps_not_canonical",
        "text_before_answer",
        "answer_empty",
        "text_after_answer",
    ]


def test_a_defect_points_at_the_characters_and_says_what_was_found_and_what_is_expected() -> None:
    text = GOOD.replace("12.00 - 20.00", "12 - 20")
    defect = only(text)
    assert text[defect.start : defect.end] == "12 - 20"
    assert "'12 - 20'" in defect.message
    assert "12.00 - 20.00" in defect.message
    assert only(GOOD.replace("</think>", "")).message == "<think> is not closed; expected </think> before <answer>"
    assert only("<think>a</think>").start == 16


def test_a_message_quotes_an_excerpt_only() -> None:
    assert len(only(GOOD.replace("12.00", "9" * 5000)).message) < 200


def test_of_a_text_full_of_faults_the_first_are_reported_and_nothing_is_said_of_what_follows() -> None:
    found = parse("</fps>" * 1000 + GOOD)
    assert isinstance(found, tuple)
    assert [(defect.rule, defect.start) for defect in found] == [("tag_unopened", 6 * i) for i in range(MAX_DEFECTS)]


def test_the_number_of_looks_is_bounded_by_max_looks() -> None:
    twice = GOOD.replace("T2", GOOD[10:48])
    assert rules(twice, 1) == ["looks_too_many"]
    assert rules(twice, 2) == []
    assert rules(GOOD, 0) == ["looks_too_many"]


def test_a_box_stands_between_span_and_density() -> None:
    text = GOOD.replace("<fps>", f"{BOXED}<fps>")
    look = Look(Window(1200, 2000), Fraction(2), Box(120, 40, 560, 800))
    assert parse(text) == Trajectory(("T1 ", "T2"), (look,), "A")


def test_words_that_hold_a_box_parse_as_before_there_were_boxes() -> None:
    """In thoughts and answers of then `<box>` was two brackets and a word, and it is."""
    for text in (f"{BOXED} is a box", "<box>", "a</box>b", "<box>(12,40),(560,800)</box>"):
        trajectory = parse(GOOD.replace("T1 ", text).replace("T2", f"so {text}").replace("A", text))
        assert isinstance(trajectory, Trajectory)
        assert (*trajectory.thoughts, trajectory.answer) == (text, f"so {text}", text)
        assert trajectory.looks[0].box is None
    behind = parse(GOOD.replace("T2", "<box>(12,40),(560,800)</box> shows it"))
    assert isinstance(behind, Trajectory)
    with pytest.raises(ValueError, match="begins with a box"):
        Trajectory(("a", f"{BOXED}b"), behind.looks, "A")


@pytest.mark.parametrize(
    ("there", "rule", "place"),
    [
        ("<box>120 40 560 8000</box>", "box_outside", "120 40 560 8000"),
        ("<box>120 40 560 80000</box>", "box_not_canonical", "120 40 560 80000"),
        (f"{BOXED}{BOXED}x", "box_doubled", f"{BOXED}x"),
        ("<box>120", "box_unclosed", "<box>"),
        (f"{BOXED}so", "text_in_look", "so"),
    ],
)
def test_a_fault_of_a_box_points_at_its_characters(there: str, rule: str, place: str) -> None:
    text = GOOD.replace("<fps>", f"{there}<fps>")
    defect = only(text)
    assert (defect.rule, text[defect.start : defect.end]) == (rule, place)


def test_a_token_quota_has_no_form_here() -> None:
    look = Look(Window(1200, 2000), Fraction(2), tokens=96)
    with pytest.raises(InputError, match="a quota of 96 tokens"):
        render(Trajectory(("a", "b"), (look,), "A"))


# transcripts


@given(trajectories())
def test_a_trajectory_survives_the_way_through_a_transcript(trajectory: Trajectory) -> None:
    transcript = transcribe((COARSE, Piece("prompt", "When?")), trajectory)
    assert transcript.policy_text == render(trajectory)
    assert trajectory_of(transcript, max_looks=3) == trajectory
    assert tuple(piece.look for piece in transcript.pieces if piece.look) == trajectory.looks


def test_the_clip_of_a_look_stands_right_behind_its_density() -> None:
    trajectory = parse(GOOD)
    assert isinstance(trajectory, Trajectory)
    transcript = transcribe((COARSE, Piece("prompt", "When?")), trajectory)
    assert transcript.pieces == (
        COARSE,
        Piece("prompt", "When?"),
        Piece("policy", "<think>T1 <span>12.00 - 20.00</span><fps>2</fps>"),
        Piece("runtime", look=Look(Window(1200, 2000), Fraction(2))),
        Piece("policy", "T2</think><answer>A</answer>"),
    )
    assert transcript.segments() == (None, None, "sampling", None, "reasoning")


def test_a_forced_look_is_part_of_the_trajectory_although_the_policy_did_not_write_it() -> None:
    look = Look(Window(1200, 2000), Fraction(2))
    given_look = Piece("runtime", "<think><span>12.00 - 20.00</span><fps>2</fps>")
    forced = Transcript((COARSE, given_look, Piece("runtime", look=look), Piece("policy", "T2</think><answer>A</answer>")))
    assert trajectory_of(forced) == Trajectory(("", "T2"), (look,), "A")
