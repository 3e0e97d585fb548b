"""Copies are found, and only copies."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from dmforge.curation.video.fingerprint import are_copies, frame_hashes, likeness
from dmforge.curation.video.unusable import UnusableVideo
from tests.support.copies import fingerprint, worlds


@pytest.mark.slow
def test_copies_of_textured_worlds_are_found_and_different_worlds_are_not_called_copies(tmp_path: Path) -> None:
    originals, found = worlds(16, tmp_path)  # `python -m benchmarks.fingerprints` does it for 200
    assert {kind: all(each) for kind, each in found.items()} == dict.fromkeys(found, True)
    assert not any(are_copies(*pair) for pair in itertools.combinations(originals, 2))


def test_a_video_is_a_copy_of_itself_and_likeness_is_the_same_both_ways() -> None:
    draw = np.random.default_rng(1)
    one, other = (frame_hashes(draw.integers(0, 255, (9, 40, 60, 3)).astype(np.uint8)) for _ in range(2))
    assert likeness(one, one) == 1
    assert likeness(one, other) == likeness(other, one) < 0.3


def test_blank_frames_say_nothing() -> None:
    assert frame_hashes([np.full((32, 32, 3), 90, np.uint8)]) == ()
    assert likeness((), (1, 2)) == 0
    assert not are_copies((), ())


@pytest.mark.slow
@pytest.mark.real_data
def test_of_real_clips_only_the_two_encodings_of_one_are_copies(real_data: Path, tmp_path: Path) -> None:
    prints: dict[str, tuple[int, ...]] = {}
    for path in sorted((real_data / "videos").iterdir()):
        try:
            prints[path.name] = fingerprint(path, tmp_path)
        except UnusableVideo:
            continue
    pairs = {(a, b) for a, b in itertools.combinations(sorted(prints), 2) if are_copies(prints[a], prints[b])}
    assert pairs == {("pytorch__torchcodec__h264_10bits.mp4", "pytorch__torchcodec__h265_10bits.mp4")}
