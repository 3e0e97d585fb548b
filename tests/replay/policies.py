"""A policy whose answers are right at a given rate: it knows videos by their frames, and the tasks about them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from dmforge.curation.video.media import Media
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.footage import PromptPiece, ShownClip
from dmforge.generators.inference.engines.engine import NOWHERE, Conversation, GeneratedText, Sampling
from dmforge.generators.rendition_footage import Renditions
from dmforge.schemas.clips import Clips
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.grammar import parse
from dmforge.schemas.looks import Look, Window, print_span, read_density, read_span
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import Task, Video
from dmforge.schemas.scoring import choice

Seen = Literal["text", "coarse", "look"]
Rate = Callable[[Task, Seen, Look | None], float]
"""The rate of right answers to a task, by what is shown of its video."""


@dataclass
class Policy:
    """An engine. `tasks` are found by the frames of the coarse clip and the text of the question."""

    tasks: Mapping[tuple[bytes, str], Task]
    rate: Rate
    look: str = "<span>1.00 - 3.00</span><fps>2</fps>"
    """The look that it chooses when it may."""
    rollouts: list[tuple[int, Look | None]] = field(default_factory=list[tuple[int, Look | None]])
    """The seed of each row that it wrote, and the look that was forced on it."""
    max_rollouts: int | None = None
    """It breaks down after this many rollouts."""
    rate_of_looks: Callable[[Task, tuple[Look, ...]], float] | None = None
    """The rate of right answers where looks are forced on it one after the other, by all that are shown."""

    dialect: DialectName = "span"

    def converse(self, rows: Sequence[Sampling]) -> Conversation:
        return _Rows(self, rows)


class BrokenDown(Exception):
    """Raised in place of the death of a process."""


@dataclass
class _Rows:
    policy: Policy
    samplings: Sequence[Sampling]
    prompts: dict[int, tuple[PromptPiece, ...]] = field(default_factory=dict[int, tuple[PromptPiece, ...]])
    looks: dict[int, list[Look]] = field(default_factory=dict[int, list[Look]])
    """Those whose clips each row was shown."""

    def step(
        self,
        added: Mapping[int, Sequence[PromptPiece]],
        may_look: Collection[int],
        stop_before: Mapping[int, Sequence[str]] = NOWHERE,
    ) -> dict[int, GeneratedText]:
        return {
            number: self._think(number, tuple(parts), stop_before[number])
            if number in stop_before
            else self._continue(number, tuple(parts), number in may_look)
            for number, parts in added.items()
        }

    def _think(self, number: int, parts: tuple[PromptPiece, ...], stop_before: Sequence[str]) -> GeneratedText:
        """It thinks until it would look, or would answer."""
        self.prompts.setdefault(number, parts)
        self._note_looks(number, parts)
        if "</think>" in stop_before:
            return GeneratedText("Hm." if self.looks[number] else "<think>Hm.", (), (), "tag")
        return self._answer_of_looks(number)

    def _note_looks(self, number: int, parts: Sequence[PromptPiece]) -> None:
        self.looks.setdefault(number, []).extend(part.piece.look for part in parts if part.piece.look)

    def _answer_of_looks(self, number: int) -> GeneratedText:
        self.policy.rollouts.append((self.samplings[number].seed, self.looks[number][0]))
        answer = self._answer(number, self.prompts[number], self.looks[number][0])
        return GeneratedText(f"It shows.</think><answer>{answer}</answer>", (), (), "end")

    def _continue(self, number: int, parts: tuple[PromptPiece, ...], may_look: bool) -> GeneratedText:
        if number in self.looks:  # a window was forced on it
            return GeneratedText("<fps>2</fps>", (), (), "look")
        is_first = number not in self.prompts
        prompt = self.prompts.setdefault(number, parts)
        forced_text = "".join(part.piece.text or "" for part in parts if part.piece.author == "runtime")
        if is_first and may_look and not forced_text:
            return GeneratedText(f"<think>There.{self.policy.look}", (), (), "look")
        look = _look_in(forced_text or self.policy.look) if not forced_text.endswith("<answer>") else None
        policy = self.policy
        policy.rollouts.append((self.samplings[number].seed, look if forced_text else None))
        if policy.max_rollouts is not None and len(policy.rollouts) > policy.max_rollouts:
            raise BrokenDown
        answer = self._answer(number, prompt, look)
        text_before = "" if forced_text.endswith("<answer>") else "It shows.</think><answer>"
        return GeneratedText(f"{text_before}{answer}</answer>", (), (), "end")

    def _answer(self, number: int, prompt: Sequence[PromptPiece], look: Look | None) -> str:
        text = next(part.piece.text for part in prompt if part.piece.text and part.piece.author == "prompt")
        clip = next((part.clip for part in prompt if part.clip), None)
        random = Random(self.samplings[number].seed)
        key = (frame_bytes(clip) if clip else b"", text if clip else text.partition("\n")[0])
        task = self.policy.tasks.get(key)
        options = tuple(line.partition(". ")[2] for line in text.split("\n")[1:])
        if task is not None:
            shown_as: Seen = "look" if look else "coarse" if clip else "text"
            rate_of_looks = self.policy.rate_of_looks if number in self.looks else None
            rate = rate_of_looks(task, (*self.looks[number],)) if rate_of_looks else self.policy.rate(task, shown_as, look)
            if random.random() < rate:
                right_index = choice(task.answer, task.options)
                return task.answer if right_index is None else task.options[right_index]
            options = tuple(option for option in options if option != task.answer)
        return random.choice(options) if options else "nobody knows"


def _look_in(text: str) -> Look | None:
    span, fps = text.partition("<span>")[2].partition("</span>"), text.partition("<fps>")[2].partition("</fps>")
    bounds_cs, density = read_span(span[0]), read_density(fps[0])
    return Look(Window(*bounds_cs), density) if bounds_cs and density else None


def frame_bytes(clip: ShownClip) -> bytes:
    """The bytes of a clip's frames, which identify it."""
    return clip.frames.tobytes()


def known_tasks(
    workspace: WorkspaceFolder, clips: Clips, videos: Iterable[Video], tasks: Iterable[Task]
) -> dict[tuple[bytes, str], Task]:
    """The tasks that a policy knows: each by its video's frames and its text, and by its question alone without a video."""
    media = {video.id: Media(workspace, video.id) for video in videos}
    frames = {
        video.id: frame_bytes(Renditions(video, clips, media[video.id].coarse, media[video.id].grid).coarse())
        for video in videos
    }
    by_frames = {(frames[task.video], question_text(task)): task for task in tasks}
    return by_frames | {(b"", task.question): task for task in tasks}


def text_of(window: Window, fps: int) -> str:
    look = f"<span>{print_span(window)}</span><fps>{fps}</fps>"
    assert parse(f"<think>{look}</think><answer>x</answer>")
    return look
