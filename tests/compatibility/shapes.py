"""The shape of everything that outlives a version: tables, frames, documents, shards, journal lines, keys.

`python -m tests.compatibility.shapes` adds the shapes of numbers that shapes.json doesn't know yet, and never changes one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from dmforge.curation.engine.rehearsal import RehearsalScore, ScoreConfig
from dmforge.curation.lake.commits import Commit
from dmforge.curation.lake.journal import Journal
from dmforge.curation.lake.parts import Part
from dmforge.curation.lake.video_range import VideoRange
from dmforge.curation.shards.document import ShardSample, video_of, write_document
from dmforge.curation.shards.folders import Manifest
from dmforge.curation.shards.index import SCHEMA
from dmforge.curation.video.media import Receipt
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import STAGES, stage_class
from dmforge.schemas import formats
from dmforge.schemas.clips import Clips
from dmforge.schemas.columns import schema
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.ids import digest
from dmforge.schemas.looks import Box, Look, Window
from dmforge.schemas.records import Outcome, Record, Video, format_of
from dmforge.schemas.transcript import Piece, Transcript

FILE = Path(__file__).with_name("shapes.json")
LOOK = Look(Window(600, 800), Fraction(1, 2))
LIMITED = Look(Window(100, 500), Fraction(2), Box(120, 40, 560, 800), 96)
SHA256 = "5a0bb3aa22fa6e1545d483ce28c8d5426fb6b1444453cd1979db11ba1989cf51"


def shapes() -> dict[str, tuple[int, str]]:
    """The number and the digest of each shape, as this version has it."""
    tables = {record.table: record for name in STAGES for record in (stage_class(name).reads, *stage_class(name).makes)}
    return {
        **{f"table {table}": (format_of(record), _sha256(_of_table(record))) for table, record in sorted(tables.items())},
        "table outcomes": (1, _sha256(schema(Outcome).to_string())),
        "frames": (formats.FRAMES, _sha256([_frames(Clips()), _frames(Clips(look_size="floor"))])),
        "documents": (formats.DOCUMENTS, _sha256([documents_of_format_2(), _document(LIMITED, LOOK).decode()])),
        "shards": (formats.SHARDS, _sha256([SCHEMA.to_string(), [field.name for field in fields(Manifest)]])),
        "journal": (formats.JOURNAL, _sha256(_journal_line())),
        "commits": (
            formats.WORKSPACE,
            _sha256([[field.name for field in fields(kind)] for kind in (Commit, Part, VideoRange)]),
        ),
        "keys": (formats.KEYS, _sha256(_keys())),
    }


def known() -> dict[str, dict[str, str]]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def _of_table(record: type[Record]) -> list[Any]:
    columns = [(f.name, sorted(f.metadata.items())) for f in fields(record)]
    return [record.kind, record.video_column, schema(record).to_string(), columns]


def frames_of_format_1() -> str:
    """The frames of recipes without `look_size`: they are those of the first format for ever."""
    return _sha256(_frames(Clips()))


def _frames(clips: Clips) -> list[Any]:
    """Plans and sizes of overviews and looks, for videos of many lengths and shapes."""
    plans: list[Any] = []
    for duration_cs in (50, 1_000, 1_437, 12_000, 360_007):
        for width, height in ((320, 192), (1280, 720), (3840, 2160), (1080, 1920)):
            video = Video(SHA256, duration_cs, width, height, Fraction(25), "h264", 0, 1)
            plans.append([clips.coarse(video).content(), repr(clips.coarse_size(video)), repr(clips.grid_size(video))])
            for start_cs, end_cs, fps in ((0, 40, 6), (120, 987, 2), (1_000, 9_000, 4), (100, 1_400, 1)):
                try:
                    plan, size = clips.shown(video, Look(Window(start_cs, end_cs), Fraction(fps)))
                    plans += [plan.content(), *([repr(size)] if clips.look_size != "fixed" else [])]
                except NoFrames:
                    plans.append("none")
    return plans


def documents_of_format_1() -> str:
    """A document where no look has a box or a quota: it is that of the first format for ever."""
    return hashlib.sha256(_document(None)).hexdigest()


def documents_of_format_2() -> str:
    """With it a document where a look has a box and a quota, and no target has several looks."""
    return _sha256([documents_of_format_1(), _document(LIMITED).decode()])


def _document(limited: Look | None, *further_targets: Look) -> bytes:
    video = video_of(Video(SHA256, 1_200, 320, 192, Fraction(12), "h264", 0, 1), Receipt(SHA256, "1", "2", "3", "4"))
    look = Look(Window(100, 500), Fraction(2))
    pieces = (Piece("prompt", "<"), Piece("prompt"), Piece("policy", "a"), Piece("runtime", None, look), Piece("policy", "b"))
    sample = ShardSample(
        "sample_x", "cot", "task_x", "mcq", "Which?", ("a", "b"), "a", (Window(100, 500),), "any", "candidate_x", "teacher",
        "teacher", "A", look, "gold", Transcript(pieces), '{"fps": 2}',
    )  # fmt: skip
    sample = replace(sample, target=limited or look, further_targets=further_targets)
    return write_document(video, [sample], with_limits=limited is not None)


def _journal_line() -> str:
    async def written(workspace: WorkspaceFolder) -> None:
        journal = Journal(workspace, "model")

        async def ask() -> dict[str, Any]:
            return {"content": "é", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}

        await journal.answer(digest("ask", 1), digest("video", 1), ask)
        journal.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(written(WorkspaceFolder(Path(folder))))
        (path,) = Path(folder).glob("journal/*/*.jsonl")
        return f"{path.relative_to(folder)}: {path.read_text()}"


def _keys() -> list[Any]:
    content = {"b": [1, 1.5, True, None, "é"], "a": (b"\0" * 16, Fraction(3, 2))}
    return [
        digest("kind", content).hex(),
        RehearsalScore(ScoreConfig(salt="x")).variant.hex(),
        Clips(look_frames=96).digest.hex(),
    ]


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


def main() -> None:
    recorded = known()
    for name, (number, sha256) in shapes().items():
        recorded.setdefault(name, {}).setdefault(str(number), sha256)
    FILE.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
