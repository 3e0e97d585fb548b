"""Reads any file of trajectories or tasks: shards, DynFrame's own files, and the formats of exports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from dmforge.curation.exports.conversation_rows import VIDEO_MARK
from dmforge.curation.io.byte_ranges import read_range
from dmforge.curation.shards.document import ShardSample, read_document
from dmforge.curation.shards.folders import MANIFEST, parse_manifest
from dmforge.curation.shards.stores import selection_place
from dmforge.curation.shards.tars import walk
from dmforge.curation.sources.annotation_files import raw_records
from dmforge.curation.sources.annotation_format import AnnotationFormat, RefusedQuestion
from dmforge.curation.sources.formats import jsonl
from dmforge.curation.sources.task_checks import check
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.looks import MAX_CS, Window, read_density, read_span
from dmforge.schemas.options import read_options
from dmforge.schemas.records import Needs, TaskKind

SUFFIXES = (".tar", ".json", ".jsonl", ".parquet")
HINT = (
    "give a shard (.tar) or a folder of shards; or rows as .json, .jsonl or .parquet: of DM-CoT, of DM-RL, of an export, or of "
    "the import format jsonl"
)
QUERY_LINE = re.compile(r"textual query: (.*)")
STRUCTURE_ERRORS = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)
MAX_DOCUMENT = 256 << 20
KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
NEEDS: tuple[Needs, ...] = get_args(Needs)
ROLES = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "model": "assistant",
}  # fmt: skip
"""The role of a turn, by its names in ShareGPT and OpenAI files."""
T = TypeVar("T")
Turns = Sequence[tuple[str, Any]]
"""The role and the content of each turn of a conversation."""


@dataclass(frozen=True, slots=True)
class WrittenRecord:
    """A record of a file: a trajectory exactly as written there, or a task with a target."""

    record: str
    """The sample's id, or the file and row."""
    prompt: str
    text: str = ""
    """The text of the policy, with marks where clips are shown; empty for a task."""
    kind: TaskKind = "open"
    question: str = ""
    options: tuple[str, ...] = ()
    gold: str = ""
    windows: tuple[Window, ...] = ()
    needs: Needs = "any"
    duration_cs: int | None = None
    clips: Clips = field(default_factory=Clips)
    exchanges: int = 1
    """How many times a user asks; the fields above are of the last one."""
    target: tuple[float, float, float] | None = None
    """Start and end in seconds, and density, of a task's target, unchecked."""
    is_annotation: bool = False
    """Whether it is a question as people bring it, which has no target yet."""
    fault: str = ""
    """Why it is no task, where its reader says so."""

    @property
    def trajectory(self) -> str:
        """The text without marks of clips, as the grammar reads it."""
        return self.text.replace(VIDEO_MARK, "")

    def place(self, offset: int) -> int:
        """The offset in `text`, with its marks, of an offset in `trajectory`."""
        position, marks_length = 0, 0
        while (mark_offset := self.text.find(VIDEO_MARK, position)) >= 0 and mark_offset - marks_length < offset:
            position, marks_length = mark_offset + len(VIDEO_MARK), marks_length + len(VIDEO_MARK)
        return offset + marks_length


def read_written(path: Path) -> Iterator[WrittenRecord]:
    """All records of a file, or of the shards in a folder."""
    path = Path(selection_place(str(path)))
    if path.is_dir():
        shards = sorted(path.glob("*.tar"))
        if not shards:
            raise InputError("there are no shards in this folder", where=str(path), hint=HINT)
        for shard in shards:
            yield from _read_shard(shard)
    elif path.suffix == ".tar":
        yield from _read_shard(path)
    elif path.suffix in SUFFIXES or not path.exists():
        yield from _read_rows(path)
    else:
        raise InputError(f"nothing is known of {path.suffix or 'files without a suffix'}", where=str(path), hint=HINT)


def _read_shard(path: Path) -> Iterator[WrittenRecord]:
    if not path.is_file():  # to open a pipe is to wait for whoever writes to it
        raise InputError("there is no such file", where=str(path), hint=HINT)
    clips = _clips_beside(path)
    try:
        with path.open("rb") as file:
            members = [member for member in walk(file, str(path)) if member.suffix == "json"]
            for member in members:
                if member.size > MAX_DOCUMENT:
                    raise InputError(f"a document of {member.size} bytes", where=f"{path}: {member.key}", hint=HINT)
                document = read_range(file, member.offset, member.size)
                video, samples = read_document(document, f"{path}: {member.key}")
                yield from (_from_sample(sample, video.duration_cs, clips) for sample in samples)
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(path), hint="give a file that can be read") from None


def _clips_beside(path: Path) -> Clips:
    """The clip settings of a shard, from the manifest beside it; the defaults where there is none."""
    manifest = path.with_name(MANIFEST)
    try:
        return Clips.from_semantic(parse_manifest(manifest.read_bytes(), str(manifest)).clips, where=str(manifest))
    except (OSError, DmforgeError):
        return Clips()


def _from_sample(sample: ShardSample, duration_cs: int, clips: Clips) -> WrittenRecord:
    pieces = sample.transcript.pieces
    text = "".join(VIDEO_MARK if piece.text is None else piece.text for piece in pieces if piece.author != "prompt")
    prompt = "".join(piece.text or VIDEO_MARK for piece in pieces if piece.author == "prompt")
    look = sample.target
    target = (float(look.window.start_s), float(look.window.end_s), float(look.fps)) if look and not text else None
    return WrittenRecord(
        sample.id, prompt, text, sample.kind, sample.question, sample.options, sample.gold, sample.windows, sample.needs,
        duration_cs, clips, target=target,
    )  # fmt: skip


def _read_rows(path: Path) -> Iterator[WrittenRecord]:
    layout = "parquet" if path.suffix == ".parquet" else "json"
    rows = raw_records(
        path, AnnotationFormat("records", layout, frozenset(), lambda record, side_file: [], "rows of DM-CoT or DM-RL")
    )
    has_records = False
    for row_number, row in rows:
        try:
            written = _from_row(row, f"{path.name}:{row_number}")
        except STRUCTURE_ERRORS:
            if not has_records:
                message = "its first row is neither a trajectory nor a task"
                raise InputError(message, where=f"{path}:{row_number}", hint=HINT) from None
            written = WrittenRecord(f"{path.name}:{row_number}", "")
        has_records = True
        yield written


def _from_row(row: Mapping[str, Any], record: str) -> WrittenRecord:
    """Parse a row; its keys tell the format."""
    if "pieces" in row:
        return _from_hub(row)
    if "gt_span_start" in row:
        return _from_task(row, record)
    if jsonl.FORMAT.keys <= row.keys():
        return _from_annotation(row, record)
    if "conversations" in row:
        return _from_turns(record, [(turn["from"], turn["value"]) for turn in row["conversations"]])
    if "messages" in row:
        return _from_turns(record, [(turn["role"], turn["content"]) for turn in row["messages"]])
    return _from_trl(row, record)


def _from_turns(record: str, turns: Turns) -> WrittenRecord:
    prompt, response, exchanges = _last_exchange(turns)
    if not response:
        raise ValueError("nobody answers the last question")
    kind, question, options = _parse_prompt(prompt)
    answer = re.search(r"<answer>([^<]*)</answer>", response)
    is_span = answer is not None and read_span(answer[1].strip()) is not None
    return WrittenRecord(
        record, prompt, response, "grounding" if is_span and not options else kind, question, options, exchanges=exchanges
    )


def _from_task(row: Mapping[str, Any], record: str) -> WrittenRecord:
    kind, question, options = _parse_prompt(row["prompt"])
    gold = str(row["answer"])
    target = (float(row["gt_span_start"]), float(row["gt_span_end"]), float(row["fps"]))
    kind = "grounding" if read_span(gold) is not None and not options else kind
    return WrittenRecord(record, _text(row, "prompt"), "", kind, question, options, gold, target=target)


def _from_annotation(row: Mapping[str, Any], record: str) -> WrittenRecord:
    """A question in our own format, as an import would take it in."""
    (question,) = jsonl.questions(dict(row), {})
    checked = question if isinstance(question, RefusedQuestion) else check(question)
    if isinstance(checked, RefusedQuestion):
        return WrittenRecord(record, str(row["question"]), is_annotation=True, fault=checked.reason)
    return WrittenRecord(
        record, row["question"], "", checked.kind, checked.question, checked.options, checked.answer, checked.windows,
        checked.needs, is_annotation=True,
    )  # fmt: skip


def _from_trl(row: Mapping[str, Any], record: str) -> WrittenRecord:
    turns = [(turn["role"], turn["content"]) for turn in (*row["prompt"], *row.get("completion", ()))]
    prompt, response, exchanges = _last_exchange(turns)
    options = _texts(row, "options")
    _, question, prompt_options = _parse_prompt(prompt)
    if prompt_options and not options:  # it says itself that there are none
        question = _without_marks(prompt)
    windows = tuple(_window(start, end) for start, end in row["windows"])
    target = None
    if row["target_window"] and not response:
        start_s, end_s = map(float, row["target_window"])
        target = (start_s, end_s, float(row["target_fps"]))
    kind: TaskKind = _choice(row, "kind", KINDS)
    gold = _text(row, "solution")
    return WrittenRecord(record, prompt, response, kind, question, options, gold, windows, target=target, exchanges=exchanges)


def _from_hub(row: Mapping[str, Any]) -> WrittenRecord:
    texts = [(piece["author"] == "prompt", piece["text"] if piece["kind"] == "text" else VIDEO_MARK) for piece in row["pieces"]]
    prompt, response = ("".join(text for of_prompt, text in texts if of_prompt == from_prompt) for from_prompt in (True, False))
    bounds, fps = read_span(row["target_window"]), read_density(row["target_fps"])
    target = (bounds[0] / 100, bounds[1] / 100, float(fps)) if bounds and fps and not response else None
    windows = tuple(_window(start, end) for start, end in row["windows"])
    return WrittenRecord(
        _text(row, "id"), prompt, response, _choice(row, "kind", KINDS), _text(row, "question"), _texts(row, "options"),
        _text(row, "gold"), windows, _choice(row, "needs", NEEDS), _duration_cs(row), target=target,
    )  # fmt: skip


def _text(row: Mapping[str, Any], name: str) -> str:
    """A text field of a foreign row; another type is refused here, before a rule fails over it."""
    value = row[name]
    if not isinstance(value, str):
        raise ValueError(f"{name}: {value!r} is no text")
    return value


def _texts(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = row[name]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):  # pyright: ignore[reportUnknownVariableType]
        raise ValueError(f"{name}: {values!r} is no list of texts")
    return tuple(values)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _choice(row: Mapping[str, Any], name: str, allowed: tuple[T, ...]) -> T:
    for value in allowed:
        if row[name] == value:
            return value
    raise ValueError(f"{name}: {row[name]!r} is none of {', '.join(map(str, allowed))}")


def _duration_cs(row: Mapping[str, Any]) -> int:
    duration_s = row["duration_s"]
    if isinstance(duration_s, bool) or not isinstance(duration_s, (int, float)) or not 0 <= duration_s * 100 <= MAX_CS:
        raise ValueError(f"duration_s: {duration_s!r} is no length of a video")
    return round(duration_s * 100)


def _last_exchange(turns: Turns) -> tuple[str, str, int]:
    """The last user's turn, the assistant's answer to it, and the number of user's turns; system turns are skipped."""
    messages = [(ROLES[role], _content(content)) for role, content in turns]
    user_indices = [index for index, (role, _) in enumerate(messages) if role == "user"]
    response = "".join(text for role, text in messages[user_indices[-1] + 1 :] if role == "assistant")
    return messages[user_indices[-1]][1], response, len(user_indices)


def _content(content: Any) -> str:
    """The text of a turn's content, which is a string or a list of parts."""
    parts: list[Any] = [content] if isinstance(content, str) else content
    return "".join(part if isinstance(part, str) else VIDEO_MARK if part["type"] == "video" else part["text"] for part in parts)


def _parse_prompt(prompt: str) -> tuple[TaskKind, str, tuple[str, ...]]:
    """Parse a prompt into kind, question and options: a query to be located, or a question with its options below."""
    query = QUERY_LINE.search(prompt)
    if query:
        return "grounding", query[1], ()
    choices = read_options(_without_marks(prompt))
    return "mcq" if choices.options else "open", choices.question, choices.options


def _without_marks(prompt: str) -> str:
    return prompt.replace(VIDEO_MARK, "").strip()


def _window(start_s: float, end_s: float) -> Window:
    return Window(round(start_s * 100), round(end_s * 100))
