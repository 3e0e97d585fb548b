"""One linter for every file: it finds in each what stands in it, with the place in the text as it stands there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.exports import export
from dmforge.curation.shards.corpus import Corpus
from tests.judging import hand
from tests.support import corpora, flicker

DM_RL = {
    "prompt": "<video>\nGive you a textual query: a person opens a laptop\nWhen does the described content occur in the video?",
    "video": "x.mp4", "answer": "1.00 - 8.00", "fps": 3, "gt_span_start": 1.0, "gt_span_end": 8.0,
}  # fmt: skip


def lint(file: Path, code: int | None = None) -> Any:
    """The document, whose exit code says whether it has defects; or what is said where the file is refused with this code."""
    done = CliRunner().invoke(cli.app, ["lint", str(file), "--json"])
    document = json.loads(done.stdout) if code is None else {}
    assert done.exit_code == (bool(document["defects"]) if code is None else code), done.output
    return document or done.output


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_spoilt_rows_are_found_in_their_file_with_places_in_their_text(tmp_path: Path) -> None:
    told = [json.loads(line) for line in hand.FILE.read_text().splitlines()]
    rows = [line["row"] for line in told]
    file = tmp_path / "cot.json"
    file.write_text(json.dumps(rows))
    found = lint(file)
    assert found["records"] == 80
    by_row: dict[str, set[str]] = {}
    for defect in found["defects"]:
        text = rows[int(defect["record"].partition(":")[2]) - 1]["conversations"][1]["value"]
        assert 0 <= defect["offset"] <= len(text)
        by_row.setdefault(defect["record"], set()).add(defect["rule"])
        if defect["rule"] in ("cited_inside", "cited_stamps"):
            time = defect["message"].split(" cites ")[1].partition(",")[0].partition(";")[0]
            assert text[defect["offset"] :].startswith(time)
    # what is wrong with a window, an answer or T1's times can't be told from such a file: it says neither gold nor duration
    unknowable = {"wrong_window", "right_answer_wrong_window", "wrong_answer", "paraphrase_duplicate"}
    unknowable |= {"contaminated_id", "cited_off_stamps_t1", "cited_outside_t1", ""}
    for number, line in enumerate(told, 1):
        rules = by_row.get(f"cot.json:{number}", set())
        if line["defect"] == "window_past_end":  # where nobody says how long the video is, only that it is many frames
            assert rules <= {"frames"}
        else:
            assert bool(rules) == (line["defect"] not in unknowable), (line["name"], rules)


def test_shards_and_every_export_of_them_say_the_same(tmp_path: Path) -> None:
    folder = corpora.corpus(tmp_path / "shards", 3, 2)
    shards = lint(folder)
    assert shards["records"] == 6
    wanted = sorted((d["rule"], d["message"]) for d in shards["defects"])
    assert ("length", "2 words; a thought has 3 to 400") in wanted
    (shard, *_) = sorted(folder.glob("*.tar"))
    assert lint(shard)["records"] <= 6
    export(Corpus(str(folder)), "dynframe", tmp_path / "dynframe")
    found = lint(tmp_path / "dynframe" / "cot.json")
    assert sorted((d["rule"], d["message"]) for d in found["defects"]) == wanted


FILES = {
    "llamafactory": "cot.json", "trl": "train.jsonl", "hf": "metadata.parquet", "messages": "trajectories.jsonl",
    "swift": "trajectories.jsonl", "verl": "sft.parquet",
}  # fmt: skip


def test_what_is_wrong_with_a_trajectory_is_wrong_in_every_export_of_it(tmp_path: Path) -> None:
    folder = flicker.cot(tmp_path / "cot", 6, 2, flicker.BIASED)
    wanted = sorted((d["rule"], d["message"]) for d in lint(folder)["defects"] if d["rule"] != "time_grid")
    assert wanted
    for name, file in FILES.items():
        export(Corpus(folder), name, tmp_path / name)
        found = lint(tmp_path / name / file)
        assert found["records"] == 6
        assert sorted((d["rule"], d["message"]) for d in found["defects"] if d["rule"] != "time_grid") == wanted, name


def test_tasks_for_reinforcement_are_judged_by_their_target_and_their_answer(tmp_path: Path) -> None:
    rows = [
        DM_RL,
        {**DM_RL, "gt_span_end": 0.5},
        {**DM_RL, "fps": 5},
        {**DM_RL, "answer": "0.50 - 8.00"},
        {**DM_RL, "prompt": DM_RL["prompt"].replace("opens a laptop", "can be heard singing")},
    ]
    found = lint(written(tmp_path / "rl.jsonl", *rows))
    assert found["records"] == 5
    assert [(d["record"], d["rule"]) for d in found["defects"]] == [
        ("rl.jsonl:2", "target"),
        ("rl.jsonl:3", "density"),
        ("rl.jsonl:4", "answer_form"),
        ("rl.jsonl:5", "silent"),
    ]
    assert rows[4]["prompt"][found["defects"][3]["offset"] :].startswith("heard")


def test_the_report_marks_the_text(tmp_path: Path) -> None:
    row = json.loads(hand.FILE.read_text().splitlines()[47])["row"]
    done = CliRunner().invoke(cli.app, ["lint", str(written(tmp_path / "a.jsonl", row))])
    assert "own_span" in done.output
    assert "<span>\u00bb12.00 - 15.00\u00ab</span>" in done.output
    assert "1 records" in done.output


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"a": 1}', "no json", '{"conversations": 3}', "\0"])
def test_what_is_no_such_file_is_said(content: str, tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(content)
    assert "hint" in lint(file, code=2)
    assert "hint" in lint(tmp_path / "missing.jsonl", code=2)
    assert "hint" in lint(tmp_path, code=2)


def test_a_row_that_is_nothing_is_a_defect_of_the_file(tmp_path: Path) -> None:
    found = lint(written(tmp_path / "rl.jsonl", DM_RL, {"a": 1}))
    assert [(d["record"], d["rule"]) for d in found["defects"]] == [("rl.jsonl:2", "record")]


HUB = {
    "id": "s1", "kind": "open", "question": "What is red?", "options": [], "gold": "a lamp", "windows": [[0.0, 1.0]],
    "needs": "any", "duration_s": 20.0, "target_window": "0.00 - 4.00", "target_fps": "2",
    "pieces": [{"author": "prompt", "kind": "text", "text": "What is red?"}],
}  # fmt: skip
TRL = {
    "prompt": [{"role": "user", "content": "What is red?"}], "solution": "a lamp", "kind": "open", "options": [],
    "windows": [], "target_window": [0.0, 4.0], "target_fps": 2.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "spoilt"),
    [
        *((HUB, {name: 5}) for name in ("id", "gold", "question", "kind", "needs", "options", "windows")),
        (HUB, {"kind": "zzz"}), (HUB, {"needs": "most"}), (HUB, {"options": [1]}), (HUB, {"options": "ab"}),
        (HUB, {"gold": None}), (HUB, {"duration_s": -1.0}), (HUB, {"duration_s": "20"}), (HUB, {"duration_s": 1e300}),
        (HUB, {"pieces": [{"author": "prompt", "kind": "text", "text": 5}]}),
        *((TRL, {name: 5}) for name in ("solution", "kind", "options", "windows", "target_window")),
        (TRL, {"kind": "zzz"}), (DM_RL, {"prompt": 5}),
    ],
)  # fmt: skip
def test_a_row_whose_fields_are_not_what_they_are_called_is_reported_and_the_others_are_read(
    row: dict[str, object], spoilt: dict[str, object], tmp_path: Path
) -> None:
    found = lint(written(tmp_path / "rows.jsonl", row, {**row, **spoilt}, row))
    assert found["records"] == 3
    assert [(d["record"], d["rule"]) for d in found["defects"]] == [("rows.jsonl:2", "record")]


SAID = "<think>Let me look there first. <span>2.00 - 6.00</span><fps>2</fps>It is red.</think><answer>a lamp</answer>"
SOUND = [("user", "What is red?"), ("assistant", SAID)]


def chat(layout: str, *turns: tuple[str, str]) -> dict[str, object]:
    if layout == "conversations":
        said_as = {"user": "human", "assistant": "gpt"}
        return {"conversations": [{"from": said_as.get(role, role), "value": text} for role, text in turns]}
    messages = [{"role": role, "content": text} for role, text in turns]
    return {"messages": messages} if layout == "messages" else {**TRL, "prompt": messages[:-1], "completion": messages[-1:]}


@pytest.mark.parametrize("layout", ["conversations", "messages", "trl"])
def test_a_chat_is_read_by_its_roles(layout: str, tmp_path: Path) -> None:
    scene = ("system", "You can hear nothing. Think step by step.")
    before = [("user", "What is blue?"), ("assistant", "A door.")]
    plain, led, twice = (chat(layout, *turns) for turns in (SOUND, [scene, *SOUND], [scene, *before, *SOUND]))
    found = lint(written(tmp_path / "a.jsonl", plain, led, twice, chat(layout, ("narrator", "It is dark."), *SOUND)))
    told = [(d["record"], d["rule"], d["message"]) for d in found["defects"]]
    of_each = [[defect[1:] for defect in told if defect[0] == f"a.jsonl:{number}"] for number in (1, 2, 3, 4)]
    assert "record" not in {rule for rule, _ in of_each[0]}
    assert of_each[1] == of_each[0]
    assert of_each[2] == [("record", "2 exchanges; only the last one is judged"), *of_each[0]]
    assert of_each[3] == [("record", "neither a trajectory nor a task")]


@pytest.mark.real_data
def test_dynframes_own_rows(real_data: Path) -> None:
    found = lint(real_data / "annotations/dynframe/actnet_fps.json")
    assert found["records"] == 3
    rules = [(d["record"].partition(":")[2], d["rule"]) for d in found["defects"]]
    assert [row for row, rule in rules if rule == "own_span"] == ["1", "2", "3"]
    outside = [d["message"] for d in found["defects"] if d["rule"] == "cited_inside"]
    times = [(message.split(" cites ")[1].partition(",")[0]) for message in outside]
    assert times == ["0.00", "0.00", "0.00", "179.49", "204.05"]  # all that lie outside, one of them named twice
    assert lint(real_data / "annotations/dynframe/charades_fps_grpo.jsonl") == {"records": 3, "defects": []}


CHOICE = "What is red?{}(A) a lamp{}(B) a door\nAnswer with the option's letter."


@pytest.mark.parametrize("layout", ["conversations", "messages"])
@pytest.mark.parametrize("between", ["\n", "\nOptions:\n", " "])
def test_an_answer_that_is_none_of_the_options_in_the_question_is_a_defect(layout: str, between: str, tmp_path: Path) -> None:
    asked = CHOICE.format(between, " " if between == " " else "\n")
    answers = ("A", "(B) a door", "C", "a house", "It is a lamp.")
    rows = [chat(layout, ("user", asked), ("assistant", SAID.replace("a lamp", answer))) for answer in answers]
    defects = lint(written(tmp_path / "a.jsonl", *rows))["defects"]
    assert [d["record"] for d in defects if d["rule"] == "answer_form"] == ["a.jsonl:3", "a.jsonl:4", "a.jsonl:5"]


def test_a_task_for_reinforcement_with_options_in_its_prompt_has_one_of_them_as_its_answer(tmp_path: Path) -> None:
    rows = [
        {**DM_RL, "prompt": f"<video>\n{CHOICE.format(chr(10), chr(10))}", "answer": answer} for answer in ("B", "a lamp", "D")
    ]
    defects = lint(written(tmp_path / "rl.jsonl", *rows))["defects"]
    assert [(d["record"], d["rule"]) for d in defects] == [("rl.jsonl:3", "answer_form")]


def test_an_open_row_of_an_export_is_held_against_the_options_in_its_question_where_gold_is_one(tmp_path: Path) -> None:
    asked = "What is red?\nA. a lamp\nB. a door"
    said = [{"role": "assistant", "content": SAID.replace("a lamp", "a house")}]
    row = {**TRL, "prompt": [{"role": "user", "content": asked}], "completion": said}
    defects = lint(written(tmp_path / "a.jsonl", {**row, "solution": "A"}, {**row, "solution": "a room"}))["defects"]
    assert [d["record"] for d in defects if d["rule"] == "answer_form"] == ["a.jsonl:1"]


def test_looks_that_show_the_same_or_that_nothing_uses_are_found(tmp_path: Path) -> None:
    def row(second: str, middle: str, last: str) -> dict[str, Any]:
        text = f"<think>A.<span>2.00 - 6.00</span><fps>2</fps>{middle}<span>{second}</span><fps>2</fps>{last}</think>"
        turns = [("human", "<video>\nWhich colour flashes?"), ("gpt", f"{text}<answer>red</answer>")]
        return {"video": "x.mp4", "conversations": [{"from": who, "value": said} for who, said in turns]}

    rows = [
        row("3.00 - 6.00", "At 3.3 seconds it is red.", "At 4.3 seconds, too."),
        row("8.00 - 10.00", "At 3.3 seconds it is red.", "That settles it."),
        row("8.00 - 10.00", "It is red.", "It is red."),
        row("8.00 - 10.00", "At 3.3 seconds it is red.", "At 9.3 seconds, too."),
    ]
    file = tmp_path / "cot.json"
    file.write_text(json.dumps(rows))
    found = {(defect["record"], defect["rule"]) for defect in lint(file)["defects"]}
    assert ("cot.json:1", "overlap_looks") in found
    assert {record for record, rule in found if rule == "idle_look"} == {
        "cot.json:2"
    }  # the third cites nothing: it may use both
    assert {record for record, rule in found if rule == "overlap_looks"} == {"cot.json:1"}
