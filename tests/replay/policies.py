"""A policy whose answers are right as often as it is told: it knows the videos by their frames, and the tasks about them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from dmforge.curation.video.media import Media
from dmforge.curation.workspace import Workspace
from dmforge.generators.engines.contract import Conversation, Sampling, Written
from dmforge.generators.footage import Clip, Shown
from dmforge.generators.renditions import Renditions
from dmforge.schemas.clips import Clips
from dmforge.schemas.grammar import parse
from dmforge.schemas.looks import Look, Window, print_span, read_density, read_span
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import Task, Video
from dmforge.schemas.scoring import choice

Seen = Literal["text", "coarse", "look"]
Rate = Callable[[Task, Seen, Look | None], float]
"""How often a task is answered right, by what is shown of it."""


@dataclass
class Policy:
    """An engine. `tasks` are found by the frames of the coarse clip and the text of the question."""

    tasks: Mapping[tuple[bytes, str], Task]
    rate: Rate
    look: str = "<span>1.00 - 3.00</span><fps>2</fps>"
    """Where it looks when it may choose."""
    rolled: list[tuple[int, Look | None]] = field(default_factory=list[tuple[int, Look | None]])
    """The seed of each row that it wrote, and the look that was forced on it."""
    most: int | None = None
    """It breaks down after so many."""

    def converse(self, rows: Sequence[Sampling]) -> Conversation:
        return _Rows(self, rows)


class BrokenDown(Exception):
    """As a process that is killed, but in the same one."""


@dataclass
class _Rows:
    policy: Policy
    samplings: Sequence[Sampling]
    prompts: dict[int, tuple[Shown, ...]] = field(default_factory=dict[int, tuple[Shown, ...]])

    def go_on(self, added: Mapping[int, Sequence[Shown]], may_look: Collection[int]) -> dict[int, Written]:
        return {number: self._written(number, tuple(shown), number in may_look) for number, shown in added.items()}

    def _written(self, number: int, shown: tuple[Shown, ...], may_look: bool) -> Written:
        fresh = number not in self.prompts
        prompt = self.prompts.setdefault(number, shown)
        words = "".join(one.piece.text or "" for one in shown if one.piece.author == "runtime")
        if fresh and may_look and not words:
            return Written(f"<think>There.{self.policy.look}", (), (), "look")
        look = _look(words or self.policy.look) if not words.endswith("<answer>") else None
        policy = self.policy
        policy.rolled.append((self.samplings[number].seed, look if words else None))
        if policy.most is not None and len(policy.rolled) > policy.most:
            raise BrokenDown
        answer = self._answer(number, prompt, look)
        before = "" if words.endswith("<answer>") else "It shows.</think><answer>"
        return Written(f"{before}{answer}</answer>", (), (), "end")

    def _answer(self, number: int, prompt: Sequence[Shown], look: Look | None) -> str:
        text = next(one.piece.text for one in prompt if one.piece.text and one.piece.author == "prompt")
        clip = next((one.clip for one in prompt if one.clip), None)
        draw = Random(self.samplings[number].seed)
        key = (seen(clip) if clip else b"", text if clip else text.partition("\n")[0])
        task = self.policy.tasks.get(key)
        options = tuple(line.partition(". ")[2] for line in text.split("\n")[1:])
        if task is not None:
            what: Seen = "look" if look else "coarse" if clip else "text"
            if draw.random() < self.policy.rate(task, what, look):
                right = choice(task.answer, task.options)
                return task.answer if right is None else task.options[right]
            options = tuple(option for option in options if option != task.answer)
        return draw.choice(options) if options else "nobody knows"


def _look(words: str) -> Look | None:
    span, fps = words.partition("<span>")[2].partition("</span>"), words.partition("<fps>")[2].partition("</fps>")
    found, density = read_span(span[0]), read_density(fps[0])
    return Look(Window(*found), density) if found and density else None


def seen(clip: Clip) -> bytes:
    """A clip as a name."""
    return clip.frames.tobytes()


def known(workspace: Workspace, clips: Clips, videos: Iterable[Video], tasks: Iterable[Task]) -> dict[tuple[bytes, str], Task]:
    """What a policy knows: each task by its video's frames and its text; those that need no video by their text alone."""
    places = {video.id: Media(workspace, video.id) for video in videos}
    frames = {
        video.id: seen(Renditions(video, clips, places[video.id].coarse, places[video.id].grid).coarse()) for video in videos
    }
    told = {(frames[task.video], question_text(task)): task for task in tasks}
    return told | {(b"", task.question): task for task in tasks}


def text_of(window: Window, fps: int) -> str:
    look = f"<span>{print_span(window)}</span><fps>{fps}</fps>"
    assert parse(f"<think>{look}</think><answer>x</answer>")
    return look
