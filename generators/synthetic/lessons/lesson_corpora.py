"""The corpora of a course about study worlds: both lessons, faultless trajectories, and tasks with their targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from dmforge.curation.packing.drawn_videos import task_sample, trajectory_sample
from dmforge.curation.shards.document import ShardSample
from dmforge.generators.synthetic.lessons.captions import captions, namings
from dmforge.generators.synthetic.lessons.level_thoughts import level_thoughts
from dmforge.generators.synthetic.lessons.thoughts import WorldThoughts, reading
from dmforge.generators.synthetic.lessons.two_place_thoughts import two_place_thoughts
from dmforge.generators.synthetic.lessons.world_packing import SOURCE, pack_texts, pack_worlds, world_task
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.script import Script
from dmforge.generators.synthetic.worlds.two_places import PLACE_KINDS
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.generators.synthetic.worlds.world_questions import questions
from dmforge.schemas.clips import Clips
from dmforge.schemas.grammar import transcribe
from dmforge.schemas.ids import Id
from dmforge.schemas.prompts import prompt
from dmforge.schemas.records import Task

CAPTIONS_A_WORLD = 6
"""Samples with captions of each world."""

Teacher = Callable[[Script, WorldQuestion, Clips], WorldThoughts]
"""What somebody thinks about a question."""


def faultless_thoughts(script: Script, question: WorldQuestion, clips: Clips) -> WorldThoughts:
    """What a teacher thinks who makes no mistake."""
    return (two_place_thoughts if script.looks == 2 else level_thoughts)(script, question, clips)


def pack_captions(folder: Path, worlds: WorldSettings, clips: Clips, *, of_looks: bool = True) -> Path:
    """Captions of single patches, of overviews and of looks, or of overviews alone; with two places half of them are names."""

    def samples_of(script: Script, video_id: Id) -> Sequence[ShardSample]:
        rng = Random(f"captions {script.seed}")
        samples: list[ShardSample] = []
        for attempt in range(CAPTIONS_A_WORLD):
            is_naming = script.looks == 2 and attempt % 2 == 1
            lesson = namings(script, clips, rng) if is_naming else captions(script, clips, rng, of_looks=of_looks)
            task = Task(video_id, "open", lesson.question, (), lesson.answer, (), "any")
            samples.append(trajectory_sample(task, lesson.transcript, SOURCE, attempt))
        return samples

    return pack_worlds(folder, "cot", worlds, clips, samples_of, "" if of_looks else "overviews")


def pack_readings(folder: Path, worlds: WorldSettings, clips: Clips) -> Path:
    """Trajectories without their pictures; of worlds with two places those about both."""

    def samples_of(script: Script, video_id: Id) -> Sequence[ShardSample]:
        return [
            trajectory_sample(
                world_task(question, video_id), reading(question.text, faultless_thoughts(script, question, clips)), SOURCE
            )
            for question in questions(script)
            if question.places in (None, 2)
        ]

    return pack_texts(folder, worlds, clips, samples_of)


def pack_trajectories(folder: Path, worlds: WorldSettings, clips: Clips, teacher: Teacher = faultless_thoughts) -> Path:
    """What a teacher writes about each question; of worlds with two places about the one that needs both, and one other."""

    def samples_of(script: Script, video_id: Id) -> Sequence[ShardSample]:
        # what is hardest comes as often as both others; each kind, asked about the first time and the second, comes with either
        left_out = script.seed // (2 * len(PLACE_KINDS)) % 2
        tasks = [(question, world_task(question, video_id)) for question in questions(script) if question.places != left_out]
        return [
            trajectory_sample(task, transcribe(prompt(task), teacher(script, question, clips).trajectory), SOURCE)
            for question, task in tasks
        ]

    return pack_worlds(folder, "cot", worlds, clips, samples_of)


def pack_tasks(folder: Path, worlds: WorldSettings, clips: Clips) -> Path:
    """Tasks, each with the looks that are right for it."""

    def samples_of(script: Script, video_id: Id) -> Sequence[ShardSample]:
        return [
            task_sample(world_task(question, video_id), faultless_thoughts(script, question, clips).looks)
            for question in questions(script)
        ]

    return pack_worlds(folder, "rl", worlds, clips, samples_of)
