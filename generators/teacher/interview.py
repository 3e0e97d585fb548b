"""Asks one teacher questions with frames: each answer is taken from the journal if it is there, then read as a reply."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from dmforge.curation.contract.budget import Budget, Usage
from dmforge.curation.lake.journal import Answer, Journal
from dmforge.curation.video.jpeg import ENCODING, to_jpeg
from dmforge.curation.video.media import Media
from dmforge.curation.video.read_frames import read_coarse, read_look
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.client import BYTES_A_TOKEN, Part, Teacher, TeacherConfig, TeacherRequest, image_tokens
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


class UnreadableReply(Exception):
    """A reply that can't be used; the message says why, in words that don't vary."""


class Interview:
    """All requests of one stage to one teacher, through the journal."""

    def __init__(self, workspace: WorkspaceFolder, config: TeacherConfig, clips: Clips, stage: str, account: Budget) -> None:
        self.model, self.clips = config.model, clips
        self._workspace, self._config = workspace, config
        self._journal = Journal(workspace, config.model)
        self._teacher = Teacher(config, stage, account)

    async def aclose(self) -> None:
        self._journal.close()
        await self._teacher.aclose()

    async def ask(self, reply_type: type[R], video: Video, look: Look | None, text: str, attempt: int) -> tuple[Id, R]:
        """Ask with the frames of a look, or of the coarse clip, above a text; return the key of the request and the reply."""
        frame_plan, size = self.clips.shown(video, look)

        async def parts() -> list[Part]:
            images = await asyncio.to_thread(self._images, video, look)
            return [*clip_parts(frame_plan, images), text_part(text)]

        content_key = [video.id, frame_plan.content(), [size.width, size.height], ENCODING]
        return await self._ask_once(reply_type, video.id, text, attempt, content_key, parts, images_of(frame_plan), size)

    async def insist(self, reply_type: type[R], video: Video, look: Look | None, text: str, attempts: range) -> tuple[Id, R]:
        """Ask once for each attempt until a reply can be read; raise what was wrong with the last one."""
        return await _first_readable([partial(self.ask, reply_type, video, look, text, attempt) for attempt in attempts])

    async def insist_on_text(self, reply_type: type[R], video: Id, text: str, attempts: range) -> tuple[Id, R]:
        """As `insist`, with a text alone."""
        return await _first_readable([partial(self.ask_text, reply_type, video, text, attempt) for attempt in attempts])

    async def ask_text(self, reply_type: type[R], video: Id, text: str, attempt: int) -> tuple[Id, R]:
        """Ask with a text alone, about a video that is not shown."""

        async def parts() -> list[Part]:
            return [text_part(text)]

        return await self._ask_once(reply_type, video, text, attempt, [video], parts, 0, NO_IMAGES)

    async def _ask_once(
        self,
        reply_type: type[R],
        video: Id,
        text: str,
        attempt: int,
        content_key: Sequence[object],
        parts: Callable[[], Awaitable[list[Part]]],
        image_count: int,
        image_size: Size,
    ) -> tuple[Id, R]:
        system_prompt = instruction(reply_type.name)
        request_parameters = [reply_type.json_schema(), self.model, self._config.temperature, self._config.max_output_tokens]
        request_key = digest("ask", [*request_parameters, system_prompt, text, *content_key, attempt])

        async def ask() -> Answer:
            return await self._teacher.ask(
                TeacherRequest(
                    show("ask", request_key), system_prompt, await parts(), reply_type, attempt, image_count, image_size
                )
            )

        return request_key, await self._read(reply_type, request_key, video, ask)

    async def _read(self, reply_type: type[R], request_key: Id, video: Id, ask: Callable[[], Awaitable[Answer]]) -> R:
        answer = await self._journal.answer(request_key, video, ask)
        if answer.get("refusal"):
            raise UnreadableReply(f"{reply_type.name}: the teacher refused")
        reply_or_fault = read_reply(reply_type, str(answer.get("content", "")))
        if isinstance(reply_or_fault, str):
            raise UnreadableReply(f"{reply_type.name}: {reply_or_fault}")
        return reply_or_fault

    def _images(self, video: Video, look: Look | None) -> list[bytes]:
        media = Media(self._workspace, video.id)
        if look is None:
            return to_jpeg(read_coarse(media.coarse, self.clips.coarse(video).indices))
        return to_jpeg(read_look(self.clips, video, look, media.grid))


async def _first_readable(attempts: Sequence[Callable[[], Awaitable[tuple[Id, R]]]]) -> tuple[Id, R]:
    last_error = UnreadableReply()
    for ask_attempt in attempts:
        try:
            return await ask_attempt()
        except UnreadableReply as error:
            last_error = error
    raise last_error


def expected_usage(
    config: TeacherConfig, clips: Clips, reply_type: type[Reply], video: Video, look: Look | None, text: str
) -> Usage:
    """The estimated usage of a question with frames."""
    frame_plan, size = clips.shown(video, look)
    stamp_text = "".join(map(stamp, patch_times(frame_plan.times_s)))
    text_tokens = len((instruction(reply_type.name) + text + stamp_text).encode()) // BYTES_A_TOKEN
    return Usage(1, text_tokens + image_tokens(config.price, images_of(frame_plan), size), config.reply_tokens)


def expected_blind(config: TeacherConfig, reply_type: type[Reply], text: str) -> Usage:
    """The estimated usage of a question without frames."""
    return Usage(1, len((instruction(reply_type.name) + text).encode()) // BYTES_A_TOKEN, config.reply_tokens)


def announced(look: Look) -> str:
    """The sentence above the frames of a look."""
    return f"You are shown {print_span(look.window)} seconds at {print_density(look.fps)} frames per second."


def print_look_sizes(clips: Clips, video: Video) -> str:
    """A sentence about how large the frames of a look will be; empty where all looks have one size, as in older recipes."""
    if clips.for_video(video).look_size == "fixed":
        return ""
    largest_size, max_look_frames = clips.size_of_look(video, 2), clips.look_frames
    max_frames = max(
        frame_count for frame_count in range(2, max_look_frames + 1) if clips.size_of_look(video, frame_count) == largest_size
    )
    size_phrases = [f"{_print_size(largest_size)} with up to {max_frames} frames"]
    denser_frame_counts = [frame_count for frame_count in (max_look_frames // 4, max_look_frames) if frame_count > max_frames]
    size_phrases += [
        f"{_print_size(clips.size_of_look(video, frame_count))} with {frame_count}" for frame_count in denser_frame_counts
    ]
    return (
        f" Its frames here are {_print_size(clips.coarse_size(video))} pixels; a closer look's are {', '.join(size_phrases)}."
    )


def _print_size(size: Size) -> str:
    return f"{size.width} x {size.height}"


def images_of(frame_plan: FramePlan) -> int:
    """The number of images that a clip is sent as: two under each stamp."""
    return 2 * len(patch_times(frame_plan.times_s))


def clip_parts(frame_plan: FramePlan, images: list[bytes]) -> list[Part]:
    """A clip as parts of a message: two images under each stamp, like a student's patches; an odd last frame stands twice."""
    parts: list[Part] = []
    for patch_index, time_s in enumerate(patch_times(frame_plan.times_s)):
        image_pair = (images[2 * patch_index : 2 * patch_index + 2] * 2)[:2]
        parts += [text_part(stamp(time_s)), *map(_image_part, image_pair)]
    return parts


def text_part(text: str) -> Part:
    return {"type": "text", "text": text}


def _image_part(jpeg: bytes) -> Part:
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"}}
