"""A student of the dialect `tool` is told its function where its checkpoint learnt to look for it: wherever it is prompted."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen3VLForConditionalGeneration

from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.retrace import log_probs, retrace
from dmforge.generators.inference.rollout import RolloutRequest, prompt_of, roll
from dmforge.generators.student.load_student import load, load_vocabulary
from dmforge.generators.student.tiny import SHAPES, make_config, make_tiny, make_tokenizer
from dmforge.generators.student.token_layout import TokenLayout, printed
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.known_dialects import TOOL
from dmforge.schemas.dialects.tool_dialect import print_arguments
from dmforge.schemas.dialects.tool_list import tool_list
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Box, Look, Window
from dmforge.schemas.transcript import COARSE
from tests.student.students import QUESTION, TEXTS, Barcodes, logits_of_all, speck

TOOLS = [json.loads(tool) for tool in TOOL.tools]
QWEN3_VL = (resources.files("trl") / "chat_templates" / "qwen3_vl.jinja").read_text()
CLIP = "<|vision_start|><|video_pad|><|vision_end|>"


def tokenizer(chat_template: str = QWEN3_VL) -> Any:
    return make_tokenizer([*TEXTS, tool_list(TOOL.tools)], chat_template)


def rendered(words: Any, tools: list[Any] | None) -> str:
    """The prompt as a server renders it, up to where the policy begins."""
    content = [{"type": "video"}, {"type": "text", "text": QUESTION.text}]
    messages = [{"role": "user", "content": content}]
    return words.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=True)


def test_the_prompt_is_what_the_template_of_qwen3_vl_makes_of_the_function() -> None:
    words = tokenizer()
    prompt = prompt_of((COARSE, QUESTION), Barcodes())
    assert prompt[0].clip
    tools_by_dialect: dict[DialectName, list[Any] | None] = {"tool": TOOLS, "span": None, "grounding": None}
    for dialect, tools in tools_by_dialect.items():
        layout = TokenLayout(Vocabulary(words, "test", dialect))
        laid_out = layout.join(layout.transcript(prompt))
        text = rendered(words, tools).replace(CLIP, printed(prompt[0].clip))
        assert laid_out.ids.tolist() == words.encode(text, add_special_tokens=False)
        assert not laid_out.trained.any()


def test_the_text_of_the_system_turn_is_that_templates() -> None:
    prefix, _, _ = rendered(tokenizer(), TOOLS).partition("<|im_end|>")
    assert prefix == f"<|im_start|>system\n{tool_list(TOOL.tools)}"


def test_a_student_from_scratch_is_told_in_the_same_words() -> None:
    assert make_tiny("speck", TEXTS, dialect="tool").vocabulary.frame == Vocabulary(tokenizer(), "test", "tool").frame
    assert speck().vocabulary.frame == make_tiny("speck", TEXTS, dialect="grounding").vocabulary.frame
    assert speck().vocabulary.frame[0] == "<|im_start|>user\n"


def test_rollouts_are_prompted_with_what_training_shows() -> None:
    """The log-probabilities that an engine samples with are those behind the laid out prompt, the function in it."""
    student, footage = make_tiny("speck", TEXTS, dialect="tool"), Barcodes()
    request = RolloutRequest(prompt_of((COARSE, QUESTION), footage), footage, Sampling(seed=3, max_tokens=24))
    (rolled,) = roll(TransformersEngine(student), [request])
    retraced = retrace(rolled, footage, student.layout)
    assert TOOLS[0]["function"]["name"] in student.vocabulary.decode(retraced.ids.tolist())
    logits = logits_of_all(student, retraced).double()
    positions = np.flatnonzero(retraced.trained)
    said = torch.log_softmax(logits[positions - 1], -1)[torch.arange(len(positions)), torch.from_numpy(retraced.ids[positions])]
    assert np.allclose(said.numpy(), log_probs(rolled), atol=1e-4)


def test_the_schema_names_each_argument_that_a_call_may_have_in_its_order() -> None:
    (function,) = TOOLS
    parameters = function["function"]["parameters"]
    plain = Look(Window(1200, 2050), Fraction(1, 3))
    full = replace(plain, box=Box(10, 20, 500, 600), tokens=96)
    assert list(json.loads(print_arguments(full))) == list(parameters["properties"])
    assert list(json.loads(print_arguments(plain))) == parameters["required"]
    json_types = {"number": (int, float), "string": str, "array": list, "integer": int}
    for name, value in (json.loads(print_arguments(full)) | {"fps": 2}).items():
        accepted = parameters["properties"][name]["type"]
        assert isinstance(value, tuple(json_types[kind] for kind in ([accepted] if isinstance(accepted, str) else accepted)))


@pytest.fixture
def untaught(tmp_path: Path) -> Path:
    """A checkpoint as Qwen publishes them: without our tags, with a template that tells of functions."""
    words = tokenizer()
    Qwen3VLForConditionalGeneration(make_config(SHAPES["speck"], Vocabulary(words, "untaught"))).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    return tmp_path


def test_a_checkpoint_without_our_tags_is_a_student_of_tool(untaught: Path) -> None:
    student = load(str(untaught), dialect="tool")
    assert tool_list(TOOL.tools) in student.vocabulary.frame[0]
    assert load_vocabulary(str(untaught), "tool").frame == student.vocabulary.frame
    assert student.vocabulary.function_tokens == len(student.vocabulary.encode(student.vocabulary.frame[0]))
    with pytest.raises(InputError, match="doesn't know the tags"):
        load(str(untaught))


def test_a_template_that_tells_nothing_of_functions_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    speck().save(tmp_path)
    assert load(str(tmp_path)).vocabulary.function_tokens == 0
    for open_checkpoint in (load, load_vocabulary):
        with pytest.raises(InputError, match="the chat template tells nothing of the function crop_video") as refused:
            open_checkpoint(str(tmp_path), dialect="tool")
        assert refused.value.where == str(tmp_path)
        assert "tools" in refused.value.hint
