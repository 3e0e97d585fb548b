"""Near questions: every planted pair is named once, groups hang together, and what the rule finds of 300 labelled pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.filters import embed
from dmforge.filters.embed import SentenceModel
from dmforge.filters.near_questions import SAME_MEANING, AskedQuestion, NearQuestions, means_the_same
from dmforge.filters.question_facts import facts, is_turned
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import digest
from dmforge.schemas.likeness import is_near
from tests.judging.question_pairs import QuestionPair, kept, pairs
from tests.support.films import shots, write_film

ROOT = Path(__file__).parents[2]
with_model = pytest.mark.skipif(find_spec(embed.PACKAGE) is None, reason="the extra `embed` is not installed")


def asked(*about: tuple[str, str]) -> list[AskedQuestion]:
    """Questions about videos, in the order of their ids."""
    questions = [
        AskedQuestion(digest("task", [at, video, text]), digest("video", video), text) for at, (video, text) in enumerate(about)
    ]
    return sorted(questions, key=lambda question: question.task)


def named(questions: list[AskedQuestion], vectors: Mapping[bytes, Any] | None = None) -> set[tuple[frozenset[str], str, str]]:
    """Pairs as texts, about what, and by what."""
    texts = {question.task: question.text for question in questions}
    table = NearQuestions(questions, vectors or {}).pair_table().to_pylist()
    return {(frozenset({texts[row["task"]], texts[row["other_task"]]}), row["about"], row["by"]) for row in table}


def test_pairs_are_named_with_what_they_are_about() -> None:
    questions = asked(
        ("a", "When does the man open the door?"),
        ("a", "At what time does the man open a door?"),
        ("b", "When does the man open the door?"),
        ("b", "What does the dog bring back?"),
        ("c", "Why does the man open the door?"),
        ("c", "Why doesn't the man open the door?"),
    )
    man = {"When does the man open the door?", "At what time does the man open a door?"}
    pairs_named = named(questions)
    assert {about for texts, about, _ in pairs_named if texts <= man} == {"one video", "several videos"}
    assert all(texts <= man for texts, _, _ in pairs_named)
    assert {by for *_, by in pairs_named} == {"words"}


def test_a_template_makes_as_many_pairs_as_it_has_questions() -> None:
    questions = asked(*((f"v{number}", "What happens at the end?") for number in range(50)))
    near = NearQuestions(questions, {})
    assert len(near.pairs) == 49
    members = near.member_table().to_pylist()
    assert {row["about"] for row in members} == {"several videos"}
    assert {row["task"] for row in members} == {question.task for question in questions}
    assert len({row["cluster"] for row in members}) == 1


def test_nearly_all_that_is_near_hangs_together() -> None:
    """Bands of MinHash miss one in ten pairs that are barely near; groups join most of those by others."""
    random = Random(4)
    words = ("man", "dog", "door", "ball", "opens", "kicks")
    texts = [f"When {' '.join(random.sample(words, 4))}?" for _ in range(120)]
    questions = asked(*((f"v{random.randrange(6)}", text) for text in texts))
    clusters: dict[str, dict[bytes, bytes]] = {"one video": {}, "several videos": {}}
    for row in NearQuestions(questions, {}).member_table().to_pylist():
        clusters[row["about"]][row["task"]] = row["cluster"]
    joined = list[bool]()
    for first, second in combinations(questions, 2):
        if is_near(first.text, second.text) and facts(first.text) == facts(second.text):
            of_it = clusters["one video" if first.video == second.video else "several videos"]
            joined.append(of_it.get(first.task, b"none") == of_it.get(second.task))
    assert len(joined) > 100
    assert sum(joined) >= 0.9 * len(joined), f"{sum(joined)} of {len(joined)}"


def test_by_meaning_are_near_whose_vectors_are_and_whose_facts_agree() -> None:
    questions = asked(
        ("a", "Who picks up the phone?"), ("a", "Who answers the telephone?"), ("b", "Who takes the call?"),
        ("b", "Who takes the second call?"), ("c", "What is for dinner?"),
    )  # fmt: skip
    turned = {"What is for dinner?": (0.0, 1.0)}
    vectors = {question.task: np.array(turned.get(question.text, (1.0, 0.0)), np.float32) for question in questions}
    by_meaning = {(texts, about) for texts, about, by in named(questions, vectors) if by == "meaning"}
    phone, telephone, call = "Who picks up the phone?", "Who answers the telephone?", "Who takes the call?"
    assert by_meaning == {
        (frozenset({phone, telephone}), "one video"), (frozenset({phone, call}), "several videos"),
        (frozenset({telephone, call}), "several videos"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "other_text", "same"),
    [
        ("Why does he open it?", "Why doesn\u2019t he open it?", False),
        ("How many at 0:30?", "How many at 1:30?", False),
        ("What comes after two dogs?", "What comes before two dogs?", False),
        ("What comes after two dogs?", "After two dogs, what comes?", True),
    ],
)
def test_facts_decide(text: str, other_text: str, same: bool) -> None:
    assert (facts(text) == facts(other_text)) == same


def test_who_does_it_to_whom_is_another_thing() -> None:
    assert is_turned("When does the dog chase the cat?", "When does the cat chase the dog?")
    assert not is_turned("When does the dog chase the cat?", "When is the cat chased by the dog?")
    assert not is_turned("When does the dog chase the cat?", "When does the dog chase a cat?")


def counts(labelled: list[QuestionPair], found: list[bool]) -> tuple[int, int, int]:
    """How many pairs are found rightly, how many are found, and how many should be."""
    right = sum(pair.same and is_found for pair, is_found in zip(labelled, found, strict=True))
    return right, sum(found), sum(pair.same for pair in labelled)


def by_words(pair: QuestionPair) -> bool:
    return is_near(pair.first, pair.second) and facts(pair.first) == facts(pair.second)


def test_of_300_labelled_pairs_words_find_what_the_page_says() -> None:
    labelled = kept()
    assert labelled == pairs()
    assert len(labelled) == 300
    page = (ROOT / "docs/audit.md").read_text()
    for rule, found in (
        ("`is_near` alone", [is_near(pair.first, pair.second) for pair in labelled]),
        ("words: `is_near`, and no fact differs", list(map(by_words, labelled))),
    ):
        right, all_found, same = counts(labelled, found)
        assert f"| {rule} | {right} of {all_found}" in page
        assert f"| {right} of {same}" in page


@pytest.mark.slow
@with_model
def test_of_300_labelled_pairs_words_and_meaning_find_what_the_page_says() -> None:
    labelled = kept()
    model = SentenceModel(embed.model_folder())
    vectors = np.array(model.vectors([text for pair in labelled for text in (pair.first, pair.second)]), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (vectors[0::2] * vectors[1::2]).sum(axis=1)
    found = [
        by_words(pair) or (bool(cosine >= SAME_MEANING) and means_the_same(pair.first, pair.second))
        for pair, cosine in zip(labelled, cosines, strict=True)
    ]
    right, all_found, same = counts(labelled, found)
    page = (ROOT / "docs/audit.md").read_text()
    assert f"| words or meaning | {right} of {all_found}" in page
    assert f"| {right} of {same}" in page


def workspace_of(folder: Path, stages: str) -> Path:
    """A workspace with a video about which questions of two splits ask for the same."""
    ws = folder / "ws"
    film = folder / "film.mp4"
    write_film(film, shots(1, 2))
    (ws / "inputs").mkdir(parents=True)
    (ws / "recipe.toml").write_text(f'name = "near"\n[stages.ingest]\n[stages.import]\n{stages}')
    told("ingest", film, "-w", ws)
    for split, question in (("train", "When does the man open the door?"), ("test", "At what time does the man open a door?")):
        path = folder / f"{split}.jsonl"
        path.write_text(json.dumps({"video": film.name, "kind": "open", "question": question, "answer": "soon"}) + "\n")
        told("import", "jsonl", path, "--split", split, "-w", ws)
    told("run", "-w", ws)
    return ws


def told(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, list(map(str, words)))
    assert result.exit_code == code, result.output
    return result.output


def answer(ws: Path, name: str) -> list[dict[str, Any]]:
    payload = json.loads(told("audit", name, "-w", ws, "--json"))
    return [dict(zip(payload["columns"], row, strict=True)) for row in payload["rows"]]


def test_a_leak_across_splits_stands_first(tmp_path: Path) -> None:
    ws = workspace_of(tmp_path, "")
    (pair,) = answer(ws, "near_pairs")
    assert {pair["split"], pair["other_split"]} == {"train", "test"}
    assert (pair["about"], pair["by"], pair["file"] == pair["other_file"]) == ("one video", "words", True)
    assert pair["other_task"].startswith("task_")
    (group,) = answer(ws, "near_clusters")
    assert (group["across_splits"], group["splits"], group["questions"], group["wordings"]) == (True, "test, train", 2, 2)
    assert (group["about"], group["videos"], group["kept"]) == ("one video", 1, 0)


@with_model
def test_vectors_are_made_once_and_are_compared(tmp_path: Path) -> None:
    ws = workspace_of(tmp_path, "[stages.embed]\n")
    sql = "SELECT count(*) AS n, min(model) AS model, min(len(values)) AS length FROM question_vectors"
    document = json.loads(told("audit", "--sql", sql, "-w", ws, "--json"))
    assert document["rows"] == [[2, embed.MODEL, 384]]
    assert json.loads(told("plan", "-w", ws, "--json"))["stages"][-1]["pending"] == 0
    assert answer(ws, "near_pairs")


@pytest.mark.skipif(find_spec(embed.PACKAGE) is not None, reason="the extra `embed` is installed")
def test_without_the_extra_a_recipe_says_what_is_missing() -> None:
    with pytest.raises(InputError, match="not installed: the sentence model"):
        embed.model_folder()
