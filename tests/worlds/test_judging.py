"""Rules, answers and thresholds: each measures what it says, and nothing is kept that misses a threshold."""

from __future__ import annotations

from fractions import Fraction

import pytest

from dmforge.curation.contract.stage_results import Made
from dmforge.filters.rules.rules import Rules, RulesConfig
from dmforge.filters.verify import Verify, VerifyConfig
from dmforge.generators.stages.annotate import Annotate, AnnotateConfig
from dmforge.schemas.grammar import assemble
from dmforge.schemas.ids import digest
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.prompts import prompt, question_text
from dmforge.schemas.records import Candidate, CandidateWithTask, Needs, Task, TaskKind, Verdict, Video

VIDEO = Video("ab" * 32, 1200, 64, 64, Fraction(12), "h264", 0, 1)
LOOK = Look(Window(300, 500), Fraction(4))


def attempt(
    answer: str = "B",
    gold: str = "red",
    kind: TaskKind = "mcq",
    options: tuple[str, ...] = ("blue", "red"),
    windows: tuple[Window, ...] = (),
    needs: Needs = "any",
    thoughts: tuple[str, str] = ("Here it comes.", "There it goes."),
    look: Look = LOOK,
    video: Video | None = VIDEO,
) -> CandidateWithTask:
    task = Task(VIDEO.id, kind, "Which?", options, gold, windows, needs)
    transcript = assemble(prompt(task), thoughts, (look,), answer)
    candidate = Candidate(VIDEO.id, task.id, 0, "t", transcript, (look,), answer, "teacher", (digest("ask", 1),))
    return CandidateWithTask(candidate, task, video)


def ruled(item: CandidateWithTask, **config: object) -> dict[str, Verdict]:
    (made,) = Rules(RulesConfig(**config)).process(iter([item]))  # pyright: ignore
    assert isinstance(made, Made)
    return {row.filter: row for row in made.rows if isinstance(row, Verdict)}


def verified(item: CandidateWithTask) -> Verdict:
    (made,) = Verify(VerifyConfig()).process(iter([item]))
    assert isinstance(made, Made)
    answer, evidence = made.rows
    assert isinstance(answer, Verdict)
    assert isinstance(evidence, Verdict)
    assert (answer.filter, evidence.filter) == ("answer", "evidence")
    return answer


def test_a_sound_candidate_scores_1_by_every_rule() -> None:
    found = ruled(attempt())
    names = ("grammar", "window", "density", "frames", "length", "repetition", "language", "answer_form", "silent")
    assert {name: verdict.score for name, verdict in found.items()} == dict.fromkeys(names, 1.0)
    assert all(verdict.reason == "" for verdict in found.values())


@pytest.mark.parametrize("thoughts", [("a <span> b", "x"), ("a", "</think>"), ("", "x"), ("x", " \n")])
def test_a_broken_or_empty_thought_is_no_grammar(thoughts: tuple[str, str]) -> None:
    verdict = ruled(attempt(thoughts=thoughts))["grammar"]
    assert verdict.score == 0
    assert verdict.reason


@pytest.mark.parametrize("answer", ["", " ", "A</answer><answer>B", "<answer>"])
def test_an_answer_that_is_none_is_no_grammar(answer: str) -> None:
    assert ruled(attempt(answer=answer))["grammar"].score == 0


def test_a_window_scores_the_share_of_it_that_is_inside() -> None:
    verdict = ruled(attempt(look=Look(Window(1100, 1300), Fraction(2))))["window"]
    assert (verdict.score, verdict.reason) == (0.5, "past the end")
    assert ruled(attempt(look=Look(Window(1300, 1400), Fraction(2))))["window"].score == 0
    assert ruled(attempt(video=None))["window"].score == 0


def test_a_density_that_was_not_offered_is_said() -> None:
    verdict = ruled(attempt(look=Look(Window(300, 500), Fraction(5))))["density"]
    assert (verdict.score, verdict.reason, verdict.detail) == (
        0.0,
        "density not offered",
        "at 27-38: 5 fps is not among 1, 2, 3, 4, 6",
    )
    assert ruled(attempt(look=Look(Window(300, 500), Fraction(5))), densities=(5,))["density"].score == 1


@pytest.mark.parametrize(
    ("answer", "score"), [("B", 1), ("red", 1), ("(b) red", 1), ("A", 0), ("blue", 0), ("green", 0), ("", 0)]
)
def test_a_choice_is_right_or_wrong(answer: str, score: float) -> None:
    assert verified(attempt(answer=answer)).score == score


def test_an_open_answer_is_compared_by_what_it_says() -> None:
    assert verified(attempt("3", "three", "open", ())).score == 1
    assert verified(attempt("4", "three", "open", ())).score == 0


@pytest.mark.parametrize(
    ("answer", "needs", "score"),
    [
        ("1.00 - 3.00", "any", 1.0),
        ("5.00 - 6.00", "any", 1.0),
        ("1.00 - 3.00", "all", 2 / 3),
        ("2.00 - 3.00", "any", 0.5),
        ("3.00 - 1.00", "any", 0.0),
        ("somewhere", "any", 0.0),
    ],
)
def test_a_window_is_scored_by_its_overlap_with_what_is_needed(answer: str, needs: Needs, score: float) -> None:
    windows = (Window(100, 300), Window(500, 600))
    item = attempt(answer, "1.00 - 3.00", "grounding", (), windows, needs)
    assert verified(item).score == pytest.approx(score)


def test_a_question_is_put_with_its_options_and_without_its_answer() -> None:
    item = attempt()
    assert question_text(item.task) == "Which?\nA. blue\nB. red"
    assert [piece.text for piece in prompt(item.task)] == [None, "Which?\nA. blue\nB. red"]


def test_another_instruction_is_another_work_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Annotate(AnnotateConfig(model="m")).variant
    assert Annotate(AnnotateConfig(model="m", concurrency=3, timeout_s=1)).variant == before
    assert Annotate(AnnotateConfig(model="m", temperature=0)).variant != before
    monkeypatch.setattr("dmforge.generators.teacher.ask_stage.instruction", lambda name: f"Another {name}")
    assert Annotate(AnnotateConfig(model="m")).variant != before
