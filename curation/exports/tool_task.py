"""What a tool needs to know to cut the looks of a rollout elsewhere: the video, its clips, and what would be right."""

from __future__ import annotations

from dmforge.curation.exports.row_format import ClippedSample, Row


def tool_task(clipped: ClippedSample) -> Row:
    """The arguments of the tool of a task, as JSON."""
    video, targets = clipped.video, clipped.sample.target_looks
    return {
        "video": clipped.grid_path,
        "duration_s": video.duration_cs / 100,
        "width": video.width,
        "height": video.height,
        "gold": clipped.sample.gold,
        "windows": [window.bounds_s for window in clipped.sample.windows],
        "target_windows": [look.window.bounds_s for look in targets],
        "target_fps": [float(look.fps) for look in targets],
    }
