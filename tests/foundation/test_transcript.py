"""Who wrote what decides what is trained on, and as which segment."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import COARSE, Author, Piece, Transcript

LOOK = Look(Window(1200, 2000), Fraction(2))
CLIP = Piece("runtime", look=LOOK)

texts = st.builds(Piece, st.sampled_from(["prompt", "policy", "runtime"]), st.text(max_size=5))
transcripts = st.lists(texts | st.just(COARSE) | st.just(CLIP), max_size=12).map(lambda pieces: Transcript(tuple(pieces)))


def test_the_policy_samples_up_to_the_injection_and_reasons_after_it() -> None:
    pieces = (COARSE, Piece("prompt", "When?"), Piece("policy", "...</fps>"), CLIP, Piece("policy", "...</answer>"))
    assert Transcript(pieces).segments() == (None, None, "sampling", None, "reasoning")


def test_without_an_injection_all_policy_text_is_sampling() -> None:
    pieces = (COARSE, Piece("prompt", "When?"), Piece("policy", "<think>I saw it.</think><answer>A</answer>"))
    assert Transcript(pieces).segments() == (None, None, "sampling")


def test_text_between_two_injections_is_reasoning() -> None:
    assert (
        Transcript((Piece("policy", "a"), CLIP, Piece("policy", "b"), CLIP, Piece("policy", "c"))).segments()[2] == "reasoning"
    )


def test_in_a_forced_rollout_the_look_is_the_runtimes_and_is_never_trained_on() -> None:
    forced = Transcript((COARSE, Piece("prompt", "When?"), Piece("runtime", "<think>...</fps>"), CLIP, Piece("policy", "T2")))
    assert forced.segments() == (None, None, None, None, "reasoning")
    assert forced.policy_text == "T2"
    assert forced.trajectory_text == "<think>...</fps>T2"


@given(transcripts)
def test_exactly_the_policys_pieces_are_trained_on_and_belong_to_a_segment(transcript: Transcript) -> None:
    segments = transcript.segments()
    assert len(segments) == len(transcript.pieces)
    for segment, piece in zip(segments, transcript.pieces, strict=True):
        assert (segment is not None) == piece.is_trained == (piece.author == "policy")


@given(transcripts)
def test_a_reasoning_piece_stands_behind_a_clip_and_a_sampling_piece_before_all_of_them(transcript: Transcript) -> None:
    for at, segment in enumerate(transcript.segments()):
        injected = any(piece.look is not None for piece in transcript.pieces[:at])
        assert segment is None or segment == ("reasoning" if injected else "sampling")


@given(transcripts)
def test_policy_text_is_the_policys_pieces_verbatim(transcript: Transcript) -> None:
    assert transcript.policy_text == "".join(piece.text or "" for piece in transcript.pieces if piece.author == "policy")


def test_a_piece_is_text_or_a_clip() -> None:
    assert COARSE.is_clip
    assert CLIP.is_clip
    assert not Piece("policy", "").is_clip
    with pytest.raises(ValueError, match="not both"):
        Piece("runtime", "text", LOOK)


@pytest.mark.parametrize(("author", "look"), [("policy", None), ("policy", LOOK), ("runtime", None), ("prompt", LOOK)])
def test_only_the_prompt_shows_the_coarse_clip_and_only_the_runtime_the_clip_of_a_look(
    author: Author, look: Look | None
) -> None:
    with pytest.raises(ValueError, match=f"can't come from the {author}"):
        Piece(author, look=look)
