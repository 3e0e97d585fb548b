"""Reads any file of trajectories or tasks: shards, DynFrame's own files, and the formats of exports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from dmforge.curation.exports.conversation_rows import VIDEO_MARK
from dmforge.curation.exports.written_targets import TargetNumbers, hub_targets, sample_targets, trl_targets
from dmforge.curation.io.byte_ranges import read_range
from dmforge.curation.shards.document import ShardSample, ShardVideo, read_document
from dmforge.curation.shards.folders import MANIFEST, parse_manifest
from dmforge.curation.shards.stores import selection_place
from dmforge.curation.shards.tars import walk
from dmforge.curation.sources.annotation_files import raw_records
from dmforge.curation.sources.annotation_format import AnnotationFormat, RefusedQuestion
from dmforge.curation.sources.formats import jsonl
from dmforge.curation.sources.published_turns import dialect_of_turn, is_asking, joined, turns_of
from dmforge.curation.sources.task_checks import check
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.looks import MAX_CS, Window, read_span
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
    "system": "system", "tool": "tool", "observation": "tool", "function": "tool",
    "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "model": "assistant",
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
    targets: tuple[TargetNumbers, ...] = ()
    """The looks of a task's target, unchecked."""
    is_annotation: bool = False
    """Whether it is a question as people bring it, which has no target yet."""
    fault: str = ""
    """Why it is no task, where its reader says so."""
    video: str = ""
    """The name of its video, where the file says one."""

    @property
    def trajectory(self) -> str:
        """The text without marks of clips, as the grammar reads it."""
        return self.text.replace(VIDEO_MARK, "")

    def place(self, trajectory_offset: int) -> int:
        """The offset in `text`, with its marks, of an offset in `trajectory`."""
        search_position, marks_length = 0, 0
        while (
            mark_offset := self.text.find(VIDEO_MARK, search_position)
        ) >= 0 and mark_offset - marks_length < trajectory_offset:
            search_position, marks_length = mark_offset + len(VIDEO_MARK), marks_length + len(VIDEO_MARK)
        return trajectory_offset + marks_length


def read_written(path: Path) -> Iterator[WrittenRecord]:
    """All records of a file, or of the shards in a folder."""
    path = Path(selection_place(str(path)))
    if path.is_dir():
        shards = sorted(path.glob("*.tar"))
        if not shards:
            raise InputError("there are no shards in this folder", where=str(path), hint=HINT)
        for shard_path in shards:
            yield from _read_shard(shard_path)
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
            document_members = [tar_member for tar_member in walk(file, str(path)) if tar_member.suffix == "json"]
            for tar_member in document_members:
                if tar_member.size > MAX_DOCUMENT:
                    raise InputError(f"a document of {tar_member.size} bytes", where=f"{path}: {tar_member.key}", hint=HINT)
                document_bytes = read_range(file, tar_member.offset, tar_member.size)
                shard_video, samples = read_document(document_bytes, f"{path}: {tar_member.key}")
                yield from (_from_sample(sample, shard_video, clips) for sample in samples)
    except OSError as error:
        raise InputError(error.strerror or str(error), where=str(path), hint="give a file that can be read") from None


def _clips_beside(path: Path) -> Clips:
    """The clip settings of a shard, from the manifest beside it; the defaults where there is none."""
    manifest = path.with_name(MANIFEST)
    try:
        return Clips.from_semantic(parse_manifest(manifest.read_bytes(), str(manifest)).clips, where=str(manifest))
    except (OSError, DmforgeError):
        return Clips()


def _from_sample(sample: ShardSample, video: ShardVideo, clips: Clips) -> WrittenRecord:
    pieces = sample.transcript.pieces
    marked_text = "".join(VIDEO_MARK if piece.text is None else piece.text for piece in pieces if piece.author != "prompt")
    prompt_text = "".join(piece.text or VIDEO_MARK for piece in pieces if piece.author == "prompt")
    return WrittenRecord(
        sample.id, prompt_text, marked_text, sample.kind, sample.question, sample.options, sample.gold,
        sample.windows, sample.needs, video.duration_cs, clips, targets=() if marked_text else sample_targets(sample),
        video=video.source_id or video.video,
    )  # fmt: skip


def _read_rows(path: Path) -> Iterator[WrittenRecord]:
    row_layout = "parquet" if path.suffix == ".parquet" else "json"
    rows = raw_records(
        path, AnnotationFormat("records", row_layout, frozenset(), lambda record, side_file: [], "rows of DM-CoT or DM-RL")
    )
    has_records = False
    for row_number, row in rows:
        written_record = read_row(row, f"{path.name}:{row_number}")
        if written_record is None:
            if not has_records:
                message = "its first row is neither a trajectory nor a task"
                raise InputError(message, where=f"{path}:{row_number}", hint=HINT)
            written_record = WrittenRecord(f"{path.name}:{row_number}", "")
        has_records = True
        yield written_record


def read_row(row: Mapping[str, Any], record_name: str) -> WrittenRecord | None:
    """The trajectory or the task that a row is; None where it is neither."""
    try:
        return _from_row(row, record_name)
    except STRUCTURE_ERRORS:
        return None


def _from_row(row: Mapping[str, Any], record_name: str) -> WrittenRecord:
    """Parse a row; its keys tell the format."""
    if "pieces" in row:
        return _from_hub(row)
    if "gt_span_start" in row:
        return _from_task(row, record_name)
    if jsonl.FORMAT.keys <= row.keys():
        return _from_annotation(row, record_name)
    if "conversations" in row:
        return _from_turns(record_name, [(turn["from"], turn["value"]) for turn in row["conversations"]])
    if "messages" in row:
        return _from_turns(record_name, [_turn_with_calls(turn) for turn in row["messages"]])
    return _from_trl(row, record_name)


def _from_turns(record_name: str, turns: Turns) -> WrittenRecord:
    prompt, response, exchange_count = _last_exchange(turns)
    if not response:
        raise ValueError("nobody answers the last question")
    task_kind, question, options = _parse_prompt(prompt)
    answer_match = re.search(r"<answer>([^<]*)</answer>", response)
    is_span = answer_match is not None and read_span(answer_match[1].strip()) is not None
    return WrittenRecord(
        record_name,
        prompt,
        response,
        "grounding" if is_span and not options else task_kind,
        question,
        options,
        exchanges=exchange_count,
    )


def _from_task(row: Mapping[str, Any], record_name: str) -> WrittenRecord:
    task_kind, question, options = _parse_prompt(row["prompt"])
    gold_answer = str(row["answer"])
    target_numbers = (float(row["gt_span_start"]), float(row["gt_span_end"]), float(row["fps"]))
    task_kind = "grounding" if read_span(gold_answer) is not None and not options else task_kind
    return WrittenRecord(
        record_name, _text(row, "prompt"), "", task_kind, question, options, gold_answer, targets=(target_numbers,)
    )


def _from_annotation(row: Mapping[str, Any], record_name: str) -> WrittenRecord:
    """A question in our own format, as an import would take it in."""
    (imported_question,) = jsonl.questions(dict(row), {})
    checked_task = imported_question if isinstance(imported_question, RefusedQuestion) else check(imported_question)
    if isinstance(checked_task, RefusedQuestion):
        return WrittenRecord(record_name, str(row["question"]), is_annotation=True, fault=checked_task.reason)
    return WrittenRecord(
        record_name, row["question"], "", checked_task.kind, checked_task.question, checked_task.options, checked_task.answer,
        checked_task.windows, checked_task.needs, is_annotation=True,
    )  # fmt: skip


def _from_trl(row: Mapping[str, Any], record_name: str) -> WrittenRecord:
    turns = [_turn_with_calls(turn) for turn in (*row["prompt"], *row.get("completion", ()))]
    prompt, response, exchange_count = _last_exchange(turns)
    options = _texts(row, "options")
    _, question, prompt_options = _parse_prompt(prompt)
    if prompt_options and not options:  # it says itself that there are none
        question = _without_marks(prompt)
    windows = tuple(_window(start, end) for start, end in row["windows"])
    target_numbers = trl_targets(row["target_window"], row["target_fps"]) if row["target_window"] and not response else ()
    task_kind: TaskKind = _choice(row, "kind", KINDS)
    gold_answer = _text(row, "solution")
    return WrittenRecord(
        record_name,
        prompt,
        response,
        task_kind,
        question,
        options,
        gold_answer,
        windows,
        targets=target_numbers,
        exchanges=exchange_count,
    )


def _from_hub(row: Mapping[str, Any]) -> WrittenRecord:
    piece_texts = [
        (piece["author"] == "prompt", piece["text"] if piece["kind"] == "text" else VIDEO_MARK) for piece in row["pieces"]
    ]
    prompt, response = (
        "".join(piece_text for is_of_prompt, piece_text in piece_texts if is_of_prompt == wants_prompt)
        for wants_prompt in (True, False)
    )
    target_numbers = () if response else hub_targets(_text(row, "target_window"), _text(row, "target_fps"))
    windows = tuple(_window(start, end) for start, end in row["windows"])
    return WrittenRecord(
        _text(row, "id"), prompt, response, _choice(row, "kind", KINDS), _text(row, "question"), _texts(row, "options"),
        _text(row, "gold"), windows, _choice(row, "needs", NEEDS), _duration_cs(row), targets=target_numbers,
        video=_text(row, "video") if "video" in row else "",
    )  # fmt: skip


def _text(row: Mapping[str, Any], field_name: str) -> str:
    """A text field of a foreign row; another type is refused here, before a rule fails over it."""
    cell_value = row[field_name]
    if not isinstance(cell_value, str):
        raise ValueError(f"{field_name}: {cell_value!r} is no text")
    return cell_value


def _texts(row: Mapping[str, Any], field_name: str) -> tuple[str, ...]:
    cell_values = row[field_name]
    if not isinstance(cell_values, list) or not all(isinstance(cell_value, str) for cell_value in cell_values):  # pyright: ignore[reportUnknownVariableType]
        raise ValueError(f"{field_name}: {cell_values!r} is no list of texts")
    return tuple(cell_values)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _choice(row: Mapping[str, Any], field_name: str, allowed: tuple[T, ...]) -> T:
    for allowed_value in allowed:
        if row[field_name] == allowed_value:
            return allowed_value
    raise ValueError(f"{field_name}: {row[field_name]!r} is none of {', '.join(map(str, allowed))}")


def _duration_cs(row: Mapping[str, Any]) -> int:
    duration_s = row["duration_s"]
    if isinstance(duration_s, bool) or not isinstance(duration_s, (int, float)) or not 0 <= duration_s * 100 <= MAX_CS:
        raise ValueError(f"duration_s: {duration_s!r} is no length of a video")
    return round(duration_s * 100)


def _last_exchange(turns: Turns) -> tuple[str, str, int]:
    """The last user's turn, the assistant's answer to it, and the number of user's turns; system turns are skipped, and what
    answers a look."""
    role_and_text = [(ROLES[role], _content(content)) for role, content in turns]
    user_indices = [
        index
        for index, (role, _) in enumerate(role_and_text)
        if role == "user"
        and not (index and role_and_text[index - 1][0] == "assistant" and is_asking(role_and_text[index - 1][1]))
    ]
    replies = [reply for role, reply in role_and_text[user_indices[-1] + 1 :] if role == "assistant"]
    reply_turns = [turn for reply in replies for turn in turns_of({"content": reply}, "content")]
    response = joined(reply_turns, VIDEO_MARK) if any(map(dialect_of_turn, reply_turns)) else "".join(replies)
    return role_and_text[user_indices[-1]][1], response, len(user_indices)


def _turn_with_calls(turn: Mapping[str, Any]) -> tuple[str, Any]:
    """Role and content of a turn; calls that stand in a field of their own are put behind its content."""
    if not turn.get("tool_calls"):
        return turn["role"], turn["content"]
    return turn["role"], "".join(turns_of({**turn, "content": _content(turn["content"] or "")}, "content"))


def _content(content: Any) -> str:
    """The text of a turn's content, which is a string or a list of parts."""
    content_parts: list[Any] = [content] if isinstance(content, str) else content
    return "".join(
        content_part
        if isinstance(content_part, str)
        else VIDEO_MARK
        if content_part["type"] in ("video", "video_url")
        else content_part["text"]
        for content_part in content_parts
    )


def _parse_prompt(prompt: str) -> tuple[TaskKind, str, tuple[str, ...]]:
    """Parse a prompt into kind, question and options: a query to be located, or a question with its options below."""
    query_match = QUERY_LINE.search(prompt)
    if query_match:
        return "grounding", query_match[1], ()
    choices = read_options(_without_marks(prompt))
    return "mcq" if choices.options else "open", choices.question, choices.options


def _without_marks(prompt: str) -> str:
    return prompt.replace(VIDEO_MARK, "").strip()


def _window(start_s: float, end_s: float) -> Window:
    return Window(round(start_s * 100), round(end_s * 100))
