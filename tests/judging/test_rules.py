"""Rules find what they are for, leave what is sound alone, say where, and never raise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.filters.rules.audio_claims import audible
from dmforge.filters.rules.citations import CITATIONS
from dmforge.filters.rules.cited_times import cited_times
from dmforge.filters.rules.rule import EXAMPLE, Rule, RuleInput, TextSpan
from dmforge.filters.rules.rules import RulesConfig, rules_of
from dmforge.filters.verify import evidence
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Window
from tests.judging import hand

RULES = (*rules_of(RulesConfig()), *CITATIONS)
SPOILT = hand.read()


def shown(text: str, base: RuleInput = EXAMPLE) -> RuleInput:
    """A text as rules are shown it."""
    found = replace(base, text=text)
    if isinstance(found.parsed, Trajectory):
        return replace(base, text=text, looks=found.parsed.looks, answer=found.parsed.answer)
    return found


def of_kind(*defects: str) -> list[hand.Spoilt]:
    return [spoilt for spoilt in SPOILT if spoilt.defect in defects]


def named(spoilt: list[hand.Spoilt]) -> list[Any]:
    return [pytest.param(one, id=one.name) for one in spoilt]


def test_there_are_sixty_spoilt_records_and_sound_ones_beside_them() -> None:
    assert len(SPOILT) - len(of_kind("")) == 60
    assert len(of_kind("")) == 20
    assert {one.defect for one in SPOILT} == {"", "paraphrase_duplicate", "contaminated_id", *hand.CAUGHT_BY}


@pytest.mark.parametrize("spoilt", named(of_kind(*hand.CAUGHT_BY)))
def test_what_was_spoilt_by_hand_is_found_by_the_rule_for_it(spoilt: hand.Spoilt) -> None:
    found = hand.missed(spoilt)
    assert found
    assert not hand.CAUGHT_BY[spoilt.defect] or hand.CAUGHT_BY[spoilt.defect] in found
    for row in found.values():
        assert row.reason
        assert row.detail.startswith("at ")


@pytest.mark.parametrize("spoilt", named(of_kind("", "paraphrase_duplicate", "contaminated_id")))
def test_nothing_is_found_in_what_is_sound_by_itself(spoilt: hand.Spoilt) -> None:
    assert not hand.missed(spoilt)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_is_failed_by_its_own_example_and_by_no_other_one(rule: Rule) -> None:
    assert rule.about.endswith("?") or "?" in rule.about
    failing: list[str] = []
    for other in RULES:
        base = replace(EXAMPLE, kind="grounding", gold="3.00 - 5.00", options=()) if other.name == "own_span" else EXAMPLE
        measured = rule.check(shown(other.fails, base))
        if measured is not None and measured.score < hand.MIN_SCORES.get(rule.name, 1.0):
            failing.append(other.name)
    assert rule.name in failing
    # a look that doesn't parse is no look, so it has no window and no density; what is far outside is off the stamps, too
    follows = {"window": {"grammar"}, "density": {"grammar"}, "cited_stamps": {"cited_inside"}, "answer_form": {"own_span"}}
    assert set(failing) <= {rule.name, *follows.get(rule.name, set())}


def test_the_table_of_rules_says_what_each_asks_and_how_it_is_failed() -> None:
    told = (Path(__file__).parents[2] / "docs/judging.md").read_text("utf-8")
    for rule in RULES:
        line = next(line for line in told.splitlines() if line.startswith(f"| `{rule.name}` |"))
        assert " ".join(rule.about.split()) in line
        assert rule.fails in line


BITS = st.sampled_from([
    *("<think>", "</think>", "<span>", "</span>", "<fps>", "</fps>", "<answer>", "</answer>", "1.00 - 2.00", "2", "-", "\x00"),
    *("at 3.2 seconds", "99999999999.5 s", "0:99", "1:05", "at 00:00:00.001", "at 1:05", "9.9 to 3 s", "for 8 seconds"),
    *("The ground truth", "I hear", "\ud800", "\u0663 s", "\u00bd seconds", "\u00df", "\u3002", "\u4eba"),
])  # fmt: skip


@given(st.one_of(st.text(), st.lists(st.one_of(BITS, st.text(max_size=8)), max_size=30).map("".join)), st.booleans())
def test_no_text_makes_a_rule_raise_and_whatever_it_finds_has_a_place(text: str, grounding: bool) -> None:
    base = replace(EXAMPLE, kind="grounding", options=()) if grounding else EXAMPLE
    for known in (base, replace(base, duration_cs=None), replace(base, kind="open", options=(), gold=text, question=text)):
        item = shown(text, known)
        for measured in (*(rule.check(item) for rule in RULES), evidence(item)):
            if measured is None:
                continue
            assert 0 <= measured.score <= 1
            assert (measured.score == 1) == (not measured.reason) == (not measured.faults)
            assert all(0 <= fault.start <= fault.end <= len(text) for fault in measured.faults)


@pytest.mark.parametrize(
    "text", ["<span>" * 20_000, "<span></fps>" * 10_000, "at 1.5 s " * 10_000, "what is " * 10_000, "1:" * 30_000, "9" * 60_000]
)
def test_long_nonsense_takes_no_time(text: str) -> None:
    import time

    began = time.process_time()
    for rule in RULES:
        rule.check(shown(text))
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("At 12.3 seconds it opens.", [1230]),
        ("- At 0.00s to about 4.83s, she stands", [0, 483]),
        ("(0.00 - 24.56s) show it; at 26.45s it shifts", [0, 2456, 2645]),
        ("around 19.86s, <4.5 seconds>, 4.5-second mark", [1986, 450, 450]),
        ("Between 3 and 5 seconds, from 7.5 to 9 seconds", [300, 500, 750, 900]),
        ("At 1:05 and at 00:01:30.5 it rains", [6500, 9050]),
        ("at 12.25, then by 13.5", [1225, 1350]),
        ("It takes 2.5 seconds, lasts for 3 seconds, and 8 seconds later it ends.", []),
        ("He stirs for about 8 seconds at 2 frames per second, at 2.5 fps", []),
        ("an iPhone 4s costs 99.5 and the score is 2:15", []),
        ("within 2 seconds, a 3.5 second pause, the 5 seconds of silence", []),
    ],
)
def test_times_are_cited_and_lengths_are_not(text: str, times: list[int]) -> None:
    found = list(cited_times(TextSpan(text, 7)))
    assert [cited.time_cs for cited in found] == times
    assert all(text[cited.start - 7 : cited.end - 7] == cited.text for cited in found)


@pytest.mark.parametrize(
    ("question", "score"),
    [
        ("What does the man say to her?", 0),
        ("Which language is spoken?", 0),
        ("What song is playing in the background?", 0),
        ("Who is singing?", 0),
        ("What sound does the dog make?", 0),
        ("How many bells can be heard?", 0),
        ("What does the sign on the door say?", 1),
        ("What is written on the board?", 1),
        ("What does the man do after he puts on the headphones?", 1),
        ("Which instrument lies on the table?", 1),
    ],
)
def test_a_question_that_only_ears_can_answer_is_told(question: str, score: float) -> None:
    assert audible(question).score == score


def test_half_of_gold_is_half_the_evidence() -> None:
    text = "<think>Let me look. <span>4.00 - 8.00</span><fps>2</fps>It is red.</think><answer>B</answer>"
    found = evidence(shown(text))
    assert (found.score, found.reason) == (0.5, "looks at a part")
    both = replace(EXAMPLE, windows=(Window(300, 500), Window(600, 800)))
    assert evidence(shown(text, both)).score == 1
    assert evidence(shown(text, replace(both, needs="all"))).score == 0.75
    assert evidence(shown(text, replace(EXAMPLE, windows=()))).n == 0
