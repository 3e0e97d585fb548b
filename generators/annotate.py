"""Tasks become candidates: a teacher looks at the coarse clip and says where to look closer; then it sees that, and answers.

The gold answer is in neither call, and the second one shows the closer clip alone: what it says must stand on that.
"""

from __future__ import annotations

import asyncio
import base64
import json
from fractions import Fraction
from typing import TypeVar

from pydantic import Field, PositiveInt

from dmforge.curation.accounts import Expected, Usage
from dmforge.curation.lake.journal import Answer, Journal
from dmforge.curation.settled import Made, Quarantined, Rejected, Result
from dmforge.curation.stage import Ask
from dmforge.curation.video.images import ENCODING, to_jpeg
from dmforge.curation.video.media import Media, require_clips
from dmforge.curation.video.read import read_coarse, read_grid
from dmforge.curation.workspace import Workspace
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.client import BYTES_A_TOKEN, Asked, Part, Teacher, TeacherConfig, image_tokens
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import FramePlan, NoFrames
from dmforge.schemas.grammar import assemble
from dmforge.schemas.ids import Id, digest, show
from dmforge.schemas.looks import Look, Window, print_density, print_seconds, print_span
from dmforge.schemas.prompts import prompt, question_text
from dmforge.schemas.records import Candidate, Shown, Task, Video
from dmforge.schemas.replies import AnswerReply, LookReply, Reply, read_reply
from dmforge.schemas.sizes import Size
from dmforge.schemas.stamps import patch_times, stamp

R = TypeVar("R", bound=Reply)


class AnnotateConfig(TeacherConfig):
    """How candidates are made."""

    clips: Clips = Field(default_factory=Clips)
    """Which frames the teacher is shown: those that the student will see."""
    attempts: PositiveInt = 3
    """How often a task is put to the teacher until both replies can be read."""


GUESSED_CS, GUESSED_FPS = 400, Fraction(3)
"""What a plan takes a look to be, where only the teacher can say."""


class Unreadable(Exception):
    """A reply that can't be used; the message says why, in words that don't vary."""


class Annotate(Ask[Shown, Candidate]):
    """Tasks to candidates, two questions each."""

    name, version = "annotate", 1
    config: AnnotateConfig

    def ingredients(self) -> list[str]:
        return [text for kind in (LookReply, AnswerReply) for text in (instruction(kind.name), json.dumps(kind.json_schema()))]

    def begin(self, workspace: Workspace) -> None:
        require_clips(workspace, self.config.clips)

    def open(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._journal = Journal(workspace, self.config.model)
        self._teacher = Teacher(self.config, self.name, self.account)

    def close(self) -> None:
        self._journal.close()

    def expected(self, item: Shown) -> Expected | None:
        """Both calls, from the frames that will be shown; of the second one the window is guessed."""
        video, clips, price = item.video, self.config.clips, self.config.price
        if video is None:
            return None
        window = item.task.windows[0] if item.task.windows else Window(0, min(video.duration_cs, GUESSED_CS))
        shown = ((LookReply, clips.coarse(video), clips.coarse_size(video)),
                 (AnswerReply, clips.look(video, Look(window, GUESSED_FPS)), clips.look_size(video)))  # fmt: skip
        used = Usage()
        for kind, plan, size in shown:
            stamps = "".join(map(stamp, patch_times(plan.times_s)))
            text = len((instruction(kind.name) + question_text(item.task) + stamps).encode()) // BYTES_A_TOKEN
            used += Usage(1, text + image_tokens(price, _shown(plan), size), self.config.reply_tokens)
        return Expected(used, price.usd(used))

    async def process(self, item: Shown) -> Result:
        if item.video is None:
            return Quarantined("no video", "the task's video is not in the lake")
        why = ""
        for attempt in range(self.config.attempts):
            try:
                return Made((await self._candidate(item.task, item.video, attempt),))
            except Unreadable as error:
                why = str(error)
        return Rejected("no readable reply", why)

    async def _candidate(self, task: Task, video: Video, attempt: int) -> Candidate:
        question = question_text(task)
        clips = self.config.clips
        plan = clips.coarse(video)
        text = f"The video lasts {print_seconds(video.duration_cs)} seconds.\n\n{question}"
        first, where = await self._reply(LookReply, video, plan, clips.coarse_size(video), text, attempt)
        look = where.look()
        if look is None:
            raise Unreadable("look: the window is empty")
        try:
            plan = clips.look(video, look)
        except NoFrames:
            raise Unreadable("look: the window begins after the end") from None
        second, what = await self._reply(
            AnswerReply, video, plan, clips.look_size(video), f"{announced(look)}\n\n{question}", attempt
        )
        transcript = assemble(prompt(task), (where.thought, what.thought), (look,), what.answer)
        return Candidate(
            video.id, task.id, attempt, self.config.model, transcript, (look,), what.answer, "teacher", (first, second)
        )

    async def _reply(self, kind: type[R], video: Video, plan: FramePlan, size: Size, text: str, attempt: int) -> tuple[Id, R]:
        """The key of the question, and what was replied."""
        wanted = instruction(kind.name)
        asked = [
            kind.json_schema(),
            self.config.model,
            self.config.temperature,
            self.config.max_output_tokens,
            wanted,
            text,
            video.id,
            plan.content(),
            [size.width, size.height],
        ]
        key = digest("ask", [*asked, ENCODING, attempt])

        async def ask() -> Answer:
            images = await asyncio.to_thread(self._images, kind, video, plan)
            parts = [*clip_parts(plan, images), text_part(text)]
            return await self._teacher.ask(Asked(show("ask", key), wanted, parts, kind, attempt, _shown(plan), size))

        answer = await self._journal.answer(key, video.id, ask)
        if answer.get("refusal"):
            raise Unreadable(f"{kind.name}: the teacher refused")
        found = read_reply(kind, str(answer.get("content", "")))
        if isinstance(found, str):
            raise Unreadable(f"{kind.name}: {found}")
        return key, found

    def _images(self, kind: type[Reply], video: Video, plan: FramePlan) -> list[bytes]:
        media = Media(self._workspace, video.id)
        if kind is LookReply:
            return to_jpeg(read_coarse(media.coarse, plan.indices))
        return to_jpeg(read_grid(media.grid, plan.indices))


def announced(look: Look) -> str:
    return f"You are shown {print_span(look.window)} seconds at {print_density(look.fps)} frames per second."


def _shown(plan: FramePlan) -> int:
    """Images of a clip: two under each stamp."""
    return 2 * len(patch_times(plan.times_s))


def clip_parts(plan: FramePlan, images: list[bytes]) -> list[Part]:
    """Two images under each stamp, as the student's patches have them: an odd last frame stands twice."""
    parts: list[Part] = []
    for number, time_s in enumerate(patch_times(plan.times_s)):
        pair = (images[2 * number : 2 * number + 2] * 2)[:2]
        parts += [text_part(stamp(time_s)), *map(_image_part, pair)]
    return parts


def text_part(text: str) -> Part:
    return {"type": "text", "text": text}


def _image_part(jpeg: bytes) -> Part:
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"}}
