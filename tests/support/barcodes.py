"""Videos whose every frame says which it is: every shape that a foreign file has been seen in, good and bad.

`write(case, folder)` makes one file. Frame `n` of a good file carries the timecode `n` and is shown from `case.times_s[n]` on:
whatever a decoder hands out for a time can be held against what was on screen then.
"""

from __future__ import annotations

import io
import random
import struct
import wave
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from dmforge.generators.synthetic.worlds.rasterize import Picture, backdrop, put_timecode

RATE = 25
FRAMES = 60


@dataclass(frozen=True)
class Case:
    """One file, and what is true about it."""

    name: str
    suffix: str = "mp4"
    codec: str = "libx264"
    fourcc: str = ""
    """What the file says its codec is; by default as FFmpeg writes it."""
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast"})
    pixels: str = "yuv420p"
    width: int = 128
    height: int = 96
    times_s: tuple[Fraction, ...] = tuple(Fraction(n, RATE) for n in range(FRAMES))
    muxer: dict[str, str] = field(default_factory=dict[str, str])
    start_s: Fraction = Fraction(0)
    aspect: Fraction = Fraction(1)
    mend: Callable[[bytes], bytes] | None = None
    """What is done to the bytes once the file is whole."""
    turn: int = 0
    """Degrees clockwise that the file says it is to be turned by; so it is stored turned the other way."""
    first: int = 0
    """The number of the first frame."""
    hidden: int = 0
    """Frames at the beginning that an edit list leaves out."""
    lasts_s: Fraction | None = None
    """When its frames end, where it was cut off so cleanly that what is left is whole."""
    bad: bool = False
    """No frame can be had from it, or not every one: an error is the right answer."""
    file_name: str | None = None

    @property
    def path_name(self) -> str:
        return self.file_name or f"{self.name}.{self.suffix}"

    @property
    def shown_s(self) -> tuple[Fraction, ...]:
        """When each displayed frame is first shown, counted from the first of them."""
        times = self.times_s[self.hidden :]
        return tuple(time - times[0] for time in times)

    def on_screen(self, time_s: Fraction) -> int:
        """The number of the frame that is on screen."""
        return self.hidden + bisect_right(self.shown_s, time_s) - 1


def picture(number: int, width: int, height: int) -> Picture:
    """The frame with this number: a backdrop of its own, under the timecode."""
    whole = np.roll(backdrop(1, width, height), 5 * number, axis=1)
    put_timecode(whole, number)
    return whole


def write(case: Case, folder: Path) -> Path:
    """Make the file of a case."""
    path = folder / case.path_name
    if case.codec:
        _encode(case, path)
    if case.mend:
        path.write_bytes(case.mend(path.read_bytes() if case.codec else b""))
    return path


def _encode(case: Case, path: Path) -> None:
    with av.open(f"file:{path}", "w", format=FORMATS[case.suffix], options=case.muxer) as container:
        stream = container.add_stream(case.codec, rate=RATE, options=case.options)
        stored = (case.height, case.width) if case.turn % 180 else (case.width, case.height)
        stream.width, stream.height, stream.pix_fmt = *stored, case.pixels
        stream.codec_context.sample_aspect_ratio = case.aspect
        if case.fourcc:
            stream.codec_context.codec_tag = case.fourcc
        clock = Fraction(1, RATE) if case.suffix == "avi" or case.codec in OF_CONSTANT_RATE else CLOCK
        stream.codec_context.time_base = clock
        for number, time_s in enumerate(case.times_s):
            stored = np.ascontiguousarray(np.rot90(picture(case.first + number, case.width, case.height), case.turn // 90))
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24").reformat(format=case.pixels)
            frame.pts, frame.time_base = int((time_s + case.start_s) / clock), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


FORMATS = {
    "mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm", "ts": "mpegts", "avi": "avi", "mpg": "mpeg", "vob": "vob",
    "asf": "asf", "flv": "flv", "3gp": "3gp", "mxf": "mxf",
}  # fmt: skip
OF_CONSTANT_RATE = ("mpeg4", "mpeg1video", "mpeg2video", "msmpeg4", "wmv2", "mjpeg", "flv", "h263")
CLOCK = Fraction(1, 12_000)


# what is done to bytes


def boxes(data: bytes, name: bytes) -> list[int]:
    """Where the boxes of an mp4 with this name begin."""
    found, at = [], data.find(name)
    while at >= 0:
        found.append(at - 4)
        at = data.find(name, at + 4)
    return found


def turned(degrees: int) -> Callable[[bytes], bytes]:
    """A display matrix in the track header: the picture is to be turned clockwise by so much."""
    one = 1 << 16
    cos, sin = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]

    def mend(data: bytes) -> bytes:
        (at,) = boxes(data, b"tkhd")
        return data[: at + 48] + struct.pack(">9i", cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30) + data[at + 84 :]

    return mend


def beginning_later(frames: int) -> Callable[[bytes], bytes]:
    """An edit list that leaves out the first frames."""

    def mend(data: bytes) -> bytes:
        (at,) = boxes(data, b"elst")
        length, media_time = struct.unpack(">Ii", data[at + 16 : at + 24])
        (mvhd,), (mdhd,) = boxes(data, b"mvhd"), boxes(data, b"mdhd")
        (movie,), (media,) = struct.unpack(">I", data[mvhd + 20 : mvhd + 24]), struct.unpack(">I", data[mdhd + 20 : mdhd + 24])
        entry = struct.pack(">Ii", length - frames * movie // RATE, media_time + frames * media // RATE)
        return data[: at + 16] + entry + data[at + 24 :]

    return mend


def mirrored(data: bytes) -> bytes:
    """A display matrix that shows the picture as in a mirror."""
    (at,) = boxes(data, b"tkhd")
    one = 1 << 16
    return data[: at + 48] + struct.pack(">9i", -one, 0, 0, 0, one, 0, 0, 0, 1 << 30) + data[at + 84 :]


def painted() -> bytes:
    """A PNG."""
    file = io.BytesIO()
    with av.open(file, "w", format="image2pipe") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(1, 64, 64), format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def chunks(data: bytes) -> list[bytes]:
    """The packets of an AVI's video, in their order."""
    with av.open(io.BytesIO(data)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def packed(data: bytes) -> bytes:
    """An AVI of I, P, B, P, B, ... as DivX 5 wrote it: each B-frame in one chunk with its P-frame, then an empty one.

    So a decoder that gives a picture for each chunk at once has one to give.
    """
    first, *others = chunks(data)
    at = first.index(VOP)
    kept = [first[:at] + b"\0\0\1\xb2DivX503b1393p" + first[at:]]
    while others:
        ahead, *others = others
        behind = others.pop(0) if others and others[0][others[0].index(VOP) + 4] >> 6 == B_VOP else b""
        kept += [ahead + behind, NOTHING_NEW] if behind else [ahead]
    return _rewrapped(data, "avi", kept, range(len(kept)))


VOP = b"\0\0\1\xb6"
B_VOP = 2
NOTHING_NEW = VOP + b"\x50\x4f"
"""A P-frame that isn't coded, where a second has 25 ticks."""


def numbered(data: bytes) -> bytes:
    """An AVI copied into Matroska by a tool that takes the number of a packet for the time at which its picture is shown."""
    kept = chunks(data)
    return _rewrapped(data, "matroska", kept, range(len(kept)))


def _rewrapped(data: bytes, form: str, kept: Sequence[bytes], ticks: Sequence[int]) -> bytes:
    """Other packets in the same stream, with these times; the first is a keyframe."""
    file = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(file, "w", format=form) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for tick, payload in zip(ticks, kept, strict=True):
            packet = av.Packet(payload)
            packet.stream, packet.time_base = stream, Fraction(1, RATE)
            packet.pts = packet.dts = tick
            packet.is_keyframe = not tick
            container.mux(packet)
    return file.getvalue()


def with_a_chunk_of_no_picture(data: bytes) -> bytes:
    """An AVI of H.264 with a chunk that only says where a picture begins: which picture belongs to which chunk is open."""
    kept = chunks(data)
    kept.insert(20, b"\0\0\0\1\x09\xf0")
    return _rewrapped(data, "avi", kept, range(len(kept)))


def without_index(data: bytes) -> bytes:
    """An AVI whose index is cut off, as cameras leave it that run out of power."""
    return data[: data.rindex(b"idx1")]


def begun_later(data: bytes) -> bytes:
    """An AVI whose first chunk is gone, and with it what the next ones lean on."""
    at, index = data.index(b"00dc", data.index(b"movi")), data.rindex(b"idx1") + 8
    data = data[:at] + b"JUNK" + data[at + 4 :]
    return data[:index] + b"JUNK" + data[index + 4 :]


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.4,\nMPEG-TS.ts\n#EXT-X-ENDLIST\n"


def longer_header(data: bytes) -> bytes:
    """Durations in the header that are three times as long as what there is."""
    for name, offset in ((b"mvhd", 24), (b"mdhd", 24), (b"tkhd", 28)):
        (at,) = boxes(data, name)
        (length,) = struct.unpack(">I", data[at + offset : at + offset + 4])
        data = data[: at + offset] + struct.pack(">I", 3 * length) + data[at + offset + 4 :]
    return data


def cut_off(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(share * len(data))]


def scratched(data: bytes) -> bytes:
    """Noise over some bytes in the middle."""
    at, noise = len(data) // 2, random.Random(1).randbytes(len(data) // 30)
    return data[:at] + noise + data[at + len(noise) :]


def hummed() -> bytes:
    """A second of sound as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(random.Random(3).randbytes(16_000))
    return file.getvalue()


def recorded() -> bytes:
    """The same as AAC in an mp4."""
    file = io.BytesIO()
    with av.open(io.BytesIO(hummed())) as sound, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        for frame in sound.decode(audio=0):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _with_hole() -> tuple[Fraction, ...]:
    """Frames 20 to 29 come at half the rate, and after frame 40 nothing happens for 2 s."""
    times, now = [], Fraction(0)
    for number in range(FRAMES):
        times.append(now)
        now += Fraction(2 if 20 <= number < 30 else 1, RATE) + (2 if number == 40 else 0)
    return tuple(times)


FAST = {"preset": "ultrafast"}
B_FRAMES = {"preset": "veryfast", "bf": "3"}
GOP = {"preset": "veryfast", "g": "12", "bf": "2"}
START = {"movflags": "+faststart"}
PYRAMID = {**B_FRAMES, "x264-params": "b-pyramid=normal:bframes=7:b-adapt=0"}
OPEN_GOP = {**GOP, "x264-params": "open-gop=1:keyint=12:min-keyint=12:scenecut=0"}
DROPS = tuple(Fraction(tick, RATE) for tick in range(FRAMES) if tick not in (21, 23, 25, *range(40, 46)))
"""As screen recorders leave them: at some ticks nothing new is shown."""

CASES: tuple[Case, ...] = (
    Case("constant rate"),
    Case("variable rate with a hole", times_s=_with_hole()),
    Case("open GOP", options=OPEN_GOP),
    Case("B-frames", options=B_FRAMES),
    Case("pyramid of B-frames", options=PYRAMID),
    Case("non-zero start", options=B_FRAMES, start_s=Fraction(3)),
    Case("non-zero start in matroska", suffix="mkv", options=B_FRAMES, start_s=Fraction(3)),
    Case("negative start", options=B_FRAMES, start_s=Fraction(-12, RATE), hidden=12),
    Case("edit list", options=B_FRAMES, mend=beginning_later(10), hidden=10),
    Case("turned by 90", turn=90, mend=turned(90)),
    Case("turned by 180", turn=180, mend=turned(180)),
    Case("turned by 270", turn=270, mend=turned(270)),
    Case("10-bit", codec="libx265", pixels="yuv420p10le", options={**FAST, "x265-params": "log-level=none"}),
    Case("4:4:4", pixels="yuv444p"),
    Case("odd sizes", width=127, height=95, pixels="yuv444p"),
    Case("pixels that are not square", width=96, aspect=Fraction(4, 3)),
    Case("HEVC", codec="libx265", options={**FAST, "x265-params": "log-level=none"}),
    Case(
        "HEVC with open GOP",
        codec="libx265",
        options={"preset": "veryfast", "x265-params": "log-level=none:open-gop=1:keyint=12:min-keyint=12:scenecut=0:bframes=3"},
    ),
    Case("VP8", suffix="webm", codec="libvpx", options={"deadline": "realtime", "cpu-used": "8"}),
    Case("VP9", suffix="webm", codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
    Case("AV1", codec="libsvtav1", options={"preset": "12", "svtav1-params": "lp=1"}),
    Case("MPEG-4", codec="mpeg4", options={"bf": "2"}),
    Case("MPEG-TS", suffix="ts", options=B_FRAMES),
    Case("AVI without timestamps", suffix="avi", codec="mpeg4", options={"bf": "0"}),
    Case("AVI with B-frames", suffix="avi", codec="mpeg4", options={"bf": "2"}),
    Case("AVI of H.264", suffix="avi", options={**FAST, "bf": "0"}),
    Case("AVI of H.264 with B-frames", suffix="avi", options=B_FRAMES),
    Case("AVI of H.264 with a pyramid of B-frames", suffix="avi", options=PYRAMID),
    Case("AVI of H.264 with B-frames and an open GOP", suffix="avi", options=OPEN_GOP),
    Case("AVI with dropped frames", suffix="avi", codec="mjpeg", pixels="yuvj420p", times_s=DROPS),
    Case("AVI with dropped frames and B-frames", suffix="avi", codec="mpeg4", options={"bf": "2"}, times_s=DROPS),
    Case("AVI of H.264 with dropped frames and B-frames", suffix="avi", options=B_FRAMES, times_s=DROPS),
    Case("AVI with packed B-frames", suffix="avi", codec="mpeg4", options={"bf": "1"}, fourcc="DX50", mend=packed),
    Case("AVI by Xvid", suffix="avi", codec="mpeg4", options={"bf": "2"}, fourcc="XVID"),
    Case("AVI by DivX", suffix="avi", codec="mpeg4", options={"bf": "0"}, fourcc="DIVX"),
    Case("AVI of MPEG-2", suffix="avi", codec="mpeg2video", options={"bf": "2"}),
    Case("AVI of Motion JPEG", suffix="avi", codec="mjpeg", pixels="yuvj420p", options={}),
    Case("AVI without an index", suffix="avi", options=B_FRAMES, mend=without_index),
    Case("AVI that begins with no keyframe", suffix="avi", codec="mpeg4", options={"bf": "2"}, mend=begun_later, bad=True),
    Case("AVI of H.264 that begins with no keyframe", suffix="avi", options=B_FRAMES, mend=begun_later, bad=True),
    Case("AVI of H.264 with a chunk of no picture", suffix="avi", options=B_FRAMES, mend=with_a_chunk_of_no_picture, bad=True),
    Case("copied from an AVI with its packets numbered", suffix="avi", options=B_FRAMES, mend=numbered, bad=True),
    Case("ASF with B-frames", suffix="asf", codec="mpeg4", options={"bf": "2"}),
    Case("ASF of H.264 with B-frames", suffix="asf", options=B_FRAMES),
    Case("WMV", suffix="asf", codec="wmv2", options={}),
    Case("FLV with B-frames", suffix="flv", options=B_FRAMES),
    Case("3GP of MPEG-4", suffix="3gp", codec="mpeg4", options={}),
    Case("QuickTime with B-frames and no edit list", suffix="mov", options=B_FRAMES, muxer={"use_editlist": "0"}),
    Case("MPEG-4 in Matroska with B-frames", suffix="mkv", codec="mpeg4", options={"bf": "2"}),
    Case("program stream of MPEG-1", suffix="mpg", codec="mpeg1video", options={"bf": "2"}),
    Case("program stream of MPEG-2", suffix="vob", codec="mpeg2video", options={"bf": "2"}),
    Case("MXF", suffix="mxf", codec="mpeg2video", options={"bf": "2"}),
    Case("MXF of H.264 that has its packets numbered", suffix="mxf", options=B_FRAMES, bad=True),
    Case("program stream of H.264 with few times", suffix="vob", options=B_FRAMES, bad=True),
    Case(
        "VP8 with frames for reference only",
        suffix="webm",
        codec="libvpx",
        options={"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"},
    ),
    Case(
        "VP9 with frames for reference only",
        suffix="webm",
        codec="libvpx-vp9",
        options={"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"},
    ),
    Case("fragmented", options=GOP, muxer={"movflags": "+frag_keyframe+empty_moov+default_base_moof"}),
    Case(
        "no duration in the header",
        suffix="webm",
        codec="libvpx",
        options={"deadline": "realtime", "cpu-used": "8"},
        muxer={"live": "1"},
    ),
    Case("header longer than the payload", mend=longer_header),
    Case("one frame", times_s=(Fraction(0),)),
    Case("one pixel", width=1, height=1, pixels="yuv444p"),
    Case(
        "a very long GOP",
        options={"preset": "ultrafast", "x264-params": "keyint=infinite:scenecut=0"},
        times_s=tuple(Fraction(n, RATE) for n in range(500)),
    ),
    Case("blanks and 'quotes' and \"others\""),
    Case("dash", file_name="-i.mp4"),
    Case("not ASCII", file_name="видео-影片-ü.mp4"),
    Case("percent", file_name="50%d of it.mp4"),
    Case("protocol", file_name="http:x.mp4"),
    Case("truncated", options=GOP, muxer=START, mend=cut_off(0.6), bad=True),
    Case("truncated before its index", mend=cut_off(0.6), bad=True),
    Case("truncated matroska", suffix="mkv", options=GOP, mend=cut_off(0.6), lasts_s=Fraction(34, RATE)),
    Case("damaged middle", options=GOP, muxer=START, mend=scratched, bad=True),
    Case("damaged transport stream", suffix="ts", options=GOP, mend=scratched, bad=True),
    Case("mirrored", mend=mirrored, bad=True),
    Case(
        "several recordings in one", suffix="mpg", codec="mpeg1video", options={"bf": "0"}, mend=lambda data: data * 2, bad=True
    ),
    Case("a list of other files", codec="", mend=lambda data: b"ffconcat version 1.0\nfile 'constant rate.mp4'\n", bad=True),
    Case("a playlist", codec="", mend=lambda data: PLAYLIST, bad=True),
    Case("a picture", suffix="png", codec="", mend=lambda data: painted(), bad=True),
    Case("sound only", codec="", file_name="sound only.wav", mend=lambda data: hummed(), bad=True),
    Case("sound in a video's container", codec="", mend=lambda data: recorded(), bad=True),
    Case("zero bytes", codec="", mend=lambda data: b"", bad=True),
    Case("text", codec="", mend=lambda data: b"WEBVTT\n\n00:00.000 --> 00:01.000\nno video\n", bad=True),
    Case("noise", codec="", mend=lambda data: random.Random(2).randbytes(50_000), bad=True),
)


def times_of(case: Case) -> list[Fraction]:
    """At, just before and between the times at which frames come, out of order and some twice; as far as the file goes."""
    shown = case.shown_s
    if len(shown) == 1:
        return [Fraction(0)]
    picked = [shown[n * (len(shown) - 1) // 9] for n in range(10)]
    between = [time + Fraction(1, 70) for time in picked[:-1]]
    before = [time - Fraction(1, 500) for time in picked[1:]]
    return [asked for asked in [*picked[::-1], *between, *before, picked[3]] if case.lasts_s is None or asked < case.lasts_s]
