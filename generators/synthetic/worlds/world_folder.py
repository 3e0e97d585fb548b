"""Folders of worlds: videos, an annotation file like people's own, and the truth that only oracles and tests may read.

    videos/world-000000.mp4    what a camera would have brought
    tasks.jsonl                one task a line, in the shape that `import jsonl` reads
    truth.jsonl                the settings, then for each video its seed, and for each question what it takes to answer it

The same settings give the same bytes, so a folder that was cut short is simply made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from dmforge.curation.io.atomic import write_bytes
from dmforge.curation.output_paths import output_folder
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.imagine import MAX_DURATION_S, MIN_DURATION_S, WorldKnobs, imagine, study
from dmforge.generators.synthetic.worlds.measure import MeasuredQuestion, measure
from dmforge.generators.synthetic.worlds.render import render
from dmforge.generators.synthetic.worlds.script import Script
from dmforge.generators.synthetic.worlds.two_places import TWO_PLACES_S, gap_cs, has_long_gap, imagine_two_places
from dmforge.generators.synthetic.worlds.world_questions import questions
from dmforge.schemas.config import Config, Later, parse_config
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import print_density
from dmforge.schemas.sizes import CELL

UNDER_WAY = ".worlds"
"""A file that stands in a folder while worlds are made in it."""
SEEDS_APART = 10_000_000
SOURCE, LICENCE = "dmforge-worlds", "CC0-1.0"


class WorldSettings(Config):
    """The settings that determine a folder of worlds."""

    version: Literal[1] = 1
    """Raised when the same settings give other worlds."""
    videos: PositiveInt
    """How many worlds."""
    seed: NonNegativeInt = 0
    """Another seed gives other worlds."""
    knobs: WorldKnobs = Field(default_factory=WorldKnobs)
    """How hard they are."""
    study: bool = False
    """Worlds that a tiny student can learn from in minutes: seen from near, and asked about is how it flickers. Their tasks say
    how densely one must look."""
    looks: Later[Literal[1, 2]] = 1
    """2: study worlds whose object stands at two times, with questions that need a look at both, at one and at none. They last
    20 s or longer; `returns` and `causes` add nothing to them."""
    duration_s: int = Field(default=MIN_DURATION_S, ge=MIN_DURATION_S, le=MAX_DURATION_S)
    """How long each is: room for three stays, and no more than the timecode can count."""
    longest_s: int = Field(default=0, ge=0, le=MAX_DURATION_S)
    """0: all last as long. Else their seeds decide how long, up to this."""
    width: int = Field(default=64, ge=2 * CELL, multiple_of=CELL)
    """Pixels, whole cells."""
    height: int = Field(default=64, ge=2 * CELL, multiple_of=CELL)
    """Pixels, whole cells."""

    @model_validator(mode="before")
    @classmethod
    def _last_longer_with_two_places(cls, values: object) -> object:
        if isinstance(values, Mapping) and values.get("looks") == 2:
            return {"duration_s": TWO_PLACES_S, **values}
        return values

    @model_validator(mode="after")
    def _check_two_places(self) -> Self:
        if self.looks == 1:
            return self
        if not self.study:
            raise InputError("looks = 2 is for study worlds only", where="looks", hint="add --study (study = true)")
        for setting_name, seconds in (("duration_s", self.duration_s), ("longest_s", self.longest_s or TWO_PLACES_S)):
            if seconds < TWO_PLACES_S:
                raise InputError(
                    f"{setting_name} = {seconds} has no room for two looks",
                    where=setting_name,
                    hint=f"give {TWO_PLACES_S} or more, or looks = 1",
                )
        return self

    def script(self, world_index: int) -> Script:
        world_seed, duration_s = self.seed * SEEDS_APART + world_index, self.duration_s
        if self.longest_s > duration_s:
            duration_s = Random(f"length {world_seed}").randint(duration_s, self.longest_s)
        if self.looks == 2:
            return imagine_two_places(world_seed, self.knobs, duration_s)
        script = imagine(world_seed, self.knobs, duration_s)
        return study(script) if self.study else script


@dataclass(frozen=True, slots=True)
class World:
    """One rendered world."""

    index: int
    script: Script
    questions: tuple[WorldQuestion, ...]
    measured: tuple[MeasuredQuestion, ...]
    file: bytes

    @property
    def name(self) -> str:
        return file_name(self.index)

    def tasks(self) -> Iterator[dict[str, Any]]:
        """The lines of this world in tasks.jsonl."""
        for question, measured_question in zip(self.questions, self.measured, strict=True):
            task_windows = question.windows if question.kind != "mcq" else ()
            windows_s = [[window.start_cs / 100, window.end_cs / 100] for window in task_windows]
            fps_field = (
                {"fps": float(measured_question.lowest_fps)} if self.script.is_study and measured_question.lowest_fps else {}
            )
            # windows say where the object is; that no look at them is needed, nothing else says
            needs_no_look = {"needed_looks": 0} if question.places == 0 else {}
            yield {
                "video": self.name, "kind": question.kind, "question": question.text, "options": list(question.options),
                "answer": question.answer, "windows": windows_s, "needs": question.needs, **fps_field, **needs_no_look,
            }  # fmt: skip

    def truth(self) -> dict[str, Any]:
        """The line of this world in truth.jsonl."""
        question_entries = [
            {
                "kind": question.kind, "question": question.text, "answer": question.answer,
                "windows": [[window.start_cs / 100, window.end_cs / 100] for window in question.windows],
                "lowest_fps": _density_text(measured_question.lowest_fps), "from_coarse": measured_question.from_coarse,
                "from_text": question.from_text, **_two_place_fields(measured_question),
            }
            for question, measured_question in zip(self.questions, self.measured, strict=True)
        ]  # fmt: skip
        return {
            "video": self.name,
            "sha256": sha256(self.file).hexdigest(),
            "seed": self.script.seed,
            **_gap_fields(self.script),
            "questions": question_entries,
        }


def file_name(world_index: int) -> str:
    """The file name of a world's video."""
    return f"world-{world_index:06d}.mp4"


def make_worlds(folder: Path, settings: WorldSettings) -> None:
    """Make a folder of worlds; one that holds the same worlds already is left alone."""
    output_folder(folder, "dmforge worlds")
    if _is_complete(folder, settings):
        return
    is_ours = (folder / "truth.jsonl").exists() or (folder / UNDER_WAY).exists()
    if not is_ours and folder.is_dir() and any(folder.iterdir()):
        raise InputError("the folder holds something else than worlds", where=str(folder), hint="give an empty one")
    # an old truth must not describe new worlds, and an unfinished folder must be recognisable
    _write_lines(folder / UNDER_WAY, [])
    (folder / "truth.jsonl").unlink(missing_ok=True)
    truth_lines = [
        settings.model_dump_json(exclude={"looks"} if settings.looks == 1 else None)
    ]  # as it was before there were 2
    task_lines: list[str] = []
    last_name = ""
    for world in _render_all(settings):
        write_bytes(folder / "videos" / world.name, world.file)
        task_lines += map(json.dumps, world.tasks())
        last_name = world.name
        truth_lines.append(json.dumps(world.truth()))
    for video_path in (folder / "videos").glob("world-[0-9][0-9][0-9][0-9][0-9][0-9].mp4"):
        if video_path.name > last_name:
            video_path.unlink()
    _write_lines(folder / "tasks.jsonl", task_lines)
    _write_lines(folder / "truth.jsonl", truth_lines)
    (folder / UNDER_WAY).unlink()


def read_settings(folder: Path) -> WorldSettings:
    """The settings that a folder was made with."""
    truth_path = folder / "truth.jsonl"
    try:
        with truth_path.open(encoding="utf-8") as truth_lines:
            settings_line = json.loads(truth_lines.readline())
    except (OSError, ValueError) as error:
        raise InputError(
            f"the folder holds no worlds: {error}", where=str(truth_path), hint="make some: dmforge worlds DIR"
        ) from None
    return parse_config(WorldSettings, settings_line, where=str(truth_path))


def _is_complete(folder: Path, settings: WorldSettings) -> bool:
    if not (folder / "truth.jsonl").exists() or read_settings(folder) != settings:
        return False
    return (folder / "tasks.jsonl").exists() and all(_is_intact(folder, truth_line) for truth_line in _truth(folder))


def _truth(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(truth_line) for truth_line in (folder / "truth.jsonl").read_text("utf-8").splitlines()[1:]]


def _is_intact(folder: Path, truth_line: dict[str, Any]) -> bool:
    video_path = folder / "videos" / truth_line["video"]
    return video_path.is_file() and sha256(video_path.read_bytes()).hexdigest() == truth_line["sha256"]


def _render_all(settings: WorldSettings) -> Iterator[World]:
    core_count = len(os.sched_getaffinity(0))
    make_one_world = partial(_make_world, settings)
    if settings.videos < 2 * core_count:
        yield from map(make_one_world, range(settings.videos))
        return
    with ProcessPoolExecutor(core_count, get_context("forkserver")) as pool:
        yield from pool.map(make_one_world, range(settings.videos), chunksize=8)


def _make_world(settings: WorldSettings, world_index: int) -> World:
    script = settings.script(world_index)
    video_bytes = render(script, settings.width, settings.height)
    asked_questions = questions(script)
    return World(world_index, script, asked_questions, measure(script, asked_questions, video_bytes), video_bytes)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_bytes(path, "".join(json_line + "\n" for json_line in lines).encode("ascii"))


def _two_place_fields(measured_question: MeasuredQuestion) -> dict[str, Any]:
    if measured_question.places is None:
        return {}
    return {"places": measured_question.places, "look_fps": [_density_text(fps) for fps in measured_question.look_fps]}


def _gap_fields(script: Script) -> dict[str, Any]:
    """How far both stays lie apart, in worlds with two places."""
    if script.looks == 1:
        return {}
    return {"gap_s": gap_cs(script) / 100, "gap": "long" if has_long_gap(script) else "short"}


def _density_text(fps: Fraction | None) -> str | None:
    return None if fps is None else print_density(fps)
