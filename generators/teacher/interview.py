"""Questions with frames, put to one teacher: answered from the journal if they ever were, read, or said to be unreadable."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from dmforge.curation.accounts import Account, Usage
from dmforge.curation.lake.journal import Answer, Journal
from dmforge.curation.video.images import ENCODING, to_jpeg
from dmforge.curation.video.media import Media
from dmforge.curation.video.read import read_coarse, read_grid
from dmforge.curation.workspace import Workspace
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.client import BYTES_A_TOKEN, Asked, Part, Teacher, TeacherConfig, image_tokens
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import FramePlan
from dmforge.schemas.ids import Id, digest, show
from dmforge.schemas.looks import Look, print_density, print_span
from dmforge.schemas.records import Video
from dmforge.schemas.replies import Reply, read_reply
from dmforge.schemas.sizes import Size
from dmforge.schemas.stamps import patch_times, stamp

R = TypeVar("R", bound=Reply)


NO_IMAGES = Size(0, 0)


class Unreadable(Exception):
    """A reply that can't be used; the message says why, in words that don't vary."""


class Interview:
    """What is asked of one teacher in one stage."""

    def __init__(self, workspace: Workspace, config: TeacherConfig, clips: Clips, stage: str, account: Account) -> None:
        self.model = config.model
        self._workspace, self._config, self._clips = workspace, config, clips
        self._journal = Journal(workspace, config.model)
        self._teacher = Teacher(config, stage, account)

    async def aclose(self) -> None:
        self._journal.close()
        await self._teacher.aclose()

    async def ask(self, kind: type[R], video: Video, look: Look | None, text: str, attempt: int) -> tuple[Id, R]:
        """The reply to a text under the frames of a look, or of the coarse clip; and the key of the question."""
        clips = self._clips
        plan = clips.coarse(video) if look is None else clips.look(video, look)
        size = clips.coarse_size(video) if look is None else clips.look_size(video)

        async def parts() -> list[Part]:
            images = await asyncio.to_thread(self._images, video, plan, look is None)
            return [*clip_parts(plan, images), text_part(text)]

        shown = [video.id, plan.content(), [size.width, size.height], ENCODING]
        return await self._asked(kind, video.id, text, attempt, shown, parts, images_of(plan), size)

    async def insist(self, kind: type[R], video: Video, look: Look | None, text: str, attempts: range) -> tuple[Id, R]:
        """The first reply that can be read; where none can, what was wrong with the last one is raised."""
        return await _first_readable([partial(self.ask, kind, video, look, text, attempt) for attempt in attempts])

    async def insist_on_text(self, kind: type[R], video: Id, text: str, attempts: range) -> tuple[Id, R]:
        """The same of a text alone."""
        return await _first_readable([partial(self.ask_text, kind, video, text, attempt) for attempt in attempts])

    async def ask_text(self, kind: type[R], video: Id, text: str, attempt: int) -> tuple[Id, R]:
        """The reply to a text about a video of which nothing is shown."""

        async def parts() -> list[Part]:
            return [text_part(text)]

        return await self._asked(kind, video, text, attempt, [video], parts, 0, NO_IMAGES)

    async def _asked(
        self,
        kind: type[R],
        video: Id,
        text: str,
        attempt: int,
        shown: Sequence[object],
        parts: Callable[[], Awaitable[list[Part]]],
        images: int,
        size: Size,
    ) -> tuple[Id, R]:
        wanted = instruction(kind.name)
        parameters = [kind.json_schema(), self.model, self._config.temperature, self._config.max_output_tokens]
        key = digest("ask", [*parameters, wanted, text, *shown, attempt])

        async def ask() -> Answer:
            return await self._teacher.ask(Asked(show("ask", key), wanted, await parts(), kind, attempt, images, size))

        return key, await self._read(kind, key, video, ask)

    async def _read(self, kind: type[R], key: Id, video: Id, ask: Callable[[], Awaitable[Answer]]) -> R:
        answer = await self._journal.answer(key, video, ask)
        if answer.get("refusal"):
            raise Unreadable(f"{kind.name}: the teacher refused")
        found = read_reply(kind, str(answer.get("content", "")))
        if isinstance(found, str):
            raise Unreadable(f"{kind.name}: {found}")
        return found

    def _images(self, video: Video, plan: FramePlan, coarse: bool) -> list[bytes]:
        media = Media(self._workspace, video.id)
        return to_jpeg(read_coarse(media.coarse, plan.indices) if coarse else read_grid(media.grid, plan.indices))


async def _first_readable(tries: Sequence[Callable[[], Awaitable[tuple[Id, R]]]]) -> tuple[Id, R]:
    why = Unreadable()
    for one in tries:
        try:
            return await one()
        except Unreadable as error:
            why = error
    raise why


def expected_usage(config: TeacherConfig, clips: Clips, kind: type[Reply], video: Video, look: Look | None, text: str) -> Usage:
    """What such a question should take."""
    plan = clips.coarse(video) if look is None else clips.look(video, look)
    size = clips.coarse_size(video) if look is None else clips.look_size(video)
    stamps = "".join(map(stamp, patch_times(plan.times_s)))
    words = len((instruction(kind.name) + text + stamps).encode()) // BYTES_A_TOKEN
    return Usage(1, words + image_tokens(config.price, images_of(plan), size), config.reply_tokens)


def expected_blind(config: TeacherConfig, kind: type[Reply], text: str) -> Usage:
    """What a question without frames should take."""
    return Usage(1, len((instruction(kind.name) + text).encode()) // BYTES_A_TOKEN, config.reply_tokens)


def announced(look: Look) -> str:
    """What is said above the frames of a look."""
    return f"You are shown {print_span(look.window)} seconds at {print_density(look.fps)} frames per second."


def images_of(plan: FramePlan) -> int:
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
