"""Injection is exact: what is put behind a kept cache gives the logits of the whole context gone through anew."""

from __future__ import annotations

import copy
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import torch

from dmforge.generators.footage import PromptPiece
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersConversation, TransformersEngine
from dmforge.generators.student.attention import attend_blocks
from dmforge.generators.student.load_student import Student
from dmforge.generators.student.tiny import SHAPES, make_student
from dmforge.schemas.transcript import Piece
from tests.student.students import TEXTS, Barcodes, logits_of_all, look, shown, transcript

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-10}
ROWS = (
    (transcript(look(100, 300), look(500, 900, 1)), Barcodes()),
    (transcript(look(200, 250, 3), thought="It flashes, then it doesn't. " * 3), Barcodes(Fraction(37, 2))),
    (transcript(), Barcodes(Fraction(5), (32, 32))),
    (transcript(look(0, 400, 3), look(100, 200), look(50, 150, 1)), Barcodes(Fraction(8), (32, 32), (32, 64))),
)
"""Ragged: other lengths, other sizes, several looks, none."""


@cache
def student(dtype: torch.dtype) -> Student:
    made = make_student(SHAPES["tiny"], TEXTS)
    made.model.to(dtype)
    return made


def whole(student: Student, told: tuple[PromptPiece, ...]) -> torch.Tensor:
    return logits_of_all(student, student.layout.join(student.layout.stretches(told)))[-1]


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("max_rows", [8192, 200, 1], ids=["together", "in groups", "alone"])
def test_a_kept_cache_gives_the_logits_of_the_whole_context(dtype: torch.dtype, max_rows: int) -> None:
    model = student(dtype)
    rows = [shown(told, footage) for told, footage in ROWS]
    conversation = TransformersEngine(model, max_rows).converse([Sampling()] * len(rows))
    at = [2] * len(rows)
    found = conversation.put({row: told[:2] for row, told in enumerate(rows)})
    apart = [float((found[row] - whole(model, rows[row][:2])).abs().max()) for row in found]
    while left := [row for row, told in enumerate(rows) if at[row] < len(told)]:
        # two by two: what a policy wrote, and the clip that it is shown for it; the last words alone
        found = conversation.put({row: rows[row][at[row] : at[row] + 2] for row in left})
        for row in left:
            at[row] = min(at[row] + 2, len(rows[row]))
            apart.append(float((found[row] - whole(model, rows[row][: at[row]])).abs().max()))
    assert max(apart) <= BOUNDS[dtype]


def test_these_logits_do_depend_on_what_was_injected() -> None:
    model, (told, footage) = student(torch.float32), ROWS[0]
    rows = shown(told, footage)
    other = shown(transcript(look(600, 800), look(500, 900, 1)), footage)
    assert float((whole(model, rows[:4]) - whole(model, (*rows[:3], other[3]))).abs().max()) > 1e-3


@pytest.mark.parametrize("dtype", BOUNDS)
def test_decoding_token_by_token_gives_the_same_logits(dtype: torch.dtype) -> None:
    model = student(dtype)
    rows = [shown(told, footage)[:2] for told, footage in ROWS]
    samplings = [Sampling(seed=row, max_tokens=6 + 5 * row) for row in range(len(rows))]
    written = TransformersEngine(model).converse(samplings).step(dict(enumerate(rows)), ())
    for row, words in written.items():
        (asked,) = model.layout.stretches(rows[row])
        ids = np.concatenate([asked.ids, words.ids])
        logits = logits_of_all(model, model.layout.join([type(asked)("prompt", ids, asked.clips)]))
        told = torch.log_softmax(logits[len(asked.ids) - 1 : -1], -1)
        expected = told.gather(1, torch.tensor(words.ids)[:, None])[:, 0]
        assert float((expected - torch.tensor(words.log_probs, dtype=dtype)).abs().max()) <= BOUNDS[dtype]


def test_rows_of_the_same_prompt_share_its_way_through_the_model() -> None:
    model = student(torch.float32)
    counted: list[int] = []
    hook = model.model.register_forward_pre_hook(
        lambda _, __, told: counted.append(told["input_ids"].numel()), with_kwargs=True
    )
    asked = shown(*ROWS[0])[:2]
    try:
        found = TransformersEngine(model).converse([Sampling()] * 8).put(dict.fromkeys(range(8), asked))
    finally:
        hook.remove()
    (length,) = (len(part.ids) for part in model.layout.stretches(asked))
    assert counted == [length]
    assert all(torch.equal(found[0], logits) for logits in found.values())


def put(conversation: TransformersConversation, row: int, told: tuple[PromptPiece, ...]) -> torch.Tensor:
    return conversation.put({row: told})[row]


def test_rows_that_share_a_prompt_part_afterwards() -> None:
    model = student(torch.float32)
    asked = shown(*ROWS[0])[:2]
    conversation = TransformersEngine(model).converse([Sampling()] * 3)
    conversation.put(dict.fromkeys(range(3), asked))
    words = [(PromptPiece(Piece("policy", text)),) for text in ("<think>It flashes.", "<think>", "<think>red, blue")]
    for row in (2, 0, 1):  # in another order than they lie
        assert float((put(conversation, row, words[row]) - whole(model, (*asked, *words[row]))).abs().max()) <= 1e-5


def test_a_model_in_training_rests_meanwhile_and_goes_on_training() -> None:
    model = copy.deepcopy(student(torch.float32))
    model.model.gradient_checkpointing_enable({"use_reentrant": False})
    model.model.train()
    told = shown(*ROWS[0])
    conversation = TransformersEngine(model).converse([Sampling()])
    conversation.put({0: told[:2]})
    found = conversation.put({0: told[2:4]})[0]
    assert model.model.training
    assert float((found - whole(student(torch.float32), told[:4])).abs().max()) <= 1e-5


def test_few_tokens_are_attended_to_as_precisely_as_by_a_kernel() -> None:
    """Scores of 20 and more, which are rounded by .06 if they are written down in bfloat16."""
    draw = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, heads, tokens, 64, generator=draw) for heads, tokens in ((4, 1), (2, 300), (2, 300)))
    half = query.bfloat16(), (8 * key).bfloat16(), value.bfloat16()
    written_out, _ = attend_blocks(torch.nn.Module(), *half, None)
    exact, _ = attend_blocks(torch.nn.Module(), *(x.double() for x in half), None)
    repeated = [x.repeat_interleave(2, 1) for x in half[1:]]
    kernel = torch.nn.functional.scaled_dot_product_attention(half[0], *repeated).transpose(1, 2)
    apart, kernels = (float((found - exact).norm() / exact.norm()) for found in (written_out, kernel))
    assert apart < 2 * kernels < 0.01


def test_under_autocast_a_kept_cache_gives_the_logits_of_the_whole_context_and_keys_are_no_wider_than_values() -> None:
    model, (told, footage) = student(torch.float32), ROWS[0]
    rows = shown(told, footage)
    conversation = TransformersEngine(model).converse([Sampling()] * 2)
    with torch.autocast("cpu", torch.bfloat16):
        found = [conversation.put({0: rows[at : at + 2], 1: rows[at : at + 2]})[1] for at in (0, 2)]
        expected = [whole(model, rows[:end]) for end in (2, 4)]
    assert found[0].dtype == torch.bfloat16
    assert {table.dtype for table in (*conversation._cache._keys.values(), *conversation._cache._values.values())} == {
        torch.bfloat16
    }
    assert max(float((one - other).abs().max()) for one, other in zip(found, expected, strict=True)) < 0.05
