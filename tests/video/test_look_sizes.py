"""A look at a short, high-resolution video is as large as the overview; whoever reads it is shown the same pixels."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import subprocess
import sys
from base64 import b64decode
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.contract.budget import Budget
from dmforge.curation.shards.folders import MANIFEST, Manifest, write_manifest
from dmforge.curation.shards.index import INDEX
from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.export_clip import cut_look
from dmforge.curation.video.ingest import ensure_renditions
from dmforge.curation.video.jpeg import to_jpeg
from dmforge.curation.video.media import Media, read_receipt
from dmforge.curation.video.probe import probe
from dmforge.curation.video.read_frames import read_coarse, read_grid, read_look
from dmforge.curation.video.timeline import read_timeline
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.rendition_footage import Renditions
from dmforge.generators.synthetic.worlds.rasterize import read_timecode
from dmforge.generators.teacher.clip_messages import print_look_sizes
from dmforge.generators.teacher.interview import Interview, UnreadableReply
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Video
from dmforge.schemas.replies import AnswerReply
from dmforge.schemas.sizes import Size, clip_tokens
from tests.support.barcodes import Case, write
from tests.teachers.endpoint import GOOD, Script, server, status

SHARP = Case("sharp", width=640, height=384)
SOFT = Case("soft", width=128, height=96)
FLOOR = Clips(coarse_tokens=1200, look_frames=12, look_tokens=480, look_size="floor")
"""For the sharp case V0 has 4 frames of 640 x 384, and the densest look 12 of 352 x 224; for the soft one all are whole."""
FIXED = FLOOR.model_copy(update={"look_size": "fixed"})
SPARSE, DENSE = Look(Window(0, 100), Fraction(2)), Look(Window(0, 200), Fraction(6))


def ingested(case: Case, folder: Path, clips: Clips) -> tuple[Media, Video]:
    """The renditions of a case in a workspace, as ingest makes them."""
    timeline = read_timeline(write(case, folder))
    video = probe(timeline).as_video(hashlib.sha256(case.name.encode()).hexdigest(), 1)
    media = Media(WorkspaceFolder(folder / clips.look_size), video.id)
    ensure_renditions(media, timeline, video, clips)
    return media, video


def sha256(frames: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()


def test_sparse_looks_are_as_large_as_the_overview_and_dense_ones_as_before(tmp_path: Path) -> None:
    media, video = ingested(SHARP, tmp_path, FLOOR)
    overview = read_coarse(media.coarse, FLOOR.coarse(video).indices)
    sparse, dense = (read_look(FLOOR, video, look, media.grid) for look in (SPARSE, DENSE))
    assert overview.shape[1:] == sparse.shape[1:] == (384, 640, 3)
    assert dense.shape[1:] == (224, 352, 3)
    assert FIXED.size_of_look(video, 2) == FIXED.size_of_look(video, 12) == Size(352, 224)
    for look, frames in ((SPARSE, sparse), (DENSE, dense)):
        plan, size = FLOOR.shown(video, look)
        assert frames.shape == (len(plan.times_s), size.height, size.width, 3)
        assert [read_timecode(frame) for frame in frames] == [SHARP.on_screen(time_s) for time_s in plan.times_s]


def test_a_look_shows_more_of_the_picture_than_before(tmp_path: Path) -> None:
    now, video = ingested(SHARP, tmp_path, FLOOR)
    before, _ = ingested(SHARP, tmp_path, FIXED)
    plan = FLOOR.look(video, SPARSE)
    truth = PyAV().read(tmp_path / SHARP.path_name, plan.times_s, Size(640, 384)).frames.astype(int)

    def error(frames: Any) -> float:
        rows, columns = truth.shape[1] * np.arange(384) // 384, np.arange(640)
        across, down = columns * frames.shape[2] // 640, rows * frames.shape[1] // 384
        return float(np.abs(frames[:, down][:, :, across].astype(int) - truth).mean())

    shown, shown_before = read_look(FLOOR, video, SPARSE, now.grid), read_look(FIXED, video, SPARSE, before.grid)
    assert error(shown) < error(shown_before) / 2


def test_a_look_as_large_as_the_overview_is_no_farther_from_the_source(tmp_path: Path) -> None:
    media, video = ingested(SHARP, tmp_path, FLOOR)

    def error(frames: Any, times_s: Any, size: Size) -> float:
        truth = PyAV().read(tmp_path / SHARP.path_name, times_s, size).frames
        return float(np.abs(frames.astype(int) - truth).mean())

    overview, plan = FLOOR.coarse(video), FLOOR.look(video, SPARSE)
    size = FLOOR.coarse_size(video)
    error_of_overview = error(read_coarse(media.coarse, overview.indices), overview.times_s, size)
    # 0.97 with the factor of the overview, since its frames lean on one another less
    assert error(read_look(FLOOR, video, SPARSE, media.grid), plan.times_s, size) < 0.95 * error_of_overview


@pytest.mark.parametrize("look", [SPARSE, DENSE], ids=["sparse", "dense"])
def test_teacher_student_and_exports_are_shown_the_same_pixels(look: Look, tmp_path: Path) -> None:
    media, video = ingested(SHARP, tmp_path, FLOOR)
    frames = read_look(FLOOR, video, look, media.grid)
    from_shard = Renditions(video, FLOOR, media.coarse.read_bytes(), media.grid.read_bytes()).look(look)
    assert sha256(from_shard.frames) == sha256(frames)
    assert from_shard.tokens == clip_tokens(len(frames), FLOOR.shown(video, look)[1])
    assert images_sent(media.workspace, video, look) == to_jpeg(frames)
    exported = decoded(cut_look(FLOOR, video, look, media.grid.read_bytes()))
    assert exported.shape == frames.shape
    assert float(np.abs(exported.astype(int) - frames).mean()) < 4  # it is encoded once more
    assert [read_timecode(frame) for frame in exported] == [read_timecode(frame) for frame in frames]


def images_sent(workspace: WorkspaceFolder, video: Video, look: Look) -> list[bytes]:
    """The images that reach a teacher's server."""
    script = Script(status(200, GOOD))

    async def asked(url: str) -> None:
        interview = Interview(workspace, TeacherConfig(model="m", base_url=url), FLOOR, "annotate", Budget())
        with suppress(UnreadableReply):
            await interview.ask(AnswerReply, video, look, "What?", 0)
        await interview.aclose()

    with server(script) as url:
        asyncio.run(asked(url))
    parts = script.asked[0]["messages"][-1]["content"]
    return [b64decode(part["image_url"]["url"].partition(",")[2]) for part in parts if part["type"] == "image_url"]


def decoded(data: bytes) -> Any:
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_the_scaler_gives_the_same_pixels_on_a_cpu_without_vector_instructions(tmp_path: Path) -> None:
    media, video = ingested(SHARP, tmp_path, FLOOR)
    script = """
import ctypes, glob, os, pathlib, sys
import av
(library,) = glob.glob(os.path.join(os.path.dirname(av.__file__), "..", "av.libs", "libavutil*"))
util = ctypes.CDLL(library)
if sys.argv[1] == "plain":
    util.av_force_cpu_flags(0)
print(util.av_get_cpu_flags())
from tests.video.test_look_sizes import DENSE, FLOOR, read_look, sha256
from dmforge.curation.video.probe import probe
from dmforge.curation.video.timeline import read_timeline
video = probe(read_timeline(pathlib.Path(sys.argv[2]))).as_video("00" * 32, 1)
print(sha256(read_look(FLOOR, video, DENSE, open(sys.argv[3], "rb").read())))
"""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script, how, str(tmp_path / SHARP.path_name), str(media.grid)],
            stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parents[2],
        ).stdout.split()
        for how in ("plain", "all")
    ]  # fmt: skip
    (plain_flags, plain), (all_flags, of_all) = outputs
    assert plain_flags == "0" != all_flags
    assert plain == of_all == sha256(read_look(FLOOR, video, DENSE, media.grid))


def test_where_the_overview_is_no_larger_files_and_receipts_are_those_of_before(tmp_path: Path) -> None:
    now, video = ingested(SOFT, tmp_path, FLOOR)
    before, _ = ingested(SOFT, tmp_path, FIXED)
    assert now.grid.read_bytes() == before.grid.read_bytes()
    assert now.coarse.read_bytes() == before.coarse.read_bytes()
    assert read_receipt(now) == read_receipt(before)
    assert FLOOR.for_video(video) == FIXED
    assert FLOOR.digest != FIXED.digest


def test_only_a_video_whose_looks_differ_is_rendered_anew(tmp_path: Path) -> None:
    folder = tmp_path / "ws"
    (tmp_path / "films").mkdir()
    for case in (SHARP, SOFT):
        write(case, tmp_path / "films")
    recipe = 'name = "t"\n[clips]\ncoarse_tokens = 1200\nlook_frames = 12\nlook_tokens = 480\n{}\n[stages.ingest]\n'
    (folder / "inputs").mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe.format(""))
    dmforge("ingest", tmp_path / "films", "-w", folder)
    dmforge("run", "-w", folder)
    before = {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.glob("media/*/*.mp4")}

    (folder / "recipe.toml").write_text(recipe.format('look_size = "floor"'))
    assert "look_size is 'floor' now" in dmforge("plan", "-w", folder, code=2)
    told = dmforge("run", "-w", folder, code=2)
    assert "look_size is 'floor' now" in told
    assert "dmforge upgrade" in told
    planned = json.loads(dmforge("upgrade", "-w", folder, "--dry-run", "--json"))
    assert any("the renditions of 1 of 2 videos anew" in change for change in planned["changes"])
    dmforge("run", "-w", folder, code=2)  # nothing was taken on
    dmforge("upgrade", "-w", folder)
    dmforge("run", "-w", folder)
    after = {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.glob("media/*/*.mp4")}
    changed = [name for name in before if before[name] != after[name]]
    assert before.keys() == after.keys()
    assert len({name.split(".")[0] for name in changed}) == 1
    (grid,) = (name for name in changed if "coarse" not in name)
    assert read_grid(next(folder.glob(f"media/*/{grid}")), [0]).shape == (1, 384, 640, 3)

    (folder / "recipe.toml").write_text(recipe.format(""))  # there is no way back: what was settled then would not be rendered
    assert "other clips: look_size" in dmforge("run", "-w", folder, code=2)
    assert json.loads(dmforge("upgrade", "-w", folder, "--json"))["changes"] == []


def dmforge(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr.replace("\n", " ")


def test_shards_with_larger_looks_have_a_number_that_older_versions_refuse(tmp_path: Path) -> None:
    numbers = []
    for clips in (FIXED, FLOOR):
        folder = tmp_path / clips.look_size
        folder.mkdir()
        write_manifest(folder, Manifest("cot", "s", False, clips.semantic(), (), {INDEX: "0"}))
        numbers.append(json.loads((folder / MANIFEST).read_text())["frames"])
    assert numbers == [1, 2]


@pytest.mark.parametrize(
    ("duration_cs", "width", "height", "sentence"),
    [
        (
            1_000,
            1280,
            720,
            "1280 x 736 pixels; a closer look's are 1280 x 736 with up to 8 frames, 992 x 576 with 16, 672 x 384",
        ),
        (12_000, 1280, 720, ""),
        (1_000, 320, 240, ""),
    ],
)
def test_a_teacher_is_told_how_large_a_look_will_be_where_it_matters(
    duration_cs: int, width: int, height: int, sentence: str
) -> None:
    video = Video("00" * 32, duration_cs, width, height, Fraction(25), "h264", 0, 1)
    told = print_look_sizes(Clips(look_size="floor"), video)
    assert sentence in told
    assert bool(told) == bool(sentence)
    assert print_look_sizes(Clips(), video) == ""
