"""What is planted in a set is found, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dmforge.filters.inspection import parallel_checks
from tests.inspection.rows import OPTIONS, counts, inspect, sound, written
from tests.judging import hand

SOUND = [sound(number) for number in range(40)]
NEW = sound(40)
FIRST = SOUND[0]


def test_a_sound_set_is_sound(tmp_path: Path) -> None:
    document = inspect(written(tmp_path / "a.jsonl", *SOUND))
    assert (document["records"], document["findings"], document["lost"]["left"]) == (40, [], 40)
    assert document["files"] == [{"file": "a.jsonl", "format": "jsonl", "split": "", "records": 40}]
    assert {"duplicate", "window_outside", "guess_by_letter"} <= set(document["sound"])
    unchecked = {"benchmark_video", "benchmark_question", "video_missing", "video_unreadable"}
    assert set(document["unchecked"]) == unchecked | {"across_splits", "video_across_splits"}  # no name says a split
    # there is no trajectory: nothing can be said of how it looks, nor of windows of looks
    assert not {"grammar", "cited_stamps", "window"} & set(document["sound"])


PLANTS: dict[str, tuple[list[Any], dict[str, int]]] = {
    "a line that is no JSON": (["{nonsense"], {"unreadable": 1}),
    "a key that stands twice": ([json.dumps(NEW)[:-1] + ', "kind": "mcq"}'], {"unreadable": 1}),
    "a row of another shape": ([NEW | {"windows": 7}, [1, 2], None], {"unreadable": 3}),
    "half a letter": ([NEW | {"question": "\ud800"}], {"unreadable": 1}),
    "an answer that is no option": ([NEW | {"answer": "flies away"}], {"invalid": 1}),
    "no question": ([NEW | {"question": " "}], {"invalid": 1}),
    "a window that ends first": ([NEW | {"windows": [[5, 2]]}], {"window_outside": 1}),
    "a window that begins before the video": ([NEW | {"windows": [[-5, 2]]}], {"window_outside": 1}),
    "a window to be clamped": ([NEW | {"windows": [[-0.5, 2]]}], {"mended": 1}),
    "a question about sound": ([NEW | {"question": "What can be heard when it rains?"}], {"silent": 1}),
    "an answer in the question": ([NEW | {"question": "Who spins the wheel in spring?"} | {"answer": "C"}],
                                  {"answer_in_question": 1}),
    "two options in the question": ([NEW | {"question": "Who spins or falls in spring?"} | {"answer": "C"}], {}),
    "a window in the query": ([{"video": "x", "kind": "grounding", "question": "it rains from 3.0 s to 4.5 s",
                                "windows": [[3.0, 4.5]]}], {"answer_in_question": 1}),
    "another time in the query": ([{"video": "x", "kind": "grounding", "question": "it rains from 3.0 s to 4.5 s",
                                    "windows": [[13.0, 14.5]]}], {}),
    "the same row": ([FIRST], {"duplicate": 1}),
    "the opposite": ([FIRST | {"question": FIRST["question"].replace("the", "not the", 1)}], {}),
    "a paraphrase": ([FIRST | {"question": FIRST["question"].replace("becomes", "is becoming")}], {"duplicate": 1}),
    "the same with another answer": ([FIRST | {"answer": "D"}], {"other_answer": 1}),
    "the same about another video": ([FIRST | {"video": "another.mp4"}], {"repeated_question": 2}),
    "the same about a part of the video": ([FIRST | {"video": "v0_10.0_20.0.mp4"}], {"repeated_question": 2}),
}  # fmt: skip


def test_of_few_questions_nothing_is_called_balanced(tmp_path: Path) -> None:
    names = {"unbalanced_options", "guess_by_letter", "guess_by_length"}
    few, enough = (inspect(written(tmp_path / "a.jsonl", *SOUND[:count])) for count in (29, 30))
    assert (names & set(few["sound"]), names & set(few["unchecked"])) == (set(), names)
    assert few["unchecked"]["guess_by_letter"] == "needs 30 questions with options"
    assert not names & set(enough["unchecked"])
    # thirty questions, of which no fifteen have the same number of options
    mixed = [row | ({"options": OPTIONS[:3], "answer": "A"} if number % 2 else {}) for number, row in enumerate(SOUND[:30])]
    assert names & set(inspect(written(tmp_path / "a.jsonl", *mixed))["unchecked"]) == {"unbalanced_options"}


def test_the_table_says_why_a_row_was_mended_or_is_none(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", *SOUND, NEW | {"windows": [[-0.5, 2]]}, NEW | {"answer": "flies", "question": "Who?"})
    findings = {finding["check"]: finding for finding in inspect(path)["findings"]}
    for name in ("mended", "invalid"):
        (reason,) = findings[name]["reasons"]
        assert findings[name]["examples"][0]["what"].startswith(f"{reason}: ")


def test_a_question_is_numbered_within_a_row_of_several(tmp_path: Path) -> None:
    sentences = [f"a {word} falls" for word in ("cup", "tree", "stone", "cup")]
    windows = [[10, 20], [30, 40], [50, 60], [10, 20]]
    video = {"timestamps": windows, "sentences": sentences, "fps": 10, "num_frames": 900}
    (tmp_path / "a.json").write_text(json.dumps({"s1.avi": video}))
    (finding,) = inspect(tmp_path / "a.json")["findings"]
    assert (finding["check"], finding["examples"][0]["row"]) == ("duplicate", "1.4")
    assert finding["examples"][0]["what"].endswith("as in a.json:1.1")


def test_a_malformed_row_names_its_field_and_all_of_them_are_one_reason(tmp_path: Path) -> None:
    rows = [NEW | {"windows": 7}, NEW | {"windows": [["a", "b"]]}, {"video": "x", "kind": "open"}, NEW | {"kind": "tale"}, 7]
    (finding,) = inspect(written(tmp_path / "a.jsonl", *SOUND, *rows))["findings"]
    kinds = "not a task: kind is none of grounding, mcq, grounded_mcq, open"
    assert finding["reasons"] == {"malformed row": 4, kinds: 1}
    messages = [example["what"] for example in finding["examples"]]
    assert [messages.count("malformed row: 'windows' is not as jsonl has it"), f"v40.mp4: {kinds}" in messages] == [2, True]
    assert "malformed row: no 'question'" in messages


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_found_and_nothing_else(name: str, tmp_path: Path) -> None:
    plants, expected = PLANTS[name]
    document = inspect(written(tmp_path / "a.jsonl", *SOUND, *plants))
    assert counts(document) == expected
    assert document["records"] == 40 + len(plants)
    for finding in document["findings"]:
        assert finding["share"] == finding["count"] / finding["of"]
        assert [example["file"] for example in finding["examples"]] == ["a.jsonl"] * min(finding["count"], 3)
        assert str(finding["examples"][-1]["row"]) in {"1", *map(str, range(41, 41 + len(plants)))}
        assert all(example["what"] for example in finding["examples"])
    assert document["lost"]["together"] == sum(finding["count"] for finding in document["findings"] if finding["drops"])


def test_rows_behind_a_broken_line_are_read_and_a_broken_list_is_read_up_to_there(tmp_path: Path) -> None:
    lines = written(tmp_path / "a.jsonl", *SOUND[:3], "{", "\0", *SOUND[3:])
    assert (inspect(lines)["records"], counts(inspect(lines))) == (42, {"unreadable": 2})
    (tmp_path / "b.json").write_text(json.dumps(SOUND[:5])[:-40])
    document = inspect(tmp_path / "b.json")
    assert (document["records"], counts(document)) == (5, {"unreadable": 1})
    assert document["findings"][0]["reasons"] == {"not JSON": 1}


def test_a_row_is_lost_once_and_it_is_said_which_check_alone_costs_it(tmp_path: Path) -> None:
    twice = FIRST | {"question": "What can be heard when the ladder falls?"}
    document = inspect(written(tmp_path / "a.jsonl", *SOUND, twice, twice, NEW | {"windows": [[5, 2]]}))
    assert document["lost"] == {
        "together": 3, "left": 40, "alone": {"window_outside": 1, "silent": 2, "duplicate": 1},
    }  # fmt: skip
    assert {finding["check"]: finding["only"] for finding in document["findings"]} == {
        "window_outside": 1, "silent": 1, "duplicate": 0,
    }  # fmt: skip


def test_letters_and_lengths_that_give_the_answer_away(tmp_path: Path) -> None:
    even = [sound(number) for number in range(400)]
    names = ("unbalanced_options", "guess_by_letter", "guess_by_length")
    assert not set(names) & set(counts(inspect(written(tmp_path / "even.jsonl", *even))))
    by_letter = [row | {"answer": "B" if number % 5 < 3 else row["answer"]} for number, row in enumerate(even)]
    document = inspect(written(tmp_path / "letter.jsonl", *by_letter))
    letters = [row["answer"] for row in by_letter].count("B")
    found = {name: counts(document).get(name) for name in names}
    assert found == {"unbalanced_options": letters - 100, "guess_by_letter": letters, "guess_by_length": None}
    (shares,) = document["options"]["letters"]
    assert [letter["count"] for letter in shares["letters"]][1] == letters
    long_right = [
        row | {"options": [text + " slowly" * ("ABCD"[index] == row["answer"]) for index, text in enumerate(OPTIONS)]}
        for row in even
    ]
    document = inspect(written(tmp_path / "length.jsonl", *long_right))
    assert counts(document)["guess_by_length"] == 400
    by_length = document["options"]["guesses"][1]
    assert (by_length["accuracy"], by_length["chance"]) == (1.0, 0.25)
    assert by_length["low"] > 0.98
    # of a few questions some letter is always the commonest
    assert counts(inspect(written(tmp_path / "few.jsonl", *[row | {"answer": "A"} for row in SOUND[:9]]))) == {}


def test_what_stands_in_two_splits_is_at_fault_in_the_one_that_is_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    written(folder / "data" / "train-00000-of-00001.jsonl", *SOUND[:20])
    written(folder / "data" / "test-00000-of-00001.jsonl", SOUND[3], SOUND[4] | {"answer": "D"}, *SOUND[30:])
    document = inspect(folder)
    assert [(file["split"], file["records"]) for file in document["files"]] == [("test", 12), ("train", 20)]
    assert counts(document) == {"across_splits": 2, "video_across_splits": 4}
    (across, _) = document["findings"]
    assert [example["row"] for example in across["examples"]] == ["4", "5"]
    assert across["examples"][0]["file"] == "data/train-00000-of-00001.jsonl"
    assert across["examples"][0]["what"].endswith("as in data/test-00000-of-00001.jsonl:1")


def test_benchmarks_are_recognised_by_ids_and_by_questions(tmp_path: Path) -> None:
    question = "What does the tall man in the blue coat carry across the bridge?"
    ids = tmp_path / "listed.txt"
    ids.write_text("v7\nytb_v8.mp4\nnobody\n")
    own = tmp_path / "videomme.json"
    row = {"videoID": "v9", "question_id": "1", "question": question, "options": ["A. x", "B. y"], "answer": "A"}
    own.write_text(json.dumps([row]))
    asked = NEW | {"question": question.replace("the bridge", "a road")}
    path = written(tmp_path / "a.jsonl", *SOUND, asked)
    document = inspect(path, "--benchmark", ids, "--benchmark", own)
    assert counts(document) == {"benchmark_video": 3, "benchmark_question": 1}
    assert document["findings"][0]["reasons"] == {"listed": 2, "videomme": 1}
    assert [finding["drops"] for finding in document["findings"]] == [True, False]
    # another namespace's ids are other videos
    charades = tmp_path / "charades_sta_train.txt"
    charades.write_text("v9 1.0 2.0##it rains\nv7 2.0 4.0##it snows\n")
    assert counts(inspect(charades, "--benchmark", own)) == {}
    assert counts(inspect(charades, "--benchmark", ids)) == {"benchmark_video": 1}


def test_trajectories_are_told_alike_by_one_process_and_by_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [json.loads(line)["row"] for line in hand.FILE.read_text().splitlines()]
    path = tmp_path / "cot.json"
    path.write_text(json.dumps(rows))
    document = inspect(path)
    assert document["findings"]
    monkeypatch.setattr(parallel_checks, "FEW_ROWS", 3)
    monkeypatch.setattr(parallel_checks, "BATCH_ROWS", 7)
    monkeypatch.setattr(parallel_checks.os, "sched_getaffinity", lambda pid: {0, 1})
    assert inspect(path) == document
