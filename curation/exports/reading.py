"""Any file of trajectories or tasks, read back as it is written: shards, DynFrame's own files, what is exported to others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from dmforge.curation.exports.words import VIDEO
from dmforge.curation.shards.document import ShardSample, read_document
from dmforge.curation.shards.folders import MANIFEST, parse_manifest
from dmforge.curation.shards.tars import walk
from dmforge.curation.sources.contract import Format
from dmforge.curation.sources.files import raw_records
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.looks import MAX_CS, Window, read_density, read_span
from dmforge.schemas.options import read_options
from dmforge.schemas.records import Needs, TaskKind

SUFFIXES = (".tar", ".json", ".jsonl", ".parquet")
MEND = (
    "give a shard (.tar) or a folder of shards; or DM-CoT or DM-RL rows as .json, .jsonl or .parquet, like those of an export"
)
QUERY = re.compile(r"textual query: (.*)")
STRUCTURE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)
MAX_DOCUMENT = 256 << 20
KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
NEEDS: tuple[Needs, ...] = get_args(Needs)
ROLES = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "model": "assistant",
}  # fmt: skip
"""Whose turn it is, as ShareGPT and OpenAI call them."""
Of = TypeVar("Of")
Turns = Sequence[tuple[str, Any]]
"""Who says what."""


@dataclass(frozen=True, slots=True)
class Written:
    """A record of a file: a trajectory as it stands there, or a task with a target where it has none."""

    record: str
    """The sample's id, or the row."""
    prompt: str
    text: str = ""
    """What the policy wrote, with marks where clips are shown; empty for a task."""
    kind: TaskKind = "open"
    question: str = ""
    options: tuple[str, ...] = ()
    gold: str = ""
    windows: tuple[Window, ...] = ()
    needs: Needs = "any"
    duration_cs: int | None = None
    clips: Clips = field(default_factory=Clips)
    exchanges: int = 1
    """How often a user asks in it; what stands above is of the last time."""
    target: tuple[float, float, float] | None = None
    """Start and end in seconds, and density, of a task: whatever numbers stand there."""

    @property
    def trajectory(self) -> str:
        """The text without the marks of clips: what the grammar reads."""
        return self.text.replace(VIDEO, "")

    def place(self, offset: int) -> int:
        """Where in the text as it stands what the trajectory has at this offset."""
        at, passed = 0, 0
        while (mark := self.text.find(VIDEO, at)) >= 0 and mark - passed < offset:
            at, passed = mark + len(VIDEO), passed + len(VIDEO)
        return offset + passed


def read_written(path: Path) -> Iterator[Written]:
    """Every record of a file, or of the shards in a folder."""
    if path.is_dir():
        shards = sorted(path.glob("*.tar"))
        if not shards:
            raise InputError("there are no shards in this folder", where=str(path), mend=MEND)
        for shard in shards:
            yield from _of_shard(shard)
    elif path.suffix == ".tar":
        yield from _of_shard(path)
    elif path.suffix in SUFFIXES or not path.exists():
        yield from _of_rows(path)
    else:
        raise InputError(f"nothing is known of {path.suffix or 'files without a suffix'}", where=str(path), mend=MEND)


def _of_shard(path: Path) -> Iterator[Written]:
    if not path.is_file():  # to open a pipe is to wait for whoever writes to it
        raise InputError("there is no such file", where=str(path), mend=MEND)
    clips = _clips_beside(path)
    try:
        with path.open("rb") as file:
            members = [member for member in walk(file, str(path)) if member.suffix == "json"]
            for member in members:
                if member.size > MAX_DOCUMENT:
                    raise InputError(f"a document of {member.size} bytes", where=f"{path}: {member.key}", mend=MEND)
                file.seek(member.offset)
                video, samples = read_document(file.read(member.size), f"{path}: {member.key}")
                yield from (_of_sample(sample, video.duration_cs, clips) for sample in samples)
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(path), mend="give a file that can be read") from None


def _clips_beside(path: Path) -> Clips:
    """How the frames of a shard were cut: its manifest says so, if it lies beside it."""
    manifest = path.with_name(MANIFEST)
    try:
        return Clips.from_semantic(parse_manifest(manifest.read_bytes(), str(manifest)).clips, where=str(manifest))
    except (OSError, DmforgeError):
        return Clips()


def _of_sample(sample: ShardSample, duration_cs: int, clips: Clips) -> Written:
    pieces = sample.transcript.pieces
    text = "".join(VIDEO if piece.text is None else piece.text for piece in pieces if piece.author != "prompt")
    prompt = "".join(piece.text or VIDEO for piece in pieces if piece.author == "prompt")
    look = sample.target
    target = (float(look.window.start_s), float(look.window.end_s), float(look.fps)) if look and not text else None
    return Written(
        sample.id, prompt, text, sample.kind, sample.question, sample.options, sample.gold, sample.windows, sample.needs,
        duration_cs, clips, target=target,
    )  # fmt: skip


def _of_rows(path: Path) -> Iterator[Written]:
    layout = "parquet" if path.suffix == ".parquet" else "json"
    rows = raw_records(path, Format("records", layout, frozenset(), lambda record, beside: [], "rows of DM-CoT or DM-RL"))
    known = False
    for number, row in rows:
        try:
            written = _of_row(row, f"{path.name}:{number}")
        except STRUCTURE:
            if not known:
                told = "its first row is neither a trajectory nor a task"
                raise InputError(told, where=f"{path}:{number}", mend=MEND) from None
            written = Written(f"{path.name}:{number}", "")
        known = True
        yield written


def _of_row(row: Mapping[str, Any], record: str) -> Written:
    """By the keys that each kind of file has."""
    if "pieces" in row:
        return _of_hub(row)
    if "gt_span_start" in row:
        return _of_task(row, record)
    if "conversations" in row:
        return _of_turns(record, [(turn["from"], turn["value"]) for turn in row["conversations"]])
    if "messages" in row:
        return _of_turns(record, [(turn["role"], turn["content"]) for turn in row["messages"]])
    return _of_trl(row, record)


def _of_turns(record: str, turns: Turns) -> Written:
    asked, said, exchanges = _exchange(turns)
    if not said:
        raise ValueError("nobody answers the last question")
    kind, question, options = _asked(asked)
    found = re.search(r"<answer>([^<]*)</answer>", said)
    is_span = found is not None and read_span(found[1].strip()) is not None
    return Written(
        record, asked, said, "grounding" if is_span and not options else kind, question, options, exchanges=exchanges
    )


def _of_task(row: Mapping[str, Any], record: str) -> Written:
    kind, question, options = _asked(row["prompt"])
    gold = str(row["answer"])
    target = (float(row["gt_span_start"]), float(row["gt_span_end"]), float(row["fps"]))
    kind = "grounding" if read_span(gold) is not None and not options else kind
    return Written(record, _text(row, "prompt"), "", kind, question, options, gold, target=target)


def _of_trl(row: Mapping[str, Any], record: str) -> Written:
    turns = [(turn["role"], turn["content"]) for turn in (*row["prompt"], *row.get("completion", ()))]
    asked, said, exchanges = _exchange(turns)
    options = _texts(row, "options")
    _, question, carried = _asked(asked)
    if carried and not options:  # it says itself that there are none
        question = _unmarked(asked)
    windows = tuple(_window(start, end) for start, end in row["windows"])
    target = None
    if row["target_window"] and not said:
        start_s, end_s = map(float, row["target_window"])
        target = (start_s, end_s, float(row["target_fps"]))
    kind: TaskKind = _one_of(row, "kind", KINDS)
    gold = _text(row, "solution")
    return Written(record, asked, said, kind, question, options, gold, windows, target=target, exchanges=exchanges)


def _of_hub(row: Mapping[str, Any]) -> Written:
    texts = [(piece["author"] == "prompt", piece["text"] if piece["kind"] == "text" else VIDEO) for piece in row["pieces"]]
    asked, said = ("".join(text for of_prompt, text in texts if of_prompt == which) for which in (True, False))
    bounds, fps = read_span(row["target_window"]), read_density(row["target_fps"])
    target = (bounds[0] / 100, bounds[1] / 100, float(fps)) if bounds and fps and not said else None
    windows = tuple(_window(start, end) for start, end in row["windows"])
    return Written(
        _text(row, "id"), asked, said, _one_of(row, "kind", KINDS), _text(row, "question"), _texts(row, "options"),
        _text(row, "gold"), windows, _one_of(row, "needs", NEEDS), _duration_cs(row), target=target,
    )  # fmt: skip


def _text(row: Mapping[str, Any], name: str) -> str:
    """A field of a foreign row, where a number or a list would only fail later, in a rule that reads it."""
    value = row[name]
    if not isinstance(value, str):
        raise ValueError(f"{name}: {value!r} is no text")
    return value


def _texts(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = row[name]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):  # pyright: ignore[reportUnknownVariableType]
        raise ValueError(f"{name}: {values!r} is no list of texts")
    return tuple(values)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _one_of(row: Mapping[str, Any], name: str, allowed: tuple[Of, ...]) -> Of:
    for value in allowed:
        if row[name] == value:
            return value
    raise ValueError(f"{name}: {row[name]!r} is none of {', '.join(map(str, allowed))}")


def _duration_cs(row: Mapping[str, Any]) -> int:
    duration_s = row["duration_s"]
    if isinstance(duration_s, bool) or not isinstance(duration_s, (int, float)) or not 0 <= duration_s * 100 <= MAX_CS:
        raise ValueError(f"duration_s: {duration_s!r} is no length of a video")
    return round(duration_s * 100)


def _exchange(turns: Turns) -> tuple[str, str, int]:
    """What the last user's turn asks and the assistant answers to it, and how often users ask: systems only set the scene."""
    told = [(ROLES[role], _content(content)) for role, content in turns]
    asked = [at for at, (role, _) in enumerate(told) if role == "user"]
    said = "".join(text for role, text in told[asked[-1] + 1 :] if role == "assistant")
    return told[asked[-1]][1], said, len(asked)


def _content(content: Any) -> str:
    """The content of a turn, which is text or a list of parts."""
    parts: list[Any] = [content] if isinstance(content, str) else content
    return "".join(part if isinstance(part, str) else VIDEO if part["type"] == "video" else part["text"] for part in parts)


def _asked(prompt: str) -> tuple[TaskKind, str, tuple[str, ...]]:
    """What a prompt asks: a query to be found, or a question with its options below."""
    found = QUERY.search(prompt)
    if found:
        return "grounding", found[1], ()
    choices = read_options(_unmarked(prompt))
    return "mcq" if choices.options else "open", choices.question, choices.options


def _unmarked(prompt: str) -> str:
    return prompt.replace(VIDEO, "").strip()


def _window(start_s: float, end_s: float) -> Window:
    return Window(round(start_s * 100), round(end_s * 100))
