"""A needle stands in its haystack at exactly the recorded window, whose it is stays known, and no seam gives it away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import comb
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import av
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands import intake, run
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.video.encode_spliced import FrameRun, splice
from dmforge.curation.video.media import Media
from dmforge.curation.video.read_frames import read_grid
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.stages.needles import HIDES, WHOLE, Haystack, Hides, NeedleCandidate, SourceOfVideo, needles_in
from dmforge.generators.stages.splice import COUNTED, FIRST, placements_of
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.worlds.imagine import LEVELS
from dmforge.generators.synthetic.worlds.rasterize import read_timecode
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.recipe import read_recipe
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import base32, show
from dmforge.schemas.looks import Window
from dmforge.schemas.records import Spliced, Task, Video
from dmforge.schemas.sizes import Size
from tests.support.films import shots, write_film

GRID_FPS = 12
RECIPE = """
name = "haystacks"
[stages.ingest]
[stages.segments]
model = "oracle"
fps = 4
longest_s = 15
[stages.questions]
model = "oracle"
[stages.admit]
model = "oracle"
[stages.needles]
per_host = 4
host_s = 20
[stages.absent]
model = "oracle"
[stages.splice]
batch_items = 2
"""


def dmforge(*words: object, code: int = 0) -> Any:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.stderr.replace("\n", " ")


@pytest.fixture(scope="module")
def haystacks(tmp_path_factory: pytest.TempPathFactory) -> WorkspaceFolder:
    """Worlds that an oracle knows, films that it doesn't, and what comes of putting the one into the other."""
    folder = tmp_path_factory.mktemp("haystacks")
    make_worlds(folder / "worlds", WorldSettings(videos=8, knobs=LEVELS[2]))
    (folder / "films").mkdir()
    for number in range(4):
        write_film(folder / f"films/{number}.mp4", shots(number, 10))
    place = WorkspaceFolder(folder / "ws")
    place.inputs.mkdir(parents=True)
    place.recipe.write_text(RECIPE)
    intake.add_videos(place, "test", [str(folder / "worlds/videos")], SourceInfo("worlds", "CC0-1.0", namespace="worlds"))
    intake.add_videos(place, "test", [str(folder / "films")], SourceInfo("films", "CC-BY-4.0", terms="research only"))
    with serving(folder / "worlds", Behaviour()) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", url)
        list(run.run(place, Console(quiet=True), "test"))
    return place


def view_of(place: WorkspaceFolder) -> LakeView:
    return LakeView(Lake(place), read_recipe(place.recipe).stages)


def read(place: WorkspaceFolder, record: Any) -> list[Any]:
    view = view_of(place)
    return from_arrow(record, view.table(view.rows(record, gated=False).sql))


@pytest.mark.slow
def test_needles_are_found_by_their_frames_at_exactly_the_window(haystacks: WorkspaceFolder) -> None:
    parts, videos = read(haystacks, Spliced), {video.id: video for video in read(haystacks, Video)}
    needles = [part for part in parts if part.role == "needle"]
    assert len({part.video for part in needles}) > 6
    for part in needles:
        grid, own = Media(haystacks, part.video).grid, Media(haystacks, part.part).grid
        first, stop = (-(-at * GRID_FPS // 100) for at in (part.window.start_cs, part.window.end_cs))
        last = videos[part.video].duration_cs * GRID_FPS // 100 - 1
        shown = read_grid(grid, range(max(0, first - 1), min(last, stop) + 1))
        codes = [read_timecode(picture) for picture in shown[1:][: stop - first]]
        begins = codes[0]
        assert begins is not None
        assert codes == list(range(begins, begins + stop - first))
        theirs = read_grid(own, range(begins, begins + stop - first))
        assert float(np.abs(shown[1 : 1 + stop - first].astype(int) - theirs).mean()) < 6
        # the frames around it are its host's
        around = [shown[0], *([shown[-1]] if stop <= last else [])]
        for picture, index in zip(around, (max(0, begins - 1), begins + stop - first), strict=False):
            beside = read_grid(own, [min(index, videos[part.part].duration_cs * GRID_FPS // 100 - 1)])[0]
            assert float(np.abs(picture.astype(int) - beside).mean()) > 12


@pytest.mark.slow
def test_tasks_are_about_the_needle(haystacks: WorkspaceFolder) -> None:
    parts, tasks = read(haystacks, Spliced), [task for task in read(haystacks, Task) if task.source == "haystack"]
    by_video = {
        part.video: [other for other in parts if other.video == part.video and other.role == "needle"] for part in parts
    }
    kinds = {FIRST: 0, COUNTED: 0, "": 0}
    for task in tasks:
        windows = sorted((part.window for part in by_video[task.video]), key=lambda window: window.start_cs)
        if task.question == FIRST:
            kinds[FIRST] += 1
            assert list(task.windows) == windows
            assert task.needs == "all"
            assert task.answer in task.options
        elif task.question.startswith(COUNTED.partition("{")[0]):
            kinds[COUNTED] += 1
            assert list(task.windows) == windows
            assert task.answer == str(len(windows))
        else:
            kinds[""] += 1
            (window,) = task.windows
            assert windows[0].start_cs <= window.start_cs < window.end_cs <= windows[0].end_cs
    assert len(tasks) == len(by_video) > 6
    assert all(kinds.values()), kinds


@pytest.mark.slow
def test_a_whole_that_was_taken_down_is_not_made_again_elsewhere(haystacks: WorkspaceFolder, tmp_path: Path) -> None:
    place = WorkspaceFolder(tmp_path / "ws")
    shutil.copytree(haystacks.root, place.root)
    whole = read(place, Spliced)[0].video
    dmforge("forget", show("video", whole), "--reason", "asked to", "-w", place.root)
    shutil.rmtree(place.root / "lake")
    with serving(haystacks.root.parent / "worlds", Behaviour()) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", url)
        list(run.run(place, Console(quiet=True), "test"))
    assert whole not in {part.video for part in read(place, Spliced)}
    assert not list(place.media.glob(f"*/{base32(whole)}*"))


@pytest.mark.slow
def test_footage_of_a_whole_that_was_never_committed_goes_with_its_needle(haystacks: WorkspaceFolder, tmp_path: Path) -> None:
    place = WorkspaceFolder(tmp_path / "ws")
    shutil.copytree(haystacks.root, place.root)
    part = next(part for part in read(place, Spliced) if part.role == "needle")
    shutil.rmtree(place.root / "lake/commits/splice")  # as if a kill had come between rendering and commit
    dmforge("forget", show("video", part.part), "--reason", "asked to", "-w", place.root)
    assert not list(place.media.glob(f"*/{base32(part.video)}*"))


@pytest.mark.slow
def test_held_out_footage_is_in_no_training_whole(haystacks: WorkspaceFolder, tmp_path: Path) -> None:
    place = WorkspaceFolder(tmp_path / "ws")
    shutil.copytree(haystacks.root, place.root)
    place.recipe.write_text(place.recipe.read_text() + "[stages.draw]\nheld_out = 0.5\nseed = 3\n")
    list(run.run(place, Console(quiet=True), "test"))
    split = dict(view_of(place).connection.execute("SELECT DISTINCT video, split FROM drawn").fetchall())
    mixed = 0
    for whole in {part.video for part in read(place, Spliced)}:
        of_parts = {split[part.part] for part in read(place, Spliced) if part.video == whole and part.part in split}
        mixed += len(of_parts) > 1
        assert len(of_parts) < 2 or whole not in split
    assert mixed > 0


@pytest.mark.slow
def test_whose_a_part_is_stays_attached(haystacks: WorkspaceFolder) -> None:
    parts, videos = read(haystacks, Spliced), {video.id: video for video in read(haystacks, Video)}
    for part in parts:
        owner = videos[part.part]
        assert (part.source, part.licence, part.source_id) == (owner.source, owner.licence, owner.source_id)
        assert part.source_id
        whole = videos[part.video]
        assert whole.source == "haystack"
        assert owner.licence in whole.licence.split(" AND ")
    for whole in {part.video for part in parts}:
        those = sorted((part.window for part in parts if part.video == whole), key=lambda window: window.start_cs)
        assert those[0].start_cs == 0
        assert those[-1].end_cs == videos[whole].duration_cs
        assert all(one.end_cs == other.start_cs for one, other in pairwise(those))


@pytest.mark.slow
def test_whoever_takes_a_needle_down_takes_its_haystacks_down_and_no_others(haystacks: WorkspaceFolder, tmp_path: Path) -> None:
    place = WorkspaceFolder(tmp_path / "ws")
    shutil.copytree(haystacks.root, place.root)
    parts = read(place, Spliced)
    needle = next(part.part for part in parts if part.role == "needle")
    gone = {part.video for part in parts if part.part == needle} | {needle}
    removed = dmforge("forget", show("video", needle), "--reason", "asked to", "-w", place.root, "--json")["removed"]
    assert removed["videos"] == len(gone)
    told = b"".join(path.read_bytes() for path in (place.root / "lake/haystacks").glob("*.parquet"))
    assert needle not in told
    assert not [path for video in gone for path in place.media.glob(f"*/{base32(video)}*")]
    with serving(haystacks.root.parent / "worlds", Behaviour()) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", url)
        list(run.run(place, Console(quiet=True), "test"))
    left = read(place, Spliced)
    assert needle not in {part.part for part in left}
    assert {part.video for part in left} >= {part.video for part in parts} - gone


@dataclass(frozen=True, slots=True)
class Encoded:
    """What can be known of a file without looking at its pictures."""

    sizes: tuple[int, ...]
    """Bytes of each frame, as shown."""
    keys: tuple[int, ...]
    """Frames with which GOPs begin."""
    cuts: tuple[int, ...]
    """All cuts of the whole, seams among them."""
    seams: tuple[int, ...]


@pytest.mark.slow
def test_sizes_and_gops_betray_no_seam(tmp_path: Path) -> None:
    """Whoever finds cuts by sizes has found cuts: which of them are seams is chance, whatever else is read from the sizes."""
    encoded = [_encoded(number, tmp_path) for number in range(60)]
    detectors: dict[str, Callable[[Encoded], int]] = {
        "the largest frame": lambda one: max(one.cuts, key=lambda cut: one.sizes[cut]),
        "the largest frame beside its neighbours": lambda one: max(one.cuts, key=lambda cut: _beside(one, cut)),
        "the largest frame between keys": lambda one: max(
            (cut for cut in one.cuts if cut not in one.keys), key=lambda cut: one.sizes[cut], default=one.cuts[0]
        ),
        "a cut on a key": lambda one: next((cut for cut in one.cuts if cut in one.keys), one.cuts[0]),
        "the cut nearest to a key": lambda one: min(one.cuts, key=lambda cut: min(abs(cut - key) for key in one.keys)),
        "before the shot of another size": _odd_shot,
        "where sizes change most": lambda one: max(one.cuts, key=lambda cut: _change(one, cut)),
    }
    for name, detector in detectors.items():
        hits = sum(detector(one) in one.seams for one in encoded)
        assert hits <= _most_by_chance([len(one.seams) / len(one.cuts) for one in encoded]), name
    # and nothing but the pictures decides where GOPs begin: they do each second, seams or not
    assert all(one.keys == tuple(range(0, len(one.sizes), GRID_FPS)) for one in encoded)


def _encoded(number: int, folder: Path) -> Encoded:
    """One needle in a film of many shots, put where they are put."""
    chance = Random(f"seams {number}")
    host, needle = folder / f"host{number}.mp4", folder / f"needle{number}.mp4"
    cuts = write_film(host, shots(number, 8))
    write_film(needle, shots(1000 + number, 1))
    frames = sum(stop - first for _, first, stop in shots(number, 8))
    length = shots(1000 + number, 1)[0]
    haystack = _one_needle(tuple(cuts), length[2] - length[1], chance)
    place = WorkspaceFolder(folder)
    pieces = []
    before = haystack.needles[0].before
    for path, first, stop in (
        (host, 0, before),
        (needle, haystack.needles[0].first, haystack.needles[0].stop),
        (host, before, frames),
    ):
        pieces.append(FrameRun(_At(place, b"", path), first, stop))
    whole = folder / f"whole{number}.mp4"
    splice(pieces, whole, Size(64, 64))
    (laid,) = placements_of(haystack)
    sizes, keys = _sizes(whole)
    seams = (laid.first, laid.stop)
    shifted = [cut if cut <= before else cut + laid.stop - laid.first for cut in cuts if cut != before]
    for path in (host, needle, whole):
        path.unlink()
    return Encoded(sizes, keys, tuple(sorted({*shifted, *seams})), seams)


@dataclass(frozen=True, slots=True)
class _At(Media):
    """A file that is on the grid already, as it stands."""

    path: Path

    @property
    def grid(self) -> Path:
        return self.path


def _one_needle(cuts: tuple[int, ...], frames: int, chance: Random) -> Haystack:
    said = SourceOfVideo("a", "b", "", "c")
    window = Window(0, frames * 100 // GRID_FPS)
    task = Task(b"n" * 16, "open", "q", (), "a", (window,), "any")
    found = NeedleCandidate(task, Window(25, window.end_cs), "w", said, once=True)
    made = needles_in(b"h" * 16, said, cuts, "one", iter([found]), chance)
    assert made is not None
    assert made.needles[0].before in cuts
    return made


def _sizes(path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        told = [(packet.pts, packet.size, packet.is_keyframe) for packet in container.demux(stream) if packet.pts is not None]
        tick = (stream.time_base or Fraction(1, GRID_FPS)) * GRID_FPS
    told.sort()
    return tuple(size for _, size, _ in told), tuple(round(pts * tick) for pts, _, key in told if key)


def _beside(one: Encoded, cut: int) -> float:
    return one.sizes[cut] / median(one.sizes[max(0, cut - 6) : cut + 7])


def _shots(one: Encoded) -> list[tuple[int, float]]:
    """Where each shot but the first begins, and how large its frames usually are."""
    ends = [*one.cuts[1:], len(one.sizes)]
    return [(cut, median(one.sizes[cut + 1 : max(cut + 2, end)])) for cut, end in zip(one.cuts, ends, strict=True)]


def _odd_shot(one: Encoded) -> int:
    usual = median(size for _, size in _shots(one))
    return max(_shots(one), key=lambda shot: abs(shot[1] - usual))[0]


def _change(one: Encoded, cut: int) -> float:
    before, after = median(one.sizes[max(0, cut - 12) : cut]), median(one.sizes[cut + 1 : cut + 13] or one.sizes[-1:])
    return abs(after - before)


def _most_by_chance(shares: Sequence[float]) -> int:
    """So many hits chance has, but for one time in a thousand."""
    share, number = sum(shares) / len(shares), len(shares)
    tail = 0.0
    for hits in range(number, -1, -1):
        tail += comb(number, hits) * share**hits * (1 - share) ** (number - hits)
        if tail > 0.001:
            return hits
    return number


@pytest.mark.parametrize("hides", HIDES)
def test_needles_move_by_whole_centiseconds(hides: Hides) -> None:
    chance, said = Random(hides), SourceOfVideo("a", "b", "", "c")
    windows = [Window(37 * number, 211 + 53 * number) for number in range(6)]
    tasks = [Task(bytes([number]) * 16, "open", "q", (), "a", (window,), "any") for number, window in enumerate(windows)]
    found = [
        NeedleCandidate(task, task.windows[0], f"thing{number} comes", said, once=True) for number, task in enumerate(tasks)
    ]
    for _ in range(50):
        cuts = tuple(sorted(chance.sample(range(20, 700), 8)))
        made = needles_in(b"h" * 16, said, cuts, hides, iter(chance.sample(found, len(found))), chance)
        assert made is not None
        laid = list(placements_of(made))
        assert all((one.first - one.needle.first) % WHOLE == 0 and one.needle.first >= 0 for one in laid)
        assert all(one.stop <= other.first for one, other in pairwise(laid))
        assert len(laid) == {"one": 1, "order": 2}.get(hides, len(laid))
