"""Exports with a turn for each answer of the runtime: what their readers render is what our own SFT trains on."""

from __future__ import annotations

import json
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.exports import export
from dmforge.curation.exports.read_back import read_written
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.examples import Example
from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.timeline import read_timeline
from dmforge.filters.rules.lint import lint
from dmforge.generators.footage import show
from dmforge.generators.rendition_footage import footage_of
from dmforge.generators.student.tiny import make_tokenizer
from dmforge.generators.student.token_layout import TokenLayout, printed
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.generators.synthetic.worlds.rasterize import read_timecode
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.known_dialects import DIALECTS, GROUNDING, SPAN, TOOL
from dmforge.schemas.dialects.tool_list import tool_list
from dmforge.schemas.dialects.translation import say_in
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import COARSE, Piece
from dmforge.trainers.dataloading import TrainingCollator
from tests.support.barcodes import CASES
from tests.support.corpora import filmed

CASE = next(case for case in CASES if case.name == "a very long GOP")
PROMPT = (COARSE, Piece("prompt", "What happens in 7?"))
EARLY, LATE, DENSE = (
    Look(Window(300, 550), Fraction(2)),
    Look(Window(1000, 1225), Fraction(4)),
    Look(Window(600, 700), Fraction(4)),
)
SPARSE = Look(Window(0, 900), Fraction(1, 3), tokens=64)
FINE, MEDIUM = Look(Window(300, 550), Fraction(2), tokens=6144), Look(Window(600, 850), Fraction(2), tokens=4096)
BY_SPANS = Trajectory(("Two places.", "At 3.5 seconds.", "It turns."), (EARLY, LATE), "it turns")
TOGETHER = Trajectory(("", "Closer.\n\nMuch closer.", "It turns."), (EARLY, LATE, SPARSE), "it turns", "\n", turns=(2, 1))
BY_STRATEGIES = Trajectory(("Here?", "Or here?", "It turns."), (FINE, MEDIUM), "it turns")
TEMPLATES = resources.files("trl") / "chat_templates"
PLACEHOLDER = "<|vision_start|><|video_pad|><|vision_end|>"
TOKENIZER = make_tokenizer(["What happens in 7? It turns.", tool_list(TOOL.tools)])
TOKENIZER.chat_template = (TEMPLATES / "qwen3_vl.jinja").read_text()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """One video with a trajectory written in spans, one in calls, two of them in one turn, and a task."""
    transcripts = [SPAN.transcribe(PROMPT, BY_SPANS), TOOL.transcribe(PROMPT, TOGETHER)]
    return Corpus(str(filmed(tmp_path_factory.mktemp("turns"), CASE, EARLY, transcripts=transcripts)))


@pytest.fixture(scope="module")
def strategies(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """One video with a trajectory whose looks have quotas, one a turn."""
    return Corpus(
        str(filmed(tmp_path_factory.mktemp("quotas"), CASE, EARLY, transcripts=[GROUNDING.transcribe(PROMPT, BY_STRATEGIES)]))
    )


def exported(corpus: Corpus, to: str, folder: Path, dialect: DialectName = "tool") -> list[Any]:
    """The rows of an export, as JSON."""
    export(corpus, to, folder, dialect)
    if to == "trl":
        return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    return json.loads((folder / "cot.json").read_text())


def trained(corpus: Corpus, example: Example, dialect: DialectName) -> tuple[list[int], list[int]]:
    """The ids that our SFT shows, and those of them that it trains on."""
    layout = TokenLayout(Vocabulary(TOKENIZER, "test", dialect))
    laid_out = TrainingCollator(layout, corpus.clips, "packed", 1 << 20, dialect).lay_out(example)
    return laid_out.ids.tolist(), laid_out.ids[laid_out.trained].tolist()


def filled_in(text: str, corpus: Corpus, example: Example, dialect: DialectName) -> list[int]:
    """The ids of a rendered text in which the clips that SFT shows stand, one by one, for the placeholders."""
    transcript = say_in(dialect, example.sample.transcript, "")
    for piece in show(transcript.pieces, footage_of(example, corpus.clips)):
        if piece.clip:
            text = text.replace(PLACEHOLDER, printed(piece.clip).replace("<|video_pad|>", "\ue000"), 1)
    assert PLACEHOLDER not in text
    return TOKENIZER.encode(text.replace("\ue000", "<|video_pad|>"), add_special_tokens=False)


def grammar_faults(place: Path) -> list[str]:
    return [defect.message for defect in lint(place).defects if defect.rule == "grammar"]


def as_llamafactory_renders(messages: list[dict[str, str]]) -> str:
    """The slots of LLaMA-Factory's template `qwen3_vl`, which stand in its data/template.py."""
    user = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    slots = {
        "system": "<|im_start|>system\n{}<|im_end|>\n", "user": user, "assistant": "{}<|im_end|>\n",
        "observation": user.format("<tool_response>\n{}\n</tool_response>"),
    }  # fmt: skip
    text = "".join(slots[message["role"]].format(message["content"]) for message in messages)
    return text.replace("<video>", PLACEHOLDER)


@pytest.mark.parametrize("number", [0, 1])
def test_trl_and_the_template_of_qwen3_vl_render_what_our_sft_shows(corpus: Corpus, number: int, tmp_path: Path) -> None:
    import datasets  # pyright: ignore[reportMissingTypeStubs]
    from trl.data_utils import apply_chat_template, is_conversational

    exported(corpus, "trl", tmp_path / "trl")
    row: Any = datasets.load_dataset("json", data_files=str(tmp_path / "trl/train.jsonl"), split="train")[number]
    assert is_conversational(row)
    rendered = apply_chat_template({key: row[key] for key in ("prompt", "completion")}, TOKENIZER, json.loads(row["tools"]))
    ids, policy_ids = trained(corpus, corpus[number], "tool")
    rendered_ids = filled_in(rendered["prompt"] + rendered["completion"], corpus, corpus[number], "tool")
    assert rendered_ids == [*ids, *TOKENIZER.encode("\n")]
    messages, tools = row["prompt"] + row["completion"], json.loads(row["tools"])
    masked = TOKENIZER.apply_chat_template(
        messages, tools=tools, chat_template=(TEMPLATES / "qwen3_vl_training.jinja").read_text(), tokenize=True,
        return_dict=True, return_assistant_tokens_mask=True,
    )  # fmt: skip
    learnt = [token for token, is_learnt in zip(masked["input_ids"], masked["assistant_masks"], strict=True) if is_learnt]
    assert TOKENIZER.decode(learnt).replace("<|im_end|>\n", "<|im_end|>") == TOKENIZER.decode(policy_ids)


@pytest.mark.parametrize("number", [0, 1])
def test_rows_of_llamafactory_say_what_our_sft_shows(corpus: Corpus, number: int, tmp_path: Path) -> None:
    row = exported(corpus, "llamafactory", tmp_path / "lf")[number]
    ids, _ = trained(corpus, corpus[number], "tool")
    rendered_ids = filled_in(as_llamafactory_renders(row["messages"]), corpus, corpus[number], "tool")
    assert rendered_ids == [*ids, *TOKENIZER.encode("\n")]


def test_what_a_row_of_llamafactory_names_is_what_its_reader_looks_for(corpus: Corpus, tmp_path: Path) -> None:
    rows = exported(corpus, "llamafactory", tmp_path / "lf")
    assert [[message["role"] for message in row["messages"]] for row in rows] == [
        ["system", "user", *("assistant", "observation") * 2, "assistant"]
    ] * 2
    told = json.loads((tmp_path / "lf/dataset_info.json").read_text())["cot"]
    tags = {tag: told["tags"][tag] for tag in ("observation_tag", "system_tag", "user_tag", "assistant_tag")}
    assert set(tags.values()) == {message["role"] for row in rows for message in row["messages"]}
    marks = [sum(message["content"].count("<video>") for message in row["messages"]) for row in rows]
    assert marks == [len(row["videos"]) for row in rows] == [3, 4]


@pytest.mark.parametrize("to", ["llamafactory", "trl"])
def test_each_look_has_a_file_with_its_frames_in_the_order_of_the_calls(corpus: Corpus, to: str, tmp_path: Path) -> None:
    rows = exported(corpus, to, tmp_path / to)
    for row, trajectory in zip(rows, (BY_SPANS, TOGETHER), strict=False):
        for path, look in zip(row["videos"][1:], trajectory.looks, strict=True):
            timeline = read_timeline(tmp_path / to / path)
            times_s = [timeline.time_s(pts) for pts in timeline.pts]
            shown = [read_timecode(frame) for frame in PyAV().read(tmp_path / to / path, times_s).frames]
            frame_count = int((look.window.end_s - look.window.start_s) * look.fps)
            wanted_s = [look.window.start_s + Fraction(index) / look.fps for index in range(frame_count)]
            assert shown == [CASE.on_screen(Fraction(round(time_s * 12), 12)) for time_s in wanted_s]


def test_tasks_of_trl_tell_of_the_function_and_have_no_completion(corpus: Corpus, tmp_path: Path) -> None:
    *_, task = exported(corpus, "trl", tmp_path / "trl")
    assert "completion" not in task
    assert [json.dumps(tool) for tool in json.loads(task["tools"])] == list(TOOL.tools)
    rendered = TOKENIZER.apply_chat_template(
        task["prompt"], tools=json.loads(task["tools"]), tokenize=False, add_generation_prompt=True
    )
    prefix, suffix = Vocabulary(TOKENIZER, "test", "tool").frame
    assert rendered == f"{prefix}{PLACEHOLDER}What happens in 7?{suffix}"


@pytest.mark.parametrize("to", ["llamafactory", "trl"])
def test_what_was_exported_is_read_back_as_the_trajectories_that_were_packed(corpus: Corpus, to: str, tmp_path: Path) -> None:
    exported(corpus, to, tmp_path / to)
    file = tmp_path / to / ("train.jsonl" if to == "trl" else "cot.json")
    written = [record for record in read_written(file) if record.text]
    assert [TOOL.parse(record.trajectory, 8) for record in written] == [BY_SPANS, TOGETHER]
    assert [record.text.count("<video>") for record in written] == [2, 3]
    assert {record.exchanges for record in written} == {1}
    assert {record.question for record in written} == {"What happens in 7?"}
    assert grammar_faults(file) == grammar_faults(Path(corpus.place)) == ["nothing is thought here"]


@pytest.mark.parametrize("to", ["llamafactory", "trl"])
def test_a_call_that_is_spoilt_in_an_export_is_found_in_its_row(corpus: Corpus, to: str, tmp_path: Path) -> None:
    exported(corpus, to, tmp_path / to)
    file = tmp_path / to / ("train.jsonl" if to == "trl" else "cot.json")
    text = file.read_text()
    spoilt = text.replace('\\"end_time\\": 12.25', '\\"end_time\\": 9', 1)
    assert spoilt != text
    file.write_text(spoilt)
    found = next(defect for defect in lint(file).defects if defect.rule == "grammar")
    assert "span_reversed" in found.message
    assert found.record.endswith(":1")


@pytest.mark.parametrize("to", ["llamafactory", "trl"])
def test_strategies_are_answered_by_the_user(strategies: Corpus, to: str, tmp_path: Path) -> None:
    row = exported(strategies, to, tmp_path / to, "grounding")[0]
    ids, _ = trained(strategies, strategies[0], "grounding")
    if to == "trl":
        assert "tools" not in row
        rendered = TOKENIZER.apply_chat_template(row["prompt"] + row["completion"], tokenize=False)
    else:
        rendered = as_llamafactory_renders(row["messages"])
    assert filled_in(rendered, strategies, strategies[0], "grounding") == [*ids, *TOKENIZER.encode("\n")]
    written = next(read_written(tmp_path / to / ("train.jsonl" if to == "trl" else "cot.json")))
    assert GROUNDING.parse(written.trajectory, 8) == BY_STRATEGIES


def test_what_a_dialect_cant_say_is_refused_with_its_sample(corpus: Corpus, tmp_path: Path) -> None:
    refusals: dict[DialectName, str] = {"grounding": "4 fps|without a token quota", "span": "2 looks in one turn"}
    for dialect, value in refusals.items():
        with pytest.raises(InputError, match=value) as refused:
            export(corpus, "trl", tmp_path / dialect, dialect)
        assert refused.value.where.startswith("sample_")
        assert not (tmp_path / dialect).exists()


@pytest.mark.parametrize("to", ["dynframe", "hf"])
def test_formats_without_turns_refuse_a_dialect_by_name(corpus: Corpus, to: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{to} has no form for the dialect `tool`") as refused:
        export(corpus, to, tmp_path / to, "tool")
    assert "trl" in refused.value.hint
    with pytest.raises(InputError, match="there is no dialect 'tols'") as refused:
        export(corpus, "trl", tmp_path / to, "tols")  # pyright: ignore[reportArgumentType]
    assert "'tool'" in refused.value.hint


def test_a_dialect_that_is_none_is_wrong_usage() -> None:
    done = CliRunner().invoke(cli.app, ["export", "cot", "--to", "trl", "--dialect", "tols"])
    assert done.exit_code == 2


def test_every_dialect_with_turns_says_who_answers_them() -> None:
    assert {name: dialect.response_role for name, dialect in DIALECTS.items()} == {
        "span": "",
        "tool": "tool",
        "grounding": "user",
    }
