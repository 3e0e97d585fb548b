"""The dialect `tool` is what chat templates of Qwen render: the same token ids, whoever writes them down."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmforge.generators.student.tiny import make_tokenizer
from dmforge.schemas.dialects.tool_dialect import FORM, TOOL
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import COARSE, Piece
from tests.foundation.test_dialects import grouped

encodable = grouped().filter(
    lambda trajectory: not re.search("[\ud800-\udfff]", "".join((*trajectory.thoughts, trajectory.answer)))
)
"""Trajectories without lone surrogates, which no tokenizer takes."""
CLIP = "<|vision_start|><|video_pad|><|vision_end|>"
QUESTION = "When does it turn?"
PROMPT = (COARSE, Piece("prompt", QUESTION))
TEMPLATES = resources.files("trl") / "chat_templates"
TOKENIZER = make_tokenizer(["When does it turn? Let me look at this again.", TOOL.render(Trajectory(("a",), (), "b"))])


def with_template(name: str) -> Any:
    """The tokenizer with a published chat template; `<tool_call>` and its kin stay plain text."""
    TOKENIZER.chat_template = (TEMPLATES / name).read_text()
    return TOKENIZER


def ours(trajectory: Trajectory, suffix: str = "<|im_end|>\n") -> str:
    """The whole conversation as we write it, each clip as one placeholder."""
    pieces = TOOL.transcribe(PROMPT, trajectory).pieces
    text = "".join(CLIP if piece.text is None else piece.text for piece in pieces[len(PROMPT) :])
    return f"<|im_start|>user\n{CLIP}{QUESTION}<|im_end|>\n<|im_start|>assistant\n{text}{suffix}"


def calls_of(looks: tuple[Look, ...]) -> list[dict[str, Any]]:
    calls = [json.loads(FORM.print_look(look), parse_float=str) for look in looks]
    arguments = [FORM.print_look(look).partition('"arguments": ')[2].removesuffix("}") for look in looks]
    pairs = zip(calls, arguments, strict=True)
    return [{"type": "function", "function": {"name": call["name"], "arguments": text}} for call, text in pairs]


def conversation(trajectory: Trajectory, video: Any) -> list[dict[str, Any]]:
    """The same as messages, with thoughts in the content, as a server hands them back."""
    thoughts = [f"<think>\n{thought}\n</think>\n" for thought in trajectory.thoughts]
    messages: list[dict[str, Any]] = [{"role": "user", "content": [video, {"type": "text", "text": QUESTION}]}]
    for thought, looks in zip(thoughts, trajectory.looks_by_turn(), strict=False):
        messages.append({"role": "assistant", "content": thought, "tool_calls": calls_of(looks)})
        messages += [{"role": "tool", "content": [video]} for _ in looks]
    answer = f"{thoughts[-1]}\n{trajectory.gap}<answer>{trajectory.answer}</answer>"
    return [*messages, {"role": "assistant", "content": answer}]


@settings(max_examples=20)
@given(encodable)
def test_the_template_of_qwen3_vl_renders_the_same_ids(trajectory: Trajectory) -> None:
    tokenizer = with_template("qwen3_vl.jinja")
    rendered = tokenizer.apply_chat_template(conversation(trajectory, {"type": "video"}), tokenize=True, return_dict=False)
    assert rendered == tokenizer.encode(ours(trajectory), add_special_tokens=False)


@pytest.mark.parametrize("look_count", [0, 1, 2, 3])
def test_json_that_the_template_prints_is_ours(look_count: int) -> None:
    """Arguments as objects, as most people give them."""
    looks = tuple(Look(Window(1200 + k, 2050), Fraction(density)) for k, density in enumerate(("2", "0.5", "1/3")))[:look_count]
    messages = conversation(Trajectory(("",) * (look_count + 1), looks, "A"), {"type": "video"})
    for message in messages:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    rendered = with_template("qwen3_vl.jinja").apply_chat_template(messages, tokenize=False)
    assert rendered == ours(Trajectory(("",) * (look_count + 1), looks, "A"))


thoughts = st.text(st.characters(categories=("L", "N", "P", "Zs")), min_size=1, max_size=40).filter(
    lambda text: "<" not in text and not text.isspace()
)


@settings(max_examples=20)
@given(thoughts, thoughts, thoughts, st.booleans())
def test_a_template_that_thinks_keeps_the_thoughts_of_all_turns(first: str, second: str, third: str, together: bool) -> None:
    """Qwen3's own, with thoughts in their field: it leaves out only those before the last question, and there are none."""
    looks = (Look(Window(0, 150), Fraction(2)), Look(Window(200, 301), Fraction(1, 3)))
    trajectory = (
        Trajectory((first, second), looks, "A", turns=(2,)) if together else Trajectory((first, second, third), looks, "A")
    )
    messages = conversation(trajectory, {"type": "video"})
    messages[0]["content"] = QUESTION  # this one knows texts only
    for message in messages:
        if message["role"] == "assistant":
            thought, _, content = message["content"].partition("</think>")
            message |= {"reasoning_content": thought.removeprefix("<think>"), "content": content.strip("\n")}
        elif message["role"] == "tool":
            message["content"] = CLIP
    tokenizer = with_template("qwen3.jinja")
    rendered = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert rendered == tokenizer.encode(ours(trajectory).replace(CLIP, "", 1), add_special_tokens=False)


@settings(max_examples=20)
@given(encodable)
def test_pieces_are_the_same_ids_one_by_one_as_in_one_text(trajectory: Trajectory) -> None:
    pieces = [CLIP if piece.text is None else piece.text for piece in TOOL.transcribe((), trajectory).pieces]
    ids = [TOKENIZER.encode(piece, add_special_tokens=False) for piece in pieces]
    whole_ids = TOKENIZER.encode("".join(pieces), add_special_tokens=False)
    assert [token for piece_ids in ids for token in piece_ids] == whole_ids


def test_the_policy_is_trained_on_the_token_that_ends_its_turn() -> None:
    transcript = TOOL.transcribe(PROMPT, Trajectory(("a", "b"), (Look(Window(0, 100), Fraction(2)),), "A"))
    asking = next(piece for piece in transcript.pieces if piece.author == "policy")
    assert TOKENIZER.encode(asking.text)[-1] == TOKENIZER.eos_token_id
