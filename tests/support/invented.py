"""A chain of any length without videos or a network: invented videos, tasks about them, and a teacher that answers at once.

All but two things is what a corpus goes through: the questions are put by `annotate`, with its limits, accounts, journal and
retries, and what they give is judged, selected and packed. Left out are what cost the same for every question, however many
there are, and are measured elsewhere: decoding frames, and the SDK with its connection. Media are small files of random bytes
that many videos share by hard links.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from pydantic import PositiveInt

from dmforge.curation.contract.budget import Budget
from dmforge.curation.contract.stage import AnyStage, Batch, Root, StageConfig
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.curation.io.atomic import make_folder
from dmforge.curation.lake.journal import Answer
from dmforge.curation.packing.pack import Pack, PackConfig
from dmforge.curation.video.media import Media, Receipt, write_receipt
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.contamination import Contamination, ContaminationConfig
from dmforge.filters.duplicates import Duplicates, DuplicatesConfig
from dmforge.filters.rules.rules import Rules, RulesConfig
from dmforge.filters.selection.select_cot import SelectCot, SelectCotConfig
from dmforge.filters.selection.select_rl import SelectRl, SelectRlConfig
from dmforge.filters.selection.task_sampling import Draw, DrawConfig
from dmforge.generators.stages.annotate import Annotate, AnnotateConfig
from dmforge.generators.teacher.client import Teacher
from dmforge.generators.teacher.frames_sent import FramesSent
from dmforge.generators.teacher.interview import Interview
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.generators.teacher.teacher_request import Messages, TeacherRequest
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import Operational
from dmforge.schemas.ids import Id
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Provenance, Record, Task, Video

TASKS_A_VIDEO = 10
DURATION_CS = 1200
GRID_BYTES, COARSE_BYTES = 6000, 2000
MODELS = 64
"""Files of each kind that all others are links to: a file has at most 65,000 names on some disks."""
JPEG = b"\xff\xd8" + random.Random(1).randbytes(1200) + b"\xff\xd9"
"""Never looked at."""
QUESTION = re.compile(r"^.+\?$", re.MULTILINE)
TOLD = """frames show a small figure that crosses from left to right while lamps behind it go on and off, slowly at first,
then faster, until one stays dark; what it carries is hidden by a post for some time and can be seen again near the end"""
WORDS = TOLD.split()


@dataclass(frozen=True, slots=True)
class Invented(Record):
    """A number: what this chain has instead of a file."""

    kind = "invented"
    table = "invented"

    video: Id
    number: int


class InventConfig(StageConfig):
    """How much is invented."""

    tasks: Operational[PositiveInt]
    """Questions in all."""
    aimed: Operational[bool] = False
    """Each says where and how densely one must look."""


class Invent(Root, Batch[Invented, Video | Provenance | Task]):
    """Numbers to videos, with what lies in media/ for them, and questions."""

    name, version = "invent", 1
    allows_duplicate_rows = True  # not here; but where tasks come from files, so that costs are as there
    config: InventConfig

    def source_version(self, workspace: WorkspaceFolder) -> str:
        return f"{self.config.tasks} tasks"

    def scan(self, workspace: WorkspaceFolder) -> Iterator[Invented]:
        for number in range(self.config.tasks // TASKS_A_VIDEO):
            yield Invented(bytes.fromhex(_sha256(number))[:16], number)

    def open(self, workspace: WorkspaceFolder) -> None:
        self._workspace, self._models = workspace, [_model(workspace, number) for number in range(MODELS)]

    def process(self, items: Iterator[Invented]) -> Iterator[Result]:
        extras = '{"fps": 2}' if self.config.aimed else ""
        for item in items:
            video = Video(
                _sha256(item.number), DURATION_CS, 320, 192, Fraction(12), "h264", 0, GRID_BYTES,
                source="invented", licence="CC0-1.0", source_id=str(item.number),
            )  # fmt: skip
            self._link(video.id, item.number)
            told = Provenance(video.id, "invented", "CC0-1.0", "unknown", "unknown", str(item.number), (), "train")
            yield Made((video, told, *(_task(video.id, item.number, nth, extras) for nth in range(TASKS_A_VIDEO))))

    def _link(self, video: Id, number: int) -> None:
        model, media = self._models[number % MODELS], Media(self._workspace, video)
        media.grid.parent.mkdir(exist_ok=True)
        for old, new in ((model.grid, media.grid), (model.coarse, media.coarse), (model.receipt, media.receipt)):
            if not new.exists():
                os.link(old, new)


def _sha256(number: int) -> str:
    return hashlib.sha256(f"invented video {number}".encode()).hexdigest()


def _model(workspace: WorkspaceFolder, number: int) -> Media:
    media, draw = Media(workspace, hashlib.sha256(f"model {number}".encode()).digest()[:16]), random.Random(number)
    coarse, grid = draw.randbytes(COARSE_BYTES), draw.randbytes(GRID_BYTES)
    make_folder(media.grid.parent)
    media.coarse.write_bytes(coarse)
    media.grid.write_bytes(grid)
    shas = hashlib.sha256(grid).hexdigest(), hashlib.sha256(coarse).hexdigest()
    write_receipt(media, Receipt("00" * 32, *shas, Clips().digest.hex(), "none"))
    return media


def _task(video: Id, number: int, nth: int, extras: str) -> Task:
    question = f"How many lamps are dark when figure {nth} of film {number} is hidden by the post for the second time?"
    answer = _number(question)
    options = () if nth % 2 else tuple(str(answer + more) for more in range(4))
    return Task(
        video, "open" if nth % 2 else "mcq", question, options, str(answer), (Window(100 + 50 * nth, 400 + 50 * nth),), "any",
        source="invented", licence="CC0-1.0", origin=f"invented.jsonl:{TASKS_A_VIDEO * number + nth}", extras=extras,
    )  # fmt: skip


def _number(question: str) -> int:
    return zlib.crc32(question.encode()) % 89 + 10


class Knowing(Teacher):
    """A teacher in this process: it is reached in no time, and answers from the question."""

    async def _send_once(self, request: TeacherRequest, messages: Messages) -> Answer:
        text = request.texts[-1]
        question = QUESTION.findall(text)[-1]
        draw = zlib.crc32(f"{question} {request.attempt} {request.reply.name}".encode())
        thought = " ".join(WORDS[(draw + 7 * at) % len(WORDS)] for at in range(24 + draw % 16))
        if draw % 33 == 0:
            content = '{"thought": "The fra'  # nobody can read it: it is asked again
        elif request.reply.name == "look":
            start_s = 1 + draw % 7
            content = json.dumps({"thought": f"The {thought}.", "start_s": start_s, "end_s": start_s + 3, "fps": 2})
        else:
            answer = str(_number(question)) + (", because one can see that" if draw % 10 == 0 else "")
            content = json.dumps({"thought": f"Here the {thought}.", "answer": answer})
        used = {"prompt_tokens": 900, "completion_tokens": len(content) // 4}
        return {"content": content, "refusal": "", "finish": "stop", "usage": used}


class KnowingInterview(Interview):
    """Questions put to it, with pictures that nobody drew."""

    def __init__(self, workspace: WorkspaceFolder, config: TeacherConfig, clips: Clips, stage: str, account: Budget) -> None:
        super().__init__(workspace, config, clips, stage, account)
        self._teacher = Knowing(config, stage, account)

    def _images(self, video: Video, look: Look | None, sent: FramesSent) -> list[bytes]:
        return [JPEG] * len(sent.positions)


class Taught(Annotate):
    """`annotate` as it is, but for whom it asks."""

    def open(self, workspace: WorkspaceFolder) -> None:
        self.read_granted(workspace)
        config = self.config
        self._teachers = [KnowingInterview(workspace, one, config.clips, self.name, self.account) for one in config.each()]


def sets(tasks: int) -> tuple[AnyStage, ...]:
    """Numbers to tasks, and the stages that see all of these at once."""
    quotas: dict[str, int] = {"*/mcq": tasks // 4}
    return (
        Invent(InventConfig(tasks=tasks, aimed=True)),
        Duplicates(DuplicatesConfig()),
        Draw(DrawConfig(quotas=quotas, held_out=0.1)),
        SelectRl(SelectRlConfig(min_score={"unique": 0.5}, caps={"kind": tasks // 3})),
    )


def drawn(tasks: int) -> tuple[AnyStage, ...]:
    """Numbers to tasks, and the stages that decide which of them are used."""
    quotas: dict[str, int] = {"*/mcq": tasks // 4}
    draw = Draw(DrawConfig(quotas=quotas, held_out=0.1))
    return Invent(InventConfig(tasks=tasks)), Contamination(ContaminationConfig()), draw


def chain(tasks: int) -> tuple[AnyStage, ...]:
    """All stages, from numbers to shards."""
    names = ("grammar", "window", "density", "frames", "length", "language", "answer_form", "silent")
    asked = AnnotateConfig(
        model="knowing", base_url="http://127.0.0.1:9/v1", concurrency=64, requests_per_minute=6e8, tokens_per_minute=6e12
    )
    return (
        Invent(InventConfig(tasks=tasks)),
        Taught(asked),
        Rules(RulesConfig()),
        SelectCot(SelectCotConfig(min_score=dict.fromkeys(names, 1.0))),
        Pack(PackConfig()),
    )
