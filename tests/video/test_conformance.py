"""Every shape of file, every backend: the right frame by identity, or a typed error in bounded time. Never a wrong frame."""

from __future__ import annotations

import os
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.reformatter import Interpolation

from dmforge.curation.video.decoders import Decoder
from dmforge.curation.video.decoders.decord import Decord
from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.decoders.torchcodec import TorchCodec
from dmforge.curation.video.isolated_probe import inspect_file
from dmforge.curation.video.timeline import read_timeline
from dmforge.curation.video.unusable import UnusableVideo
from dmforge.generators.synthetic.worlds.rasterize import read_timecode
from dmforge.schemas.sizes import Size
from tests.support.barcodes import CASES, Case, times_of, write

DEADLINE_S = 10
READABLE = [case for case in CASES if not case.bad and case.width >= 32]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("barcodes")


def made(case: Case, folder: Path) -> Path:
    path = folder / case.path_name
    return path if path.exists() else write(case, folder)


def read(decoder: Decoder, path: Path, times: list[Fraction]) -> list[int | None]:
    began = time.monotonic()
    try:
        clip = decoder.read(path, times)
    finally:
        assert time.monotonic() - began < DEADLINE_S
    assert len(clip.frames) == len(clip.shown_s) == len(times)
    assert all(shown <= asked for shown, asked in zip(clip.shown_s, times, strict=True))
    return [read_timecode(frame) for frame in clip.frames]


@pytest.mark.parametrize("case", READABLE, ids=lambda case: case.name)
def test_pyav_gives_the_frame_on_screen(case: Case, folder: Path) -> None:
    times = times_of(case)
    assert read(PyAV(), made(case, folder), times) == [case.on_screen(asked) for asked in times]


@pytest.mark.parametrize("case", READABLE, ids=lambda case: case.name)
def test_decord_gives_the_frame_on_screen_or_refuses(case: Case, folder: Path) -> None:
    times = times_of(case)
    if case.name in PLAIN:
        assert read(Decord(), made(case, folder), times) == [case.on_screen(asked) for asked in times]
        return
    try:
        found = read(Decord(), made(case, folder), times)
    except UnusableVideo as refusal:
        found, reason = None, refusal.reason
        assert reason == "not this backend"
    assert found in (None, [case.on_screen(asked) for asked in times])


PLAIN = ("constant rate", "variable rate with a hole", "B-frames", "HEVC", "VP9", "non-zero start")
"""What decord must not refuse."""


@pytest.fixture(scope="session")
def torchcodec() -> TorchCodec:
    try:
        import torchcodec.decoders
    except (ImportError, RuntimeError):
        pytest.skip("torchcodec is not installed, or FFmpeg's libraries are not")
    assert torchcodec.decoders
    return TorchCodec()


@pytest.mark.parametrize("case", READABLE, ids=lambda case: case.name)
def test_torchcodec_gives_the_frame_on_screen_or_refuses(case: Case, folder: Path, torchcodec: TorchCodec) -> None:
    times = times_of(case)
    try:
        found = read(torchcodec, made(case, folder), times)
    except UnusableVideo as refusal:
        found, reason = None, refusal.reason
        assert reason == "not this backend"
        assert case.name not in PLAIN
    assert found in (None, [case.on_screen(asked) for asked in times])


REASONS = {"not a video", "no video stream", "damaged", "no frames", "no times", "orientation"}
"""Why a file of the suite can't be used."""
BROKEN = [case for case in CASES if case.bad]


DAMAGED, NUMBERED = "damaged middle", "copied from an AVI with its packets numbered"
CONCEALS = {
    DAMAGED: pytest.mark.xfail(strict=True, reason="it conceals damage inside frames and says nothing"),
    NUMBERED: pytest.mark.xfail(strict=True, reason="it sorts frames by times that contradict the order of decoding"),
}
"""Of backends that decode by forgiving settings of their own."""


def broken_but(*names: str) -> list[Any]:
    return [pytest.param(case, marks=CONCEALS[case.name]) if case.name in names else case for case in BROKEN]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_pyav_says_what_is_broken(case: Case, folder: Path) -> None:
    assert_refused(PyAV(), case, folder)


@pytest.mark.parametrize("case", broken_but(DAMAGED, NUMBERED), ids=lambda case: case.name)
def test_decord_says_what_is_broken(case: Case, folder: Path) -> None:
    assert_refused(Decord(), case, folder)


def assert_refused(decoder: Decoder, case: Case, folder: Path) -> None:
    with pytest.raises(UnusableVideo) as caught:
        read(decoder, made(case, folder), times_of(case))
    assert caught.value.reason in {*REASONS, "not this backend"}
    assert "hint:" in str(caught.value)


@pytest.mark.parametrize("case", broken_but(DAMAGED), ids=lambda case: case.name)
def test_torchcodec_says_what_is_broken(case: Case, folder: Path, torchcodec: TorchCodec) -> None:
    assert_refused(torchcodec, case, folder)


def test_whatever_a_file_is_called_decord_does_not_open_a_container_on_which_it_hangs(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "renamed.mp4"
    path.write_bytes(made(next(case for case in CASES if case.name == "MPEG-TS"), folder).read_bytes())
    with pytest.raises(UnusableVideo, match="hangs on such containers"):
        Decord().read(path, [Fraction(0)])


def named(name: str, folder: Path) -> Path:
    return made(next(case for case in CASES if case.name == name), folder)


@pytest.mark.parametrize("frame", range(1, 6))
def test_a_frame_is_refused_on_its_own_if_its_time_contradicts_the_order_of_decoding(frame: int, folder: Path) -> None:
    with pytest.raises(UnusableVideo, match="decoded in another order than the file says"):
        PyAV().read(named(NUMBERED, folder), [Fraction(frame, 25)])


def test_an_avi_is_as_long_as_its_pictures_are_shown_however_late_they_are_decoded(folder: Path) -> None:
    for name in (
        "AVI of H.264",
        "AVI of H.264 with a pyramid of B-frames",
        "AVI with packed B-frames",
        "AVI with dropped frames",
    ):
        assert read_timeline(named(name, folder)).duration_s == Fraction(60, 25), name


def test_torchcodec_refuses_files_whose_times_are_made_up(folder: Path) -> None:
    with pytest.raises(UnusableVideo, match="times for granted"):
        TorchCodec().read(named("AVI of H.264 with B-frames", folder), [Fraction(0)])


@pytest.mark.real_data
def test_an_avi_whose_frames_arrive_out_of_order_is_read_as_it_is_shown(real_data: Path) -> None:
    path, size = real_data / "videos/open-mmlab__mmaction2__S001C001P001R001A001_rgb.avi", Size(96, 64)
    with av.open(str(path)) as container:  # a decoder hands out frames as they are shown, whatever times it was given with them
        shown = [
            frame.reformat(96, 64, "rgb24", interpolation=Interpolation.AREA).to_ndarray()
            for frame in container.decode(video=0)
        ]
    frames = PyAV().read(path, [Fraction(number, 30) for number in range(len(shown))], size).frames
    assert len(frames) == 103
    assert np.array_equal(frames, np.stack(shown))


def test_one_pixel_is_a_video_too(folder: Path) -> None:
    case = next(case for case in CASES if case.name == "one pixel")
    clip = PyAV().read(made(case, folder), [Fraction(0), Fraction(1)])
    assert clip.frames.shape == (2, 1, 1, 3)


def test_of_several_streams_the_one_is_read_that_players_show(tmp_path: Path, torchcodec: TorchCodec) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        streams[1].disposition = Disposition.default
        for stream, side in zip(streams, (64, 320), strict=True):
            stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        for number in range(25):
            for stream, shade in zip(streams, (20, 200), strict=True):
                picture = np.full((stream.height, stream.width, 3), shade, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            del number
        for stream in streams:
            container.mux(stream.encode(None))
    for decoder in (PyAV(), torchcodec):
        clip = decoder.read(path, [Fraction(0), Fraction(1, 2)])
        assert clip.frames.shape[1:3] == (320, 320)
        assert clip.frames.mean() > 150
    with pytest.raises(UnusableVideo, match="another stream"):
        Decord().read(path, [Fraction(0)])


def test_a_recording_that_was_cut_begins_where_it_can_be_decoded(tmp_path: Path) -> None:
    case = Case("MPEG-2", suffix="mkv", codec="mpeg2video", options={"bf": "2", "g": "12"})  # whose GOPs are open
    whole, path = write(case, tmp_path), tmp_path / "cut.mkv"
    with av.open(str(whole)) as source, av.open(str(path), "w") as container:
        stream = source.streams.video[0]
        out = container.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        (_, second, *_) = [place for place, packet in enumerate(packets) if packet.is_keyframe]
        for packet in packets[second:]:
            packet.stream = out
            container.mux(packet)
    timeline = read_timeline(path)
    assert timeline.has_leading
    times = [timeline.time_s(pts) for pts in timeline.pts]
    numbers = [read_timecode(frame) for frame in PyAV().read(path, times).frames]
    assert numbers == list(range(numbers[0] or 0, 60))  # from the keyframe on: what leans on lost frames is never shown


def test_probing_imports_nothing_from_where_one_stands(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(CASES[0], folder)
    (tmp_path / "statistics.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    assert inspect_file(path).ok


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UnusableVideo, match="neither a file"):
        read_timeline(tmp_path / "pipe.mp4")
