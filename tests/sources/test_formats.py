"""Every format on rows of its own shape, written by hand; every published file, where it is at hand, against its own count."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands import intake
from dmforge.curation.sources.annotation_format import Question, RefusedQuestion
from dmforge.curation.sources.annotation_reader import read_questions
from dmforge.curation.sources.formats import FORMATS
from dmforge.curation.sources.task_checks import CheckedTask, check
from tests.sources.expected import EXPECTED, Expected
from tests.sources.fixture import Fixture, w, written
from tests.sources.published_rows import PUBLISHED

NEXT = "frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4"
FIXTURES = (
    Fixture(
        "jsonl",
        '{"video": "a.mp4", "kind": "mcq", "question": "Which?", "options": ["x", "y"], "answer": "B"}\n'
        '{"video": "a.mp4", "kind": "mcq", "question": "Which?", "options": ["x", "x"], "answer": "x"}\n'
        '{"video": "a.mp4", "kind": "tale", "question": "Which?"}\n[]\n',
        ("a.mp4", "mcq", "Which?", "B", ()), 1,
        {"two options are the right one": 1, "not a task: kind is none of grounding, mcq, grounded_mcq, open": 1,
         "malformed row: a list, and an object is wanted": 1},
    ),
    Fixture(
        "charades_sta", "AB1CD 1.5 4.0##a dog  runs.\nAB1CD 4.0 2.0##backwards\nAB1CD 1 7##too long\nAB1CD 1 5.5##a bit long\n",
        ("AB1CD", "grounding", "a dog runs.", "1.50 - 4.00", w((1.5, 4))), 2,
        {"window ends before it begins": 1, "window outside the video": 1}, {"stripped": 1, "clamped end": 1},
        {"lengths.csv": "id,length\nAB1CD,5.0\n"}, ".txt",
    ),
    Fixture(
        "activitynet_captions",
        {"v_x": {"duration": 9.5, "timestamps": [[0, 3.25], [2, 1], [8, 9]], "sentences": [" It begins.", "no"]}},
        ("v_x", "grounding", "It begins.", "0.00 - 3.25", w((0, 3.25))), 1,
        {"window ends before it begins": 1, "no question": 1}, {"stripped": 1},
    ),
    Fixture(
        "qvhighlights",
        '{"qid": 1, "query": "a cat", "duration": 150, "vid": "x_0.0_150.0", "relevant_windows": [[20, 30], [2, 8]]}\n'
        '{"qid": 2, "query": "of the test split", "duration": 150, "vid": "x_0.0_150.0"}\n',
        ("x_0.0_150.0", "grounding", "a cat", "2.00 - 8.00, 20.00 - 30.00", w((2, 8), (20, 30))), 1, {"no window": 1}, {"sorted": 1},
    ),
    Fixture(
        "didemo", [{"num_segments": 6, "description": "it falls", "times": [[1, 1], [1, 2], [1, 1]], "video": "1@N_2_3.mov"}],
        ("1@N_2_3.mov", "grounding", "it falls", "5.00 - 10.00, 5.00 - 15.00", w((5, 10), (5, 15))), 1, {}, {"sorted": 1},
    ),
    Fixture(
        "tacos", {"s1-d2.avi": {"timestamps": [[50, 100]], "sentences": ["He cuts."], "fps": 25.0, "num_frames": 200}},
        ("s1-d2.avi", "grounding", "He cuts.", "2.00 - 4.00", w((2, 4))), 1,
    ),
    Fixture(
        "hirest",
        {"Bake": {
            "x.mp4": {"relevant": True, "clip": True, "v_duration": 50.0, "bounds": [3, 40], "steps": [
                {"index": 0, "heading": "knead ", "absolute_bounds": [3, 9]}]},
            "y.mp4": {"relevant": True, "clip": False, "v_duration": 50.0, "bounds": [0, 0], "steps": []},
            "z.mp4": {"relevant": False, "clip": False, "v_duration": 50.0, "bounds": [0, 0], "steps": []},
        }},
        ("x.mp4", "grounding", "Bake", "3.00 - 40.00", w((3, 40))), 2, {"no window": 1, "not relevant": 1}, {"stripped": 1},
    ),
    Fixture(
        "coin",
        {"database": {"x": {"duration": 60.2, "recipe_type": 1, "annotation": [{"id": "1", "segment": [5.0, 9.0], "label": "open"}]}}},
        ("x", "grounding", "open", "5.00 - 9.00", w((5, 9))), 1,
    ),
    Fixture(
        "vitt", [{"id": "q", "annotations": [{"timestamp": 260, "tag": "Opening"}, {"timestamp": 9000, "tag": "Closing"}]}],
        ("q", "grounding", "Opening", "0.26 - 9.00", w((0.26, 9))), 1, {"no window": 1},
    ),
    Fixture(
        "timeit",
        [{"video": "d/x.mp4", "QA": [{"q": "Find 'they're off' in it.", "a": "The given query happens in 0.5 - 6.9 seconds."}]},
         {"video": "d/x.mp4", "QA": [{"q": "List.", "a": "1.0 - 2.0 seconds, run up.  3.0 - 4.5 seconds, jump up."}]},
         {"video": "d/x.mp4", "QA": [{"q": "List.", "a": "Nothing."}]}],
        ("d/x.mp4", "grounding", "they're off", "0.50 - 6.90", w((0.5, 6.9))), 3, {"no window": 1},
    ),
    Fixture(
        "nextqa", f"video,{NEXT}\n77,9,6,4,why is it,1,0,CW,no,yes,a,b,c\n77,9,6,4,why is it,7,0,CW,no,yes,a,b,c\n",
        ("77", "mcq", "why is it", "yes", ()), 1, {"answer not among the options": 1}, suffix=".csv",
    ),
    Fixture(
        "nextgqa", f"video_id,{NEXT}\n77,9,6,4,why is it,yes,3,CW,no,yes,a,b,c\n77,9,6,4,why not,yes,4,CW,no,yes,a,b,c\n",
        ("77", "grounded_mcq", "why is it", "yes", w((1, 2), (4, 6))), 1, {"no window": 1},
        beside={"gsub.json": {"77": {"duration": 10, "location": {"3": [[1, 2], [4, 6]]}, "fps": 30}}, "map.json": {"77": "1/77"}},
        suffix=".csv",
    ),
    Fixture(
        "star",
        [{"question_id": "I_1", "question": "Which?", "video_id": "AB1CD", "start": 1.0, "end": 2.5, "answer": "The box.",
          "choices": [{"choice_id": 0, "choice": "The box."}, {"choice_id": 1, "choice": "The bag."}]}],
        ("AB1CD", "grounded_mcq", "Which?", "The box.", w((1, 2.5))), 1,
    ),
    Fixture(
        "rextime",
        '{"qid": "a", "query": "What before?", "duration": 30, "vid": "v_x", "relevant_windows": [[1, 5]], "ans": "A"}\n'
        '{"qid": "b", "query": "What?", "duration": 30, "vid": "v_x", "relevant_windows": [[1, 5]], "ans": "A",'
        ' "options": ["p", "q"]}\n',
        ("v_x", "grounding", "What before?", "1.00 - 5.00", w((1, 5))), 2, {}, {"options missing": 1},
    ),
    Fixture(
        "video_r1",
        [{"problem": "Which?", "data_type": "video", "problem_type": "multiple choice", "options": ["A. p", "B. q"],
          "solution": "<answer>B</answer>", "path": "./d/ytb_x.mp4"},
         {"problem": "Which?", "data_type": "image", "problem_type": "OCR", "options": [], "solution": "x", "path": "i.png"}],
        ("./d/ytb_x.mp4", "mcq", "Which?", "B", ()), 1, {"not a video": 1},
    ),
    Fixture(
        "sharegpt_video",
        '{"id": "1", "video": "x.mp4", "conversations": [{"from": "human", "value": "<image>\\nSay it."},'
        ' {"from": "gpt", "value": "It is."}, {"from": "human", "value": "More?"}, {"from": "gpt", "value": "No."}]}\n'
        '{"id": "2", "video": "x.mp4", "conversations": [{"from": "human", "value": "Say it."}]}\n',
        ("x.mp4", "open", "Say it.", "It is.", ()), 2, {"nobody answers": 1}, {"image tag": 1},
    ),
    Fixture(
        "llamafactory",
        [{"messages": [{"role": "user", "content": "<video>Why?"}, {"role": "assistant", "content": "So."}], "videos": ["d/1.mp4"]},
         {"messages": [{"role": "user", "content": "<image>Who?"}, {"role": "assistant", "content": "He."}], "images": ["1.jpg"]}],
        ("d/1.mp4", "open", "Why?", "So.", ()), 1, {"not a video": 1},
    ),
    Fixture(
        "llamafactory",
        [{"messages": [
            {"role": "user", "content": "<video>Why?"},
            {"role": "assistant", "content": '<think>a</think>\n<grounding>{"temporal_segment": [1.5, 9], "sampling_strategy": "fine"}</grounding>'},
            {"role": "user", "content": "<video>"}, {"role": "assistant", "content": "<think>b</think>\n<answer>So.</answer>"}],
          "videos": [{"url": "d/1.mp4"}, {"url": "d/1.mp4", "crop": [1.5, 9.0]}]},
         {"messages": [
            {"role": "user", "content": "<video>Who?"},
            {"role": "assistant", "content": "<think>a</think>", "tool_calls": [
                {"function": {"name": "crop", "arguments": {"start_time": 1, "end_time": 2.5, "fps": "1/3"}}},
                {"function": {"name": "crop", "arguments": '{"start": 4, "end": 5}'}}]},
            {"role": "tool", "content": "<video>"}, {"role": "assistant", "content": "<answer>He.</answer>"}],
          "videos": ["d/1.mp4"]}],
        ("d/1.mp4", "open", "Why?", "So.", ()), 2, {}, {"trajectory left out: a look says no density": 1},
    ),
    Fixture(
        "time_r1", [{"video": "./x.mp4", "duration": 20.0, "timestamp": [1.0, 30.0], "sentence": "s", "qid": "q"},
                    {"video": "./x.mp4", "duration": 20.0, "timestamp": [1.0, 3.0], "sentence": "s", "qid": "q"}],
        ("./x.mp4", "grounding", "s", "1.00 - 3.00", w((1, 3))), 1, {"window outside the video": 1},
    ),
    Fixture(
        "dynframe",
        '{"prompt": "<video>\\nGive you a textual query: it runs\\nWhen?", "video": "d/x.mp4", "answer": "1.00 - 2.00", "fps": 2,'
        ' "gt_span_start": 1.0, "gt_span_end": 2.0}\n',
        ("d/x.mp4", "grounding", "it runs", "1.00 - 2.00", w((1, 2))), 1, suffix=".jsonl",
    ),
    Fixture(
        "videomme",
        [{"videoID": "abc", "question_id": "1-1", "question": "Which?", "options": ["A. p.", "B. q.", "C. r.", "D. s."], "answer": "C"}],
        ("abc", "mcq", "Which?", "C", ()), 1,
    ),
    Fixture(
        "mlvu",
        [{"video": "m_1.mp4", "duration": 9, "question": "Which?", "candidates": ["p", "q"], "answer": "q", "question_type": "x"},
         {"video": "m_2.mp4", "duration": 9, "question": "Tell.", "question_type": "summary"},
         {"video": "m_3.mp4", "duration": 9, "question": "Which?", "candidates": ["p", "q"], "answer": "z", "question_type": "x"}],
        ("m_1.mp4", "mcq", "Which?", "q", ()), 1,
        {"no candidates: it is scored by points": 1, "answer not among the options": 1},
    ),
    Fixture(
        "lvbench",
        '{"key": "abc", "type": "x", "qa": [{"question": "Which?\\n(A) p\\n(B) q", "answer": "B", "time_reference": "101:05-101:10"},'
        ' {"question": "Who?\\n(A) p\\n(B) q", "answer": "A", "time_reference": "None"}]}\n',
        ("abc", "grounded_mcq", "Which?", "B", w((6065, 6070))), 2, suffix=".jsonl",
    ),
    Fixture(
        "cgbench",
        [{"qid": 1, "video_uid": "abc", "question": "Which?", "choices": ["p", "q", "r", "s", "t"], "right_answer": "C",
          "answer": "r", "clue_intervals": [[50, 60], [2, 9]], "duration": 100}],
        ("abc", "grounded_mcq", "Which?", "r", w((2, 9), (50, 60))), 1, {}, {"sorted": 1},
    ),
)  # fmt: skip


ALL = (*FIXTURES, *PUBLISHED)


@pytest.mark.parametrize("fixture", ALL, ids=lambda fixture: fixture.form)
def test_a_file_says_what_it_says(fixture: Fixture, tmp_path: Path) -> None:
    found = [one.question for one in read_questions(FORMATS[fixture.form], written(fixture, tmp_path))]
    checked = [(asked.video, check(asked) if isinstance(asked, Question) else asked) for asked in found]
    video, first = next((video, one) for video, one in checked if isinstance(one, CheckedTask))
    assert (video, first.kind, first.question, first.answer, first.windows) == fixture.first
    assert sum(isinstance(one, CheckedTask) for _, one in checked) == fixture.kept
    assert Counter(one.reason for _, one in checked if isinstance(one, RefusedQuestion)) == fixture.rejected
    assert Counter(flag for _, one in checked if isinstance(one, CheckedTask) for flag in one.flags) == fixture.flagged


def test_every_format_has_a_fixture() -> None:
    assert {fixture.form for fixture in ALL} == FORMATS.keys() - {"hf", "ids"}


CHOICE = "<video>\nWhich colour?\nOptions:\n(A) red\n(B) dark blue\nAnswer:"
CARRIED: dict[str, Callable[[str], dict[str, Any]]] = {
    "sharegpt_video": lambda answer: {
        "id": "1", "video": "x.mp4",
        "conversations": [{"from": "human", "value": CHOICE}, {"from": "gpt", "value": f"<think>So.</think><answer>{answer}</answer>"}],
    },
    "llamafactory": lambda answer: {
        "videos": ["x.mp4"], "messages": [{"role": "user", "content": CHOICE}, {"role": "assistant", "content": answer}],
    },
    "video_r1": lambda answer: {
        "problem": CHOICE.removeprefix("<video>\n"), "data_type": "video", "problem_type": "free-form", "options": [],
        "solution": f"<answer>{answer}</answer>", "path": "x.mp4",
    },
    "dynframe": lambda answer: {
        "prompt": CHOICE, "video": "x.mp4", "answer": answer, "fps": 2, "gt_span_start": 1.0, "gt_span_end": 2.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("form", CARRIED)
@pytest.mark.parametrize("answer", ["B", "dark blue", "(b) dark blue"])
def test_options_in_a_question_make_it_multiple_choice(form: str, answer: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps([CARRIED[form](answer)]))
    (placed,) = read_questions(FORMATS[form], [tmp_path / "a.jsonl"])
    assert isinstance(placed.question, Question)
    checked = check(placed.question)
    assert isinstance(checked, CheckedTask)
    kind = "grounded_mcq" if form == "dynframe" else "mcq"
    assert (checked.kind, checked.question, checked.options) == (kind, "Which colour?", ("red", "dark blue"))
    assert checked.answer == answer


@pytest.mark.parametrize("form", CARRIED)
def test_a_list_that_the_answer_is_not_from_leaves_the_question_open_and_says_so(form: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps([CARRIED[form]("He wears a red coat.")]))
    found = intake.dry_import(form, [tmp_path / "a.jsonl"], [])
    assert (found.tasks, found.flagged["answer is none of its options"]) == (1, 1)


def test_options_of_multiple_choice_may_stand_in_the_question(tmp_path: Path) -> None:
    row = {"video": "x.mp4", "kind": "mcq", "question": "Which? A) red B) blue", "answer": "B"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "kind": "open", "answer": "No."}))
    first, second = (placed.question for placed in read_questions(FORMATS["jsonl"], [tmp_path / "a.jsonl"]))
    assert isinstance(first, Question)
    assert isinstance(second, Question)
    assert (first.question, first.options) == ("Which?", ("red", "blue"))
    assert (second.question, second.options) == (row["question"], ())


def test_a_task_may_say_how_many_looks_it_needs(tmp_path: Path) -> None:
    row = {"video": "x.mp4", "kind": "open", "question": "What?", "answer": "it", "windows": [[1, 2]], "fps": 2}
    told = [row, {**row, "needed_looks": 0}, *({**row, "needed_looks": wrong} for wrong in (True, -1, 101, 1.0, "1"))]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told))
    plain, none, *refused = (placed.question for placed in read_questions(FORMATS["jsonl"], [tmp_path / "a.jsonl"]))
    assert isinstance(plain, Question)
    assert isinstance(none, Question)
    assert (dict(plain.extras), dict(none.extras)) == ({}, {"needed_looks": 0})
    reasons = {question.reason for question in refused if isinstance(question, RefusedQuestion)}
    assert (len(refused), reasons) == (5, {"not a task: needed_looks is no whole number from 0 to 100"})


@pytest.mark.parametrize(
    ("span", "found"),
    [
        ((-0.1, 4.0), (w((0, 4)), ("clamped start",))),
        ((-1.0, 4.0), (w((0, 4)), ("clamped start",))),
        ((-1.01, 4.0), "window outside the video"),
        ((-0.5, 0.0), "window outside the video"),
        ((2.0, 10.5), (w((2, 10)), ("clamped end",))),
        ((2.0, 11.0), (w((2, 10)), ("clamped end",))),
        ((2.0, 11.01), "window outside the video"),
        ((10.0, 10.5), "window outside the video"),
        ((-0.1, 10.1), (w((0, 10)), ("clamped start", "clamped end"))),
    ],
)
def test_a_window_is_clamped_alike_at_both_ends_of_its_video(span: tuple[float, float], found: object) -> None:
    checked = check(Question("x", "grounding", "it runs", windows=(span,)), 1000)
    assert (checked.reason if isinstance(checked, RefusedQuestion) else (checked.windows, checked.flags)) == found


def test_windows_that_stand_in_a_file_that_is_not_given_are_asked_for_by_its_name(tmp_path: Path) -> None:
    (fixture,) = (fixture for fixture in FIXTURES if fixture.form == "nextgqa")
    annotations, windows, ids = written(fixture, tmp_path)
    for files in ([annotations], [annotations, ids]):
        done = CliRunner().invoke(cli.app, ["import", "nextgqa", *map(str, files), "--dry-run"])
        assert done.exit_code == 2
        assert "gsub_*.json is not among these files" in done.stderr
    of_another_split = windows.with_name("gsub_of_another_split.json")
    of_another_split.write_text(windows.read_text().replace('"77"', '"78"'))
    found = intake.dry_import("nextgqa", [annotations, of_another_split], [])
    assert found.rejected == {"its video is not in gsub_*.json": 2}


@pytest.mark.parametrize("fixture", ALL, ids=lambda fixture: fixture.form)
def test_a_file_of_another_format_says_which_it_looks_like(fixture: Fixture, tmp_path: Path) -> None:
    (file, *_) = written(fixture, tmp_path)
    other = "nextqa" if fixture.form != "nextqa" else "coin"
    with pytest.raises(intake.InputError) as caught:
        list(read_questions(FORMATS[other], [file]))
    assert f"it looks like {fixture.looks_like or fixture.form}: " in str(caught.value), caught.value


@pytest.mark.real_data
@pytest.mark.parametrize("expected", EXPECTED, ids=lambda e: f"{e.format}-{Path(e.files[0]).stem}-{len(e.files)}")
def test_published_files_give_what_was_counted_without_us(expected: Expected, real_data: Path) -> None:
    found = intake.dry_import(expected.format, [real_data / "annotations" / file for file in expected.files], [])
    assert (found.tasks, found.identical) == (expected.tasks, expected.identical)
    assert found.flagged == expected.flagged
    assert found.rejected == expected.rejected
