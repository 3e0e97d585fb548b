"""A sample as a card in a notebook: the question, the frames that the model is shown, what it writes, and the target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

from dmforge.curation.shards.document import ShardSample, ShardVideo
from dmforge.curation.video.decoders import Frames
from dmforge.curation.video.read_frames import read_coarse, read_grid
from dmforge.curation.video.thumbnails import evenly, strip_html
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import FramePlan
from dmforge.schemas.looks import Look, print_density, print_limits, print_span
from dmforge.schemas.prompts import lettered
from dmforge.schemas.transcript import Piece
from dmforge.schemas.visible import escaped

MAX_PICTURES = 12
"""Frames of a clip that a card shows; they are taken evenly."""
MAX_TEXT_CHARS = 8_000
"""Characters of a text that a card shows."""


def card_html(sample: ShardSample, video: ShardVideo, coarse_bytes: bytes, grid_bytes: bytes, clips: Clips) -> str:
    """The card as HTML; nothing in foreign text is markup."""
    video_record = video.as_record()

    def piece_html(piece: Piece) -> str:
        if piece.text is not None:
            return _text(piece.text) if piece.author != "prompt" else ""
        if piece.look is None:
            return _clip(lambda indices: read_coarse(coarse_bytes, indices), clips.coarse(video_record), "overview")
        frame_plan = clips.look(video_record, piece.look)
        box = piece.look.box
        return _clip(lambda indices: read_grid(grid_bytes, indices, box), frame_plan, f"look at {_look(piece.look)}")

    html_lines = [f"<b>{escape(escaped(sample.question))}</b>", *map(_text, lettered(sample.options))]
    html_lines += map(piece_html, sample.transcript.pieces)
    html_lines.append(f"<small>{'<br>'.join(escape(escaped(fact_line)) for fact_line in _facts(sample, video))}</small>")
    return f'<div style="max-width: 60em">{"".join(f"<div>{html_line}</div>" for html_line in html_lines if html_line)}</div>'


def _facts(sample: ShardSample, video: ShardVideo) -> Iterator[str]:
    if sample.gold:
        yield f"right answer: {sample.gold}"
    yield from (f"window: {print_span(window)} s" for window in sample.windows)
    yield from (f"target: {_look(target_look)}" for target_look in sample.target_looks)
    yield f"{sample.id} of {video.video}, {video.duration_cs / 100:.2f} s"


def _clip(read_frames: Callable[[Sequence[int]], Frames], frame_plan: FramePlan, clip_name: str) -> str:
    """Some frames of a clip, in the order of their times."""
    frame_numbers = evenly(len(frame_plan.indices), MAX_PICTURES)
    shown_frames = read_frames([frame_plan.indices[frame_number] for frame_number in frame_numbers])
    count_text = (
        f"{len(frame_numbers)} of {len(frame_plan.indices)} frames"
        if len(frame_numbers) < len(frame_plan.indices)
        else f"{len(frame_numbers)} frames"
    )
    times_s = [frame_plan.times_s[frame_number] for frame_number in frame_numbers]
    return f"<small>{clip_name}: {count_text}</small><br>{strip_html(shown_frames, times_s)}"


def _look(look: Look) -> str:
    return f"{print_span(look.window)} s, {print_density(look.fps)} fps{print_limits(look)}"


def _text(text: str) -> str:
    return f'<span style="white-space: pre-wrap">{escape(escaped(text[:MAX_TEXT_CHARS]))}</span>'
