"""A planter plants its defect and nothing else, or says that it can't."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmforge.generators.synthetic.oracle import planted_defects
from dmforge.generators.synthetic.oracle.planted_defects import ANSWER_DEFECTS, LOOK_DEFECTS, DefectContext
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.grammar import Trajectory, parse
from dmforge.schemas.looks import Look, Window, print_seconds, print_span, read_span
from dmforge.schemas.replies import AnswerReply, LookReply
from dmforge.schemas.scoring import iou, matches
from dmforge.schemas.stamps import patch_times, stamp

T1 = "A grey field is seen at first. The disc comes in later, at {time} seconds. So I look there, and more densely."
T2 = "The closer frames show it well. It is seen at {time} seconds. Nothing else happens here."
COLOURS = ("red", "green", "blue", "cyan")
SOMETIMES_IMPOSSIBLE = {"wrong_window", "span_equals_answer", "cited_off_stamps_t2", "cited_outside_window_t2"}


@dataclass(frozen=True)
class Case:
    """Good replies to both requests about one task, with the exact times of the patches that were shown."""

    look: DefectContext
    look_reply: LookReply
    coarse_times_s: tuple[Fraction, ...]
    answer: DefectContext
    answer_reply: AnswerReply
    close_times_s: tuple[Fraction, ...]


def seconds(time_cs: int) -> Decimal:
    return Decimal(print_seconds(time_cs))


def golds(draw: Random, duration_cs: int) -> tuple[Window, ...]:
    if draw.random() < 0.1:
        return (Window(0, duration_cs),)
    cuts = sorted(draw.sample(range(0, duration_cs, 100), 2 * draw.randint(1, 2)))
    return tuple(Window(start, end) for start, end in zip(cuts[::2], cuts[1::2], strict=True))


def near(gold: Window, duration_cs: int) -> Window:
    """What a good teacher asks for: about the gold window, not just it."""
    window = Window(max(0, gold.start_cs - 30), min(duration_cs, gold.end_cs + 40))
    return window if window != gold else Window(gold.start_cs, gold.end_cs - gold.end_cs // 20)


def make_case(seed: int) -> Case:
    draw = Random(f"case {seed}")
    duration_cs = draw.randint(500, 9_000)
    kind = draw.choice(("grounding", "mcq", "grounded_mcq", "open"))
    windows = golds(draw, duration_cs)
    window, fps = near(windows[0], duration_cs), Fraction(draw.choice((1, 2, 3, 4, 6)))
    options, answer = (), draw.choice(("3", "0", "two", "red", "left", "yes", "a dog", "2.5"))
    if kind == "grounding":
        answer = print_span(windows[0])
    elif kind != "open":
        options, answer = COLOURS, draw.choice(COLOURS)
        windows = windows if draw.random() < 0.7 else ()
    duration_s = Fraction(duration_cs, 100)
    coarse_times_s = patch_times(plan_coarse(duration_s).times_s)
    close_times_s = patch_times(plan_look(Look(window, fps), duration_s).times_s)
    look = DefectContext(kind, options, answer, windows, duration_cs, tuple(map(stamp, coarse_times_s)), ())
    t1, t2 = (f"{float(draw.choice(times)):.1f}" for times in (coarse_times_s, close_times_s))
    return Case(
        look,
        LookReply(
            thought=T1.format(time=t1), start_s=seconds(window.start_cs), end_s=seconds(window.end_cs), fps=Decimal(int(fps))
        ),
        coarse_times_s,
        replace(look, stamps=tuple(map(stamp, close_times_s)), shown_windows=(window,)),
        AnswerReply(thought=T2.format(time=t2), answer=answer),
        close_times_s,
    )


CASES = tuple(map(make_case, range(60)))


# how each defect shows, by other means than those that planted it


def cited_cs(thought: str) -> list[int]:
    return [int(Decimal(time) * 100) for time in re.findall(r"at ([0-9]+\.[0-9]+) seconds", thought)]


def off_stamps(time_cs: int, times_s: tuple[Fraction, ...]) -> bool:
    """Farther than half a patch from each patch, as it was shown and as it was printed."""
    printed = [Fraction(f"{float(time):.1f}") for time in times_s]
    for stamps in (times_s, printed):
        half = max((b - a for a, b in pairwise(stamps)), default=Fraction(10**6)) / 2
        if any(abs(Fraction(time_cs, 100) - time) <= half for time in stamps):
            return False
    return True


def is_well_formed(t1: str = "I look.", t2: str = "I see.", answer: str = "red") -> bool:
    text = f"<think>{t1}<span>1.00 - 2.00</span><fps>2</fps>{t2}</think><answer>{answer}</answer>"
    return isinstance(parse(text, max_looks=2), Trajectory)


def thought_signs(thought: str, situation: DefectContext, times_s: tuple[Fraction, ...]) -> Iterator[str]:
    words = set(re.findall(r"\w+", thought.lower()))
    shown = next(iter(situation.shown_windows), Window(0, situation.duration_cs))
    inside = [time for time in cited_cs(thought) if shown.start_cs <= time < shown.end_cs]
    if re.search("ground truth|annotation|correct answer|expected answer", thought):
        yield "leaked_gold"
    if any(off_stamps(time_cs, times_s) for time_cs in set(inside)):
        yield "cited_off_stamps"
    if not is_well_formed(t1=thought) and not is_well_formed(t2=thought):
        yield "malformed_tags"
    if not thought.strip():
        yield "empty_thought"
    if max(Counter(re.split(r"(?<=\.) ", thought)).values()) > 10:
        yield "repetition"
    if words and not words & {"the", "it", "is", "so", "nothing"}:
        yield "other_language"
    if words & {"heard", "voice", "sound"}:
        yield "needs_audio"
    if words & {"beaten", "lane", "hurt"}:
        yield "unsafe"


def look_signs(reply: LookReply, case: Case) -> set[str]:
    asked, situation = case.look_reply, case.look
    signs = {f"{sign}_t1" for sign in thought_signs(reply.thought, situation, case.coarse_times_s)}
    window = Window(int(reply.start_s * 100), int(reply.end_s * 100))
    if window.end_cs >= situation.duration_cs + 500 and window.start_cs < situation.duration_cs:
        signs.add("window_past_end")
    elif situation.windows and all(iou((window,), (gold,)) < Fraction(1, 10) for gold in situation.windows):
        signs.add("wrong_window")
    if any(time_cs >= situation.duration_cs + 100 for time_cs in cited_cs(reply.thought)):
        signs.add("cited_past_end_t1")
    if situation.kind == "grounding" and window in situation.windows:
        signs.add("span_equals_answer")
    if reply.fps >= 12 and reply.fps >= 2 * asked.fps:
        signs.add("needless_density")
    if reply.fps <= Decimal("0.5") and reply.fps <= asked.fps / 2:
        signs.add("low_density")
    return signs


def answer_signs(reply: AnswerReply, case: Case) -> set[str]:
    situation, good, answer = case.answer, case.answer_reply.answer, reply.answer
    signs = {f"{sign}_t2" for sign in thought_signs(reply.thought, situation, case.close_times_s)}
    assert situation.shown_windows
    around = range(situation.shown_windows[0].start_cs - 100, situation.shown_windows[0].end_cs + 100)
    if any(time not in around for time in cited_cs(reply.thought)):
        signs.add("cited_outside_window_t2")
    parts = re.split(r"</answer><answer>| or ", answer)
    if not answer.strip():
        signs.add("missing_answer")
    elif len(parts) == 2:
        assert sorted(matches(part, situation.answer, situation.options) for part in parts) == [False, True]
        assert not matches(answer, situation.answer, situation.options)
        signs.add("doubled_answer")
    elif answer.startswith(good) and answer.endswith("."):
        signs.add("text_after_answer")
    elif is_wrong(answer, situation):
        signs.add("wrong_answer")
    return signs


def is_wrong(answer: str, situation: DefectContext) -> bool:
    if situation.kind != "grounding":
        return not matches(answer, situation.answer, situation.options)
    times = read_span(answer)
    assert times is not None
    golds = {*situation.windows, Window(*read_span(situation.answer) or ())}
    return all(iou((Window(*times),), (gold,)) < Fraction(3, 10) for gold in golds)


# every planter


def names(*beginnings: str) -> list[str]:
    return [name for name in (*LOOK_DEFECTS, *ANSWER_DEFECTS) if name.startswith(beginnings)]


def planted_looks(name: str) -> Iterator[tuple[Case, LookReply]]:
    for seed, case in enumerate(CASES):
        reply = LOOK_DEFECTS[name](case.look_reply, case.look, Random(seed))
        if reply is not None:
            yield case, reply


def planted_answers(name: str) -> Iterator[tuple[Case, AnswerReply]]:
    for seed, case in enumerate(CASES):
        reply = ANSWER_DEFECTS[name](case.answer_reply, case.answer, Random(seed))
        if reply is not None:
            yield case, reply


def test_the_names_are_fixed_and_disjoint() -> None:
    thoughts = ["leaked_gold", "cited_off_stamps", "malformed_tags", "empty_thought"]
    thoughts += ["repetition", "other_language", "needs_audio", "unsafe"]
    looks = ["wrong_window", "window_past_end", "needless_density", "low_density", "span_equals_answer", "cited_past_end_t1"]
    answers = ["wrong_answer", "cited_outside_window_t2", "missing_answer", "doubled_answer", "text_after_answer"]
    assert set(LOOK_DEFECTS) == {*looks, *(f"{name}_t1" for name in thoughts)}
    assert set(ANSWER_DEFECTS) == {*answers, *(f"{name}_t2" for name in thoughts)}
    assert not LOOK_DEFECTS.keys() & ANSWER_DEFECTS.keys()


def test_good_replies_show_no_defect() -> None:
    for case in CASES:
        assert look_signs(case.look_reply, case) == set()
        assert answer_signs(case.answer_reply, case) == set()


@pytest.mark.parametrize("name", LOOK_DEFECTS)
def test_a_spoilt_look_has_its_defect_and_no_other(name: str) -> None:
    for case, reply in planted_looks(name):
        assert look_signs(reply, case) == {name}, reply


@pytest.mark.parametrize("name", ANSWER_DEFECTS)
def test_a_spoilt_answer_has_its_defect_and_no_other(name: str) -> None:
    for case, reply in planted_answers(name):
        assert answer_signs(reply, case) == {name}, reply


@pytest.mark.parametrize("name", LOOK_DEFECTS)
def test_a_spoilt_look_is_a_reply_that_differs_in_one_thing(name: str) -> None:
    spoils = {"thought"} if name.endswith("_t1") else {"fps"} if name.endswith("density") else {"start_s", "end_s"}
    spoils -= {"start_s"} if name == "window_past_end" else set()
    for case, reply in planted_looks(name):
        good = case.look_reply.model_dump()
        assert LookReply.model_validate_json(reply.model_dump_json()) == reply
        assert {field for field, value in reply.model_dump().items() if value != good[field]} <= spoils


@pytest.mark.parametrize("name", ANSWER_DEFECTS)
def test_a_spoilt_answer_is_a_reply_that_differs_in_one_thing(name: str) -> None:
    spoilt = "thought" if name.endswith("_t2") else "answer"
    for case, reply in planted_answers(name):
        good = case.answer_reply.model_dump()
        assert AnswerReply.model_validate_json(reply.model_dump_json()) == reply
        assert {field for field, value in reply.model_dump().items() if value != good[field]} == {spoilt}


@pytest.mark.parametrize("name", names("leaked", "cited", "malformed", "needs_audio"))
def test_what_is_put_into_a_thought_leaves_its_sentences_as_they_were(name: str) -> None:
    pairs = (
        ((case.look_reply.thought, reply.thought) for case, reply in planted_looks(name))
        if name in LOOK_DEFECTS
        else ((case.answer_reply.thought, reply.thought) for case, reply in planted_answers(name))
    )
    for good, spoilt in pairs:
        extra = len(spoilt) - len(good)
        assert extra > 0
        assert any(spoilt[:at] + spoilt[at + extra :] == good for at in range(len(good) + 1))


@pytest.mark.parametrize("name", names(""))
def test_the_same_draws_plant_the_same(name: str) -> None:
    plant: Callable[[Case, int], object] = (
        (lambda case, seed: LOOK_DEFECTS[name](case.look_reply, case.look, Random(seed)))
        if name in LOOK_DEFECTS
        else (lambda case, seed: ANSWER_DEFECTS[name](case.answer_reply, case.answer, Random(seed)))
    )
    for case in CASES[:20]:
        assert plant(case, 7) == plant(case, 7)


@pytest.mark.parametrize("name", names(""))
def test_a_defect_that_is_never_out_of_place_is_always_planted(name: str) -> None:
    planted = len(list((planted_looks if name in LOOK_DEFECTS else planted_answers)(name)))
    assert planted == len(CASES) or (name in SOMETIMES_IMPOSSIBLE and 10 < planted < len(CASES))


@pytest.mark.parametrize("name", names("leaked", "malformed", "other", "doubled"))
def test_where_there_are_several_ways_all_are_drawn(name: str) -> None:
    case = CASES[0]
    if name in LOOK_DEFECTS:
        drawn = {str(LOOK_DEFECTS[name](case.look_reply, case.look, Random(seed))) for seed in range(60)}
    else:
        drawn = {str(ANSWER_DEFECTS[name](case.answer_reply, case.answer, Random(seed))) for seed in range(60)}
    assert len(drawn) >= 3


# single planters


def situation(**changes: object) -> DefectContext:
    base = DefectContext("mcq", COLOURS, "red", (Window(1_000, 2_000),), 6_000, (), ())
    return replace(base, **changes)  # pyright: ignore[reportArgumentType]


LOOK = LookReply(thought="I look there.", start_s=Decimal("9.50"), end_s=Decimal("20.50"), fps=Decimal(2))
ANSWER = AnswerReply(thought="It is seen well.", answer="red")

gold_windows = st.lists(
    st.tuples(st.integers(0, 500), st.integers(11, 500)).map(lambda pair: Window(pair[0], sum(pair))), min_size=1, max_size=4
).map(tuple)


@settings(max_examples=50, deadline=None)
@given(gold_windows, st.integers(20, 800), st.integers(1, 500), st.integers(0, 9))
def test_a_wrong_window_lies_in_the_video_and_meets_gold_only_where_gold_is_everywhere(
    gold: tuple[Window, ...], duration_cs: int, length_cs: int, seed: int
) -> None:
    asked = LOOK.model_copy(update={"start_s": Decimal(0), "end_s": seconds(length_cs)})
    spoilt = LOOK_DEFECTS["wrong_window"](asked, situation(windows=gold, duration_cs=duration_cs), Random(seed))
    assert spoilt is not None
    found = Window(int(spoilt.start_s * 100), int(spoilt.end_s * 100))
    assert found.end_cs <= duration_cs
    assert found.end_cs - found.start_cs <= length_cs
    free = set(range(duration_cs)) - {cs for window in gold for cs in range(window.start_cs, window.end_cs)}
    assert not free or free >= set(range(found.start_cs, found.end_cs))
    assert all(iou((found,), (window,)) < Fraction(1, 10) for window in gold)


def test_a_wrong_window_is_as_long_as_the_one_asked_for_where_there_is_room() -> None:
    for seed in range(50):
        spoilt = LOOK_DEFECTS["wrong_window"](LOOK, situation(), Random(seed))
        assert spoilt is not None
        assert spoilt.end_s - spoilt.start_s == 11


def test_no_window_is_wrong_for_a_question_that_needs_no_video() -> None:
    assert LOOK_DEFECTS["wrong_window"](LOOK, situation(windows=()), Random(0)) is None


@pytest.mark.parametrize(("fps", "expected"), [("0.5", "12"), ("4", "12"), ("6", "18"), ("12", "36"), ("400", None)])
def test_a_needless_density_is_twelve_or_thrice_what_was_asked_for(fps: str, expected: str | None) -> None:
    spoilt = LOOK_DEFECTS["needless_density"](LOOK.model_copy(update={"fps": Decimal(fps)}), situation(), Random(0))
    assert (spoilt and spoilt.fps) == (expected and Decimal(expected))


@pytest.mark.parametrize("fps", ["1", "0.5", "0.25", "0.1"])
def test_a_low_density_is_at_most_half_of_a_low_one_too(fps: str) -> None:
    for seed in range(20):
        spoilt = LOOK_DEFECTS["low_density"](LOOK.model_copy(update={"fps": Decimal(fps)}), situation(), Random(seed))
        assert spoilt is not None
        assert spoilt.fps <= Decimal(fps) / 2


def test_a_density_can_be_too_low_to_be_lowered() -> None:
    lowest = LOOK.model_copy(update={"fps": Decimal("0.05")})
    assert LOOK_DEFECTS["low_density"](lowest, situation(), Random(0)) is None


def test_only_a_grounding_look_can_be_the_answer() -> None:
    windows = (Window(100, 200), Window(300, 400))
    plant = LOOK_DEFECTS["span_equals_answer"]
    spoilt = plant(LOOK, situation(kind="grounding", answer="3.00 - 4.00", windows=windows), Random(0))
    assert spoilt is not None
    assert spoilt.look() == Look(Window(300, 400), Fraction(2))
    assert all(plant(LOOK, situation(kind=kind), Random(0)) is None for kind in ("mcq", "grounded_mcq", "open"))


def test_a_leak_quotes_the_answer_but_for_a_span_which_would_cite_times() -> None:
    for case, reply in planted_looks("leaked_gold_t1"):
        leak = reply.thought.replace(case.look_reply.thought, "")
        assert case.look.kind == "grounding" or case.look.answer in reply.thought
        assert case.look.kind != "grounding" or case.look.answer not in leak


def test_a_late_citation_stays_in_the_video_though_the_window_goes_on() -> None:
    past_end = situation(stamps=("<50.2 seconds>", "<51.2 seconds>"), shown_windows=(Window(5_000, 9_000),))
    for seed in range(50):
        spoilt = ANSWER_DEFECTS["cited_off_stamps_t2"](ANSWER, past_end, Random(seed))
        assert spoilt is not None
        assert 5_180 < cited_cs(spoilt.thought)[0] < 6_000


def test_a_citation_is_off_the_true_time_of_a_patch_too_not_only_off_its_rounded_stamp() -> None:
    times_s = patch_times(plan_coarse(Fraction(10)).times_s)
    assert (times_s[-1], stamp(times_s[-1])) == (Fraction(37, 4), "<9.2 seconds>")
    coarse = situation(duration_cs=1_000, stamps=tuple(map(stamp, times_s)))
    for seed in range(100):
        spoilt = LOOK_DEFECTS["cited_off_stamps_t1"](LOOK, coarse, Random(seed))
        assert spoilt is not None
        assert off_stamps(cited_cs(spoilt.thought)[0], times_s)


def test_between_even_stamps_no_time_is_off_all_of_them() -> None:
    even = situation(stamps=tuple(f"<{time}.5 seconds>" for time in range(10, 20)), shown_windows=(Window(1_000, 2_000),))
    assert ANSWER_DEFECTS["cited_off_stamps_t2"](ANSWER, even, Random(0)) is None


@pytest.mark.parametrize("stamps", [(), ("<12.0 seconds>",)])
def test_without_two_stamps_nobody_can_say_what_is_off_them(stamps: tuple[str, ...]) -> None:
    shown = situation(stamps=stamps, shown_windows=(Window(1_000, 2_000),))
    assert LOOK_DEFECTS["cited_off_stamps_t1"](LOOK, shown, Random(0)) is None
    assert ANSWER_DEFECTS["cited_off_stamps_t2"](ANSWER, shown, Random(0)) is None


def test_nothing_is_outside_of_a_window_that_is_not_there_or_everywhere() -> None:
    for shown_windows in ((), (Window(50, 5_950),)):
        assert ANSWER_DEFECTS["cited_outside_window_t2"](ANSWER, situation(shown_windows=shown_windows), Random(0)) is None


@pytest.mark.parametrize("name", ["wrong_answer", "doubled_answer"])
def test_without_another_option_no_answer_is_wrong(name: str) -> None:
    assert ANSWER_DEFECTS[name](ANSWER, situation(options=("red", "Red.")), Random(0)) is None


@pytest.mark.parametrize(
    ("gold", "kindred"),
    [("Blue", planted_defects.KINDRED[0]), ("left", planted_defects.KINDRED[2]), ("3", ("2", "4", "5")), ("0", ("1", "2"))],
)
def test_a_wrong_open_answer_is_of_the_same_kind(gold: str, kindred: tuple[str, ...]) -> None:
    asked, good = situation(kind="open", options=(), answer=gold), ANSWER.model_copy(update={"answer": gold})
    drawn = {ANSWER_DEFECTS["wrong_answer"](good, asked, Random(seed)) for seed in range(100)}
    assert {reply.answer for reply in drawn if reply} == set(kindred) - {gold.lower()}


def test_a_wrong_span_misses_the_answer_as_well_as_the_windows() -> None:
    answered = situation(kind="grounding", answer="0.00 - 50.00", windows=(Window(0, 1_000), Window(4_000, 5_000)))
    for asked in (answered, replace(answered, windows=())):
        for seed in range(50):
            spoilt = ANSWER_DEFECTS["wrong_answer"](ANSWER, asked, Random(seed))
            assert spoilt is not None
            assert is_wrong(spoilt.answer, asked)


def test_without_any_gold_span_no_span_is_wrong() -> None:
    asked = situation(kind="grounding", answer="never", windows=())
    assert ANSWER_DEFECTS["wrong_answer"](ANSWER, asked, Random(0)) is None


@pytest.mark.parametrize("answer", ["B", "red"])
def test_an_explained_answer_is_not_read_as_an_option_that_stands_alone(answer: str) -> None:
    asked = situation(options=("blue", "red"))
    for seed in range(10):
        spoilt = ANSWER_DEFECTS["text_after_answer"](ANSWER.model_copy(update={"answer": answer}), asked, Random(seed))
        assert spoilt is not None
        assert not matches(spoilt.answer, "red", asked.options)


@pytest.mark.parametrize("answer", ["B", "(B)", "B) red", "red"])
def test_two_answers_are_never_read_as_the_right_one(answer: str) -> None:
    asked = situation(options=("blue", "red", "red or blue", "blue or red"))
    for seed in range(40):
        spoilt = ANSWER_DEFECTS["doubled_answer"](ANSWER.model_copy(update={"answer": answer}), asked, Random(seed))
        assert spoilt is not None
        assert not matches(spoilt.answer, "red", asked.options)
        assert " or " in spoilt.answer or not is_well_formed(answer=spoilt.answer)


def test_a_missing_answer_makes_no_trajectory() -> None:
    assert all(not is_well_formed(answer=reply.answer) for _, reply in planted_answers("missing_answer"))


@pytest.mark.parametrize("name", ["repetition_t1", "repetition_t2"])
def test_no_sentence_of_a_blank_thought_can_be_repeated(name: str) -> None:
    blank = {"thought": "  "}
    if name in LOOK_DEFECTS:
        assert LOOK_DEFECTS[name](LOOK.model_copy(update=blank), situation(), Random(0)) is None
    else:
        assert ANSWER_DEFECTS[name](ANSWER.model_copy(update=blank), situation(), Random(0)) is None


def test_planters_know_of_the_house_only_what_a_record_is() -> None:
    imported = [
        node for node in ast.walk(ast.parse(Path(planted_defects.__file__).read_text())) if isinstance(node, ast.ImportFrom)
    ]
    ours = {str(node.module) for node in imported if str(node.module).startswith("dmforge")}
    assert ours
    assert all(module.startswith("dmforge.schemas.") for module in ours)
