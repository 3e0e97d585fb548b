"""Every parser that meets bytes of others: valid examples of what it reads, and how it is called.

Each says what it may refuse with. Whatever else comes out is a finding.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from chaos.hostile_teachers import RESPONSES, USAGES, read_as_response, read_over_http, read_usage
from dmforge.curation.exports.read_back import read_written
from dmforge.curation.io.toml import parse_toml
from dmforge.curation.lake import journal, journal_table
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import read_document
from dmforge.curation.shards.folders import MANIFEST, parse_manifest
from dmforge.curation.shards.index import INDEX, SampleLocations, read_rows
from dmforge.curation.shards.integrity import verify
from dmforge.curation.shards.tars import BadShard, walk
from dmforge.curation.sources.annotation_format import RefusedQuestion
from dmforge.curation.sources.annotation_reader import read_questions
from dmforge.curation.sources.formats import FORMATS
from dmforge.curation.sources.reviews import reviews_of
from dmforge.curation.sources.task_checks import check
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.rules.lint import lint
from dmforge.generators.teacher.rate_limits import read_hint
from dmforge.recipe import RECIPES, read_recipe
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.known_dialects import DIALECTS
from dmforge.schemas.errors import InputError, LakeError
from dmforge.schemas.grammar import Trajectory, parse, render
from dmforge.schemas.ids import digest, show
from dmforge.schemas.looks import Box, Look, Window, read_density, read_span
from dmforge.schemas.replies import REPLIES
from dmforge.schemas.reply_reader import read_reply
from tests.sources.test_formats import FIXTURES
from tests.support.corpora import corpus

REFUSALS = (InputError, LakeError, BadShard)
TRAJECTORY = b"<think>Let me look.<span>12.00 - 20.00</span><fps>2</fps>It turns.</think>\n<answer>B</answer>"
BOXED = TRAJECTORY.replace(b"<fps>", b"<box>120 40 560 800</box><fps>")


@dataclass(frozen=True)
class Parser:
    """One of them."""

    name: str
    examples: tuple[bytes, ...]
    read: Callable[[bytes, Path], object]
    """Reads some bytes; the folder is for those that want a file."""
    allowed: tuple[type[Exception], ...] = REFUSALS


def parsers(folder: Path) -> list[Parser]:
    """All of them; what examples need is made in the folder."""
    return [*_texts(), *_annotations(), *_shards(folder), *_rows(), *_workspace()]


def _texts() -> list[Parser]:
    spans = tuple(
        text.encode() for text in ("12.00 - 20.00", "0.00 - 0.01", "9999999.99 - 1.00", "2", "0.5", "1/3", "24000/1001")
    )
    hint = {"error": {"code": 429, "details": [{"@type": "x.RetryInfo", "retryDelay": "37s"}, {"@type": "y.QuotaFailure",
            "violations": [{"quotaId": "PerDay"}]}]}}  # fmt: skip
    replies = tuple(json.dumps(reply).encode() for reply in _replies())
    return [
        Parser("grammar", (TRAJECTORY, BOXED, b"<think>no look</think><answer>A</answer>"), _grammar, ()),
        *(Parser(f"dialect {dialect.name}", _written(dialect), _in_dialect(dialect), ()) for dialect in DIALECTS.values()),
        Parser("looks", spans, _looks, ()),
        Parser("replies", (*replies, b"Sure! " + replies[0] + b" Done."), _reply, ()),
        Parser("hints of refusals", (json.dumps(hint).encode(), b"37s", b"1h2m3.5s", b"250ms"), _hint, ()),
        Parser("teacher responses", RESPONSES, read_as_response, ()),
        Parser("teacher over HTTP", RESPONSES, read_over_http, ()),
        Parser("usage", USAGES, read_usage, ()),
    ]


def _replies() -> list[dict[str, Any]]:
    span = {"start_s": 1.5, "end_s": 4}
    written = {
        "type": "object", "form": "mcq", "question": "Which?", "options": ["x", "y"], "answer": "x", "windows": [span],
        "needs": "any", "difficulty": "easy", "fps": 2,
    }  # fmt: skip
    return [
        {"thought": "It begins.", **span, "fps": 0.5}, {"thought": "It ends.", "answer": "B"}, {"thought": "There.", "fps": 4},
        {"events": [{**span, "what": "A dog runs."}]}, {"questions": [written]}, {"thought": "No.", "answer": "no"},
        {"quote": "", "safety": 1},
    ]  # fmt: skip


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _grammar(data: bytes, folder: Path) -> None:
    del folder
    for most in (1, 3):
        parsed = parse(_text(data), most)
        assert isinstance(parsed, tuple) or render(parsed) == _text(data)


def _written(dialect: Dialect) -> tuple[bytes, ...]:
    """Trajectories that the dialect can say, with no look, one look and several."""
    tokens = None if dialect.name == "span" else 4096
    looks = tuple(Look(Window(start, start + 850), Fraction(2), tokens=tokens) for start in (0, 1200, 99_950))
    trajectories = [Trajectory(("Hm.", "So", "", "It turns.")[: count + 1], looks[:count], "B", "\n") for count in range(4)]
    if dialect.name == "tool":
        boxed = replace(looks[0], box=Box(0, 125, 500, 1000), fps=Fraction(1, 3))
        trajectories.append(Trajectory(("Both.", "So.", "It turns."), (boxed, *looks[1:]), "B", turns=(2, 1)))
    return tuple(dialect.render(trajectory).encode() for trajectory in trajectories)


def _in_dialect(dialect: Dialect) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        del folder
        for most in (1, 4):
            parsed = dialect.parse(_text(data), most)
            assert parsed if isinstance(parsed, tuple) else dialect.render(parsed) == _text(data)

    return read


def _looks(data: bytes, folder: Path) -> None:
    del folder
    read_span(_text(data)), read_density(_text(data))


def _reply(data: bytes, folder: Path) -> None:
    del folder
    for kind in REPLIES.values():
        reply = read_reply(kind, _text(data))
        for name in ("look", "density"):
            if hasattr(reply, name):
                getattr(reply, name)()
        for span in (*getattr(reply, "events", ()), *(w for q in getattr(reply, "questions", ()) for w in q.windows)):
            span.window()


def _hint(data: bytes, folder: Path) -> None:
    del folder
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = _text(data)
    read_hint({"retry-after": _text(data[:40]), "retry-after-ms": _text(data[:40])}, body)


def _annotations() -> list[Parser]:
    importers: list[Parser] = []
    for fixture in FIXTURES:
        if FORMATS[fixture.form].layout == "parquet":
            continue
        content = fixture.content if isinstance(fixture.content, str) else json.dumps(fixture.content)
        companions = {name: text if isinstance(text, str) else json.dumps(text) for name, text in fixture.beside.items()}
        importers.append(
            Parser(f"import {fixture.form}", (content.encode(),), _import(fixture.form, fixture.suffix, companions))
        )
    return importers


def _import(form: str, suffix: str, companions: dict[str, str]) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        file = folder / f"file{suffix}"
        file.write_bytes(data)
        for name, content in companions.items():
            (folder / name).write_text(content)
        for placed in read_questions(FORMATS[form], [file, *(folder / name for name in companions)]):
            if not isinstance(placed.question, RefusedQuestion):
                checked = check(placed.question)
                if not isinstance(checked, RefusedQuestion):
                    digest("question", [placed.question.video, *checked.content()])

    return read


def _shards(folder: Path) -> list[Parser]:
    packed = corpus(folder / "packed", 3, 2, (100, 100))
    (shard, *_) = sorted(packed.glob("*.tar"))
    with shard.open("rb") as file:
        member = next(member for member in walk(file, "") if member.suffix == "json")
        document = file.seek(member.offset) and file.read(member.size)
    manifest, index = (packed / MANIFEST).read_bytes(), (packed / INDEX).read_bytes()
    tar = shard.read_bytes()

    def read_folder(data: bytes, place: Path) -> None:
        """A folder whose files agree about their digests, so that what they say is looked at."""
        for path in packed.iterdir():
            (place / path.name).write_bytes(path.read_bytes())
        (place / INDEX).write_bytes(data)
        content = json.loads(manifest)
        content["files"][INDEX] = hashlib.sha256(data).hexdigest()
        (place / MANIFEST).write_bytes(_sealed(content))
        verify(str(place))
        for nth in range(min(len(examples := Corpus(str(place))), 4)):
            assert examples[nth].sample.transcript

    def read_index(data: bytes, place: Path) -> None:
        del place
        read_rows(io.BytesIO(data), "x")
        SampleLocations(io.BytesIO(data), [shard.name], "x")

    return [
        Parser("shard document", (document,), lambda data, _: read_document(data, "x")),
        Parser("shard manifest", (manifest,), lambda data, _: _manifest(data)),
        Parser("shard index", (index,), read_index),
        Parser("folder of shards", (index,), read_folder),
        Parser("tar", (tar,), lambda data, _: list(walk(io.BytesIO(data), "x"))),
        Parser("lint of a shard", (tar,), lambda data, place: _linted(data, place, ".tar")),
        Parser("lint of a document", (document,), lambda data, place: _linted(_tar(data), place, ".tar")),
    ]  # fmt: skip


def _sealed(content: dict[str, Any]) -> bytes:
    fields = {name: value for name, value in content.items() if name != "sha256"}
    return json.dumps({**fields, "sha256": hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()}).encode()


def _manifest(data: bytes) -> None:
    try:
        content = json.loads(data)
        data = _sealed(content) if isinstance(content, dict) else data
    except (ValueError, RecursionError):
        pass
    manifest = parse_manifest(data, "x")
    manifest.samples, manifest.bytes, manifest.files.items()


def _tar(document: bytes) -> bytes:
    from dmforge.curation.shards.tars import BLOCK, header, padded

    return header("a.json", len(document)) + document.ljust(padded(len(document)), b"\0") + bytes(2 * BLOCK)


def _linted(data: bytes, folder: Path, suffix: str) -> None:
    file = folder / f"file{suffix}"
    file.write_bytes(data)
    for _ in read_written(file):
        pass
    lint(file)


def _rows() -> list[Parser]:
    text = TRAJECTORY.decode()
    pieces = [{"author": "prompt", "kind": "text", "text": "Which?"}, {"author": "policy", "kind": "text", "text": text}]
    window = {"windows": [[1.0, 3.5]], "kind": "mcq", "options": ["x", "y"]}
    rows: list[dict[str, Any]] = [
        {"conversations": [{"from": "human", "value": "<video>Which?\nA. x\nB. y"}, {"from": "gpt", "value": text}]},
        {"messages": [{"role": "user", "content": "<video>Which?"}, {"role": "assistant", "content": text}]},
        *(fixture.content[0] for fixture in FIXTURES if fixture.form == "llamafactory"),
        {"prompt": "<video>Which?", "answer": "B", "gt_span_start": 1.0, "gt_span_end": 3.5, "fps": 2},
        {"prompt": [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Which?"}]}], "completion":
         [{"role": "assistant", "content": text}], "solution": "B", "target_window": [1.0, 3.5], "target_fps": 2.0, **window},
        {"pieces": pieces, "id": "sample_x", "question": "Which?", "gold": "B", "needs": "any", "duration_s": 9.5,
         "target_window": "1.00 - 3.50", "target_fps": "2", **window},
    ]  # fmt: skip
    return [
        Parser(
            "lint of rows", tuple(json.dumps(row).encode() for row in rows), lambda data, place: _linted(data, place, ".jsonl")
        )
    ]


def _workspace() -> list[Parser]:
    subject, video = show("task", digest("a", 1)), show("video", digest("b", 1))
    review = {"subject": subject, "video": video, "decision": "reject", "reason": "unsafe", "note": ""}
    gold = review | {"reason": "wrong gold", "gold": {"answer": "C", "windows": ["2.00 - 3.50"]}}
    answer = {"content": "x", "refusal": "", "finish": "stop", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    line = {"key": show("ask", digest("c", 1)), "video": video, "model": "m", "answer": answer}
    recipes = tuple(path.read_bytes() for path in sorted(RECIPES.glob("*.toml")))
    return [
        Parser("review lines", (2 * (json.dumps(review).encode() + b"\n"), json.dumps(gold).encode() + b"\n"), _reviews),
        Parser("journal lines", (2 * (json.dumps(line).encode() + b"\n"),), _journal),
        Parser("TOML", recipes, lambda data, _: parse_toml(data, "x")),
        Parser("recipe", recipes, _recipe),
    ]


def _reviews(data: bytes, folder: Path) -> None:
    (folder / "me.jsonl").write_bytes(data)
    reviews_of(folder / "me.jsonl")


def _journal(data: bytes, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        workspace = WorkspaceFolder(Path(place))
        (workspace.journal / "m").mkdir(parents=True)
        (workspace.journal / "m/main.jsonl").write_bytes(data)
        try:
            journal_table.answers(workspace)
        except REFUSALS as error:
            raise AssertionError("an audit stops at a line") from error
        opened = journal.Journal(workspace, "m")
        try:
            opened.find(digest("c", 1))
        finally:
            opened.close()


def _recipe(data: bytes, folder: Path) -> None:
    (folder / "recipe.toml").write_bytes(data)
    read_recipe(folder / "recipe.toml")
