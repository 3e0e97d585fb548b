"""Transcripts as a student takes them: the same tokens, positions and pixels that Hugging Face would make of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

from dmforge.generators.footage import PromptPiece, ShownClip, show
from dmforge.generators.student.patchify import frames_of, grid_of, normalised, patchify
from dmforge.generators.student.positions import next_position, positions
from dmforge.schemas.errors import InputError
from dmforge.schemas.tags import TAG_NAMES
from dmforge.schemas.transcript import COARSE, Piece
from tests.student.students import TEXTS, Barcodes, look, shown, speck, transcript

STUDENT = speck()
LAYOUT = STUDENT.layout


class Processor(Qwen3VLVideoProcessor):
    """Hugging Face's own, but for the one line of torchvision in its way: `normalize` is `(x - mean) / std` there, too."""

    def normalize(self, image: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, inplace: bool = False) -> torch.Tensor:
        mean, std = (torch.as_tensor(values, dtype=torch.float32).view(-1, 1, 1) for values in (mean, std))
        return image.sub(mean).div(std)


@pytest.mark.parametrize(("frames", "height", "width"), [(2, 32, 32), (7, 64, 96), (16, 224, 416)])
def test_patches_are_those_of_the_hugging_face_processor_bit_for_bit(frames: int, height: int, width: int) -> None:
    pixels = np.random.default_rng(frames).integers(0, 256, (frames, height, width, 3), np.uint8)
    video = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    theirs = Processor(do_sample_frames=False)._preprocess(
        [video], do_resize=False, size=None, resample=None, do_rescale=True, rescale_factor=1 / 255, do_normalize=True,
        image_mean=(0.5,) * 3, image_std=(0.5,) * 3, patch_size=16, temporal_patch_size=2, merge_size=2,
        cap_pixels_per_frame=False, return_tensors="pt",
    )  # fmt: skip
    ours = normalised(torch.from_numpy(patchify(pixels)))
    assert torch.equal(ours, theirs["pixel_values_videos"])
    assert list(grid_of(pixels)) == theirs["video_grid_thw"][0].tolist()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_frames_are_read_back_from_patches(frames: int, down: int, across: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, 32 * down, 32 * across, 3), np.uint8)
    whole = pixels if frames % 2 == 0 else np.concatenate([pixels, pixels[-1:]])
    assert np.array_equal(frames_of(patchify(pixels), grid_of(pixels)), whole)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(100, 500), st.integers(50, 400), st.sampled_from([1, 2, 3])), max_size=3))
def test_positions_are_those_of_the_model(asked: list[tuple[int, int, int]]) -> None:
    looks = [look(start, start + length, fps) for start, length, fps in asked]
    laid = LAYOUT.join(LAYOUT.transcript(shown(transcript(*looks))))
    ids = torch.from_numpy(laid.ids)[None]
    kinds = (ids == STUDENT.vocabulary.video_pad).int() * 2
    theirs, _ = STUDENT.model.model.get_rope_index(
        ids, mm_token_type_ids=kinds, video_grid_thw=torch.from_numpy(laid.grids).clone()
    )
    assert np.array_equal(laid.positions, theirs[:, 0].numpy())


def test_positions_go_on_where_a_row_was_left() -> None:
    parts = LAYOUT.transcript(shown(transcript(look(100, 300), look(400, 600))))
    at, found = 0, []
    for part in parts:
        cells = [clip.cells for clip in part.clips for _ in clip.stamps_s]
        found.append(positions(part.ids, STUDENT.vocabulary.video_pad, cells, at))
        at = next_position(found[-1], at)
    assert np.array_equal(np.concatenate(found, 1), LAYOUT.join(parts).positions)


def test_positions_refuse_clips_that_are_not_there() -> None:
    pad = STUDENT.vocabulary.video_pad
    for ids, cells in (([5, pad, 6], []), ([5, 6], [(1, 1)]), ([pad, 5, pad], [(1, 2)])):
        with pytest.raises(ValueError, match="visual tokens"):
            positions(np.array(ids), pad, cells)


def test_a_prompt_reads_as_the_chat_template_would_have_it() -> None:
    (part,) = LAYOUT.stretches(shown(transcript())[:2])
    text = STUDENT.vocabulary.decode(part.ids.tolist())
    clip = "".join(f"<{time}.5 seconds><|vision_start|>{'<|video_pad|>' * 2}<|vision_end|>" for time in (0, 2, 4, 6, 8))
    assert text == f"<|im_start|>user\n{clip}Which colour flashes?<|im_end|>\n<|im_start|>assistant\n"


def test_laid_out_whole_or_piece_by_piece_the_tokens_are_the_same() -> None:
    told = shown(transcript(look(100, 300), thought="at 3.50 <b>, 12"))
    parts = LAYOUT.transcript(told)
    text = "".join(STUDENT.vocabulary.decode(part.ids.tolist()) for part in parts)
    assert STUDENT.vocabulary.encode(text) == LAYOUT.join(parts).ids.tolist()
    assert [part.author for part in parts] == ["prompt", "policy", "runtime", "policy"]


def test_only_what_the_policy_wrote_is_trained() -> None:
    laid = LAYOUT.join(LAYOUT.transcript(shown(transcript(look(100, 300)))))
    trained = STUDENT.vocabulary.decode(laid.ids[laid.trained].tolist())
    first = "<think>It flashes.<span>1.00 - 3.00</span><fps>2</fps>"
    assert trained == first + "Blue.</think><answer>blue</answer><|im_end|>"
    assert STUDENT.vocabulary.decode(laid.ids[laid.trained & ~laid.reasoning].tolist()) == first


def test_a_forced_look_is_not_trained() -> None:
    pieces = (
        COARSE,
        TEXT,
        Piece("runtime", "<think><span>1.00 - 2.00</span><fps>2</fps>"),
        Piece("runtime", look=look(100, 200)),
    )
    laid = LAYOUT.join(LAYOUT.transcript(show((*pieces, Piece("policy", "Blue.</think>")), Barcodes())))
    assert STUDENT.vocabulary.decode(laid.ids[laid.trained].tolist()) == "Blue.</think><|im_end|>"
    assert (laid.reasoning == laid.trained).all()


TEXT = Piece("prompt", TEXTS[0])


@pytest.mark.parametrize("author", ["prompt", "policy"])
def test_words_that_look_like_frames_are_refused(author: str) -> None:
    piece = Piece(author, "look: <|video_pad|>")  # pyright: ignore
    with pytest.raises(InputError, match=r"<\|video_pad\|>"):
        LAYOUT.transcript((PromptPiece(piece),))


def test_every_tag_is_one_token_that_decoding_keeps() -> None:
    text = "".join(f"<{name}></{name}>" for name in TAG_NAMES)
    ids = STUDENT.vocabulary.encode(text)
    assert len(ids) == 2 * len(TAG_NAMES)
    assert STUDENT.vocabulary.tokenizer.decode(ids, skip_special_tokens=True) == text


def test_digits_are_tokens_of_their_own() -> None:
    assert len(STUDENT.vocabulary.encode("12.50")) == 5


def test_a_clip_off_the_grid_is_no_clip() -> None:
    with pytest.raises(ValueError, match="grid"):
        ShownClip(np.zeros((2, 40, 32, 3), np.uint8), Barcodes().coarse().times_s[:2])
