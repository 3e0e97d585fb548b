"""What is to be said of looks with boxes: clips are cut from renditions, which may have fewer pixels than their videos."""

from __future__ import annotations

from dmforge.commands.readable_recipe import readable_recipe
from dmforge.commands.standing import readers_view
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.readers_view import ReadersView
from dmforge.curation.video.media import kept_clips
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.records import Candidate, Sample, Video


def box_remarks(workspace: WorkspaceFolder) -> list[str]:
    """A line where looks with a box are shown fewer pixels than their videos have there; nothing else."""
    clips = kept_clips(workspace)
    if clips is None:
        return []
    with workspace.reading():
        view = readers_view(Lake(workspace), readable_recipe(workspace))
        looks_by_video = _boxed_looks(view)
        videos = _videos(view, list(looks_by_video))
    grid_size_by_video = {video: clips.grid_size(video) for video in videos}
    smaller = [video for video, size in grid_size_by_video.items() if size.width < video.width and size.height < video.height]
    if not smaller:
        return []
    look_count = sum(looks_by_video[video.id] for video in smaller)
    return [
        f"{look_count} looks with a box are cut from renditions that are smaller than their {len(smaller)} videos: the box is "
        "shown with fewer pixels than its video has there; a workspace whose look_tokens are more has larger ones"
    ]


def _boxed_looks(view: ReadersView) -> dict[bytes, int]:
    """How many looks with a box there are at each video, of candidates and of targets."""
    looks_sql = (
        f"SELECT video, unnest(looks) AS look FROM ({view.rows(Candidate, gated=False).sql}) UNION ALL "
        f"SELECT video, target AS look FROM ({view.rows(Sample, gated=False).sql})"
    )
    # unhashed: it is a remark, and all candidates of a lake are many
    counts = view.unchecked(f"SELECT video, count(*) AS looks FROM ({looks_sql}) WHERE look.box IS NOT NULL GROUP BY video")
    return {row["video"]: row["looks"] for row in counts.to_pylist()}


def _videos(view: ReadersView, ids: list[bytes]) -> list[Video]:
    if not ids:
        return []
    videos_sql = f"SELECT * FROM ({view.rows(Video, gated=False).sql}) WHERE list_contains($ids, id)"
    return list({video.id: video for video in from_arrow(Video, view.unchecked(videos_sql, {"ids": ids}))}.values())
