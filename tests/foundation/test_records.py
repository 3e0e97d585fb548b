"""Ids are digests of content, records survive Arrow unchanged, and config says what is wrong with it."""

from __future__ import annotations

import random
import subprocess
import sys
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dmforge.curation.contract.stage_results import Key, Made, Origin, Quarantined, settle
from dmforge.schemas.columns import from_arrow, id_matrix, schema, to_arrow
from dmforge.schemas.config import Config, Operational, parse_config
from dmforge.schemas.errors import InputError, Transient
from dmforge.schemas.ids import digest, read, show
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import RECORDS, Candidate, Outcome, Sample, Task, Verdict, Video
from dmforge.schemas.transcript import COARSE, Piece, Transcript

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary()
    | st.fractions(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
WINDOWS = st.tuples(st.integers(0, 9999), st.integers(1, 9999)).map(lambda pair: Window(pair[0], pair[0] + pair[1]))
LOOKS = st.builds(Look, WINDOWS, st.fractions(Fraction(1, 8), 12, max_denominator=100))
IDS = st.binary(min_size=16, max_size=16)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(PLAIN)
def test_an_id_depends_on_content_and_kind_alone(content: object) -> None:
    assert digest("a", content) == digest("a", content)
    assert digest("a", content) != digest("b", content)
    assert len(digest("a", content)) == 16


def test_an_id_is_the_same_in_another_process_with_another_hash_seed() -> None:
    code = "from dmforge.schemas.ids import digest; print(digest('task', {'b': [1, 0.1, b'x'], 'a': 'é'}).hex())"
    run = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest("task", {"a": "é", "b": [1, 0.1, b"x"]}).hex()


def test_values_that_look_alike_have_different_ids() -> None:
    alike = [1, "1", b"1", 1.5, "1.5", Fraction(3, 2), True, None, "", [], [[]], {"#bytes": "31"}]
    assert len({digest("x", value) for value in alike}) == len(alike)


@given(IDS)
def test_an_id_prints_and_reads_back(raw: bytes) -> None:
    assert read(show("video", raw)) == ("video", raw)


@pytest.mark.parametrize(
    "text", ["", "video", "video_", "video_abc", "video_" + "a" * 25, "video_" + "1" * 26, "_" + "a" * 26, "é_ü"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not an id"):
        read(text)


@given(st.builds(Task, IDS, st.sampled_from(["mcq", "open"]), TEXTS, st.lists(TEXTS).map(tuple), TEXTS,
                 st.lists(WINDOWS).map(tuple), st.sampled_from(["any", "all"]), source=TEXTS))  # fmt: skip
def test_a_task_survives_arrow_unchanged(task: Task) -> None:
    assert from_arrow(Task, to_arrow(Task, [task, task])) == [task, task]


@given(IDS, LOOKS, TEXTS, st.lists(IDS, max_size=3).map(tuple))
def test_a_candidate_survives_arrow_unchanged(raw: bytes, look: Look, text: str, requests: tuple[bytes, ...]) -> None:
    transcript = Transcript((COARSE, Piece("prompt", text), Piece("policy", text), Piece("runtime", look=look)))
    candidate = Candidate(raw, raw, 0, "m", transcript, (look,), text, "gold", requests)
    assert from_arrow(Candidate, to_arrow(Candidate, [candidate])) == [candidate]


@given(st.one_of(st.none(), IDS), st.one_of(st.none(), LOOKS))
def test_a_sample_keeps_what_it_does_not_have(candidate: bytes | None, target: Look | None) -> None:
    sample = Sample(b"v" * 16, "cot", b"t" * 16, candidate, target, None)
    assert from_arrow(Sample, to_arrow(Sample, [sample])) == [sample]


@pytest.mark.parametrize("record", [*RECORDS, Outcome], ids=lambda record: record.__name__)
def test_every_record_has_one_arrow_schema(record: type) -> None:
    assert isinstance(schema(record), pa.Schema)
    assert to_arrow(record, []).schema == schema(record)


def test_where_a_row_came_from_is_not_what_it_is() -> None:
    here = Task(b"v" * 16, "open", "q", (), "a", (), "any", source="charades", origin="train.txt:7")
    there = Task(b"v" * 16, "open", "q", (), "a", (), "any", source="mine")
    other = Task(b"v" * 16, "open", "q?", (), "a", (), "any")
    assert here.id == there.id != other.id


def test_a_video_is_known_by_its_bytes() -> None:
    seen = [Video("ab" * 32, duration, 64, 64, Fraction(25), "h264", 0, 10) for duration in (100, 101)]
    assert seen[0].id == seen[1].id == bytes.fromhex("ab" * 16)


def test_id_columns_of_any_make_give_the_same_matrix() -> None:
    raw = [random.Random(7).randbytes(16) for _ in range(50)]
    fixed, variable = pa.array(raw, pa.binary(16)), pa.array(raw, pa.binary())
    for column in (fixed, variable, fixed.slice(0, 50), pa.chunked_array([fixed.slice(0, 7), fixed.slice(7)])):
        assert id_matrix(column).tobytes() == b"".join(raw)
    assert id_matrix(fixed.slice(3, 5)).tobytes() == b"".join(raw[3:8])
    assert id_matrix(pa.array([], pa.binary())).shape == (0, 16)


def test_text_that_is_not_unicode_takes_down_its_own_input_only() -> None:
    keys = [Key(bytes([n]) * 16, b"v" * 16) for n in range(3)]
    rows = [
        Verdict(b"v" * 16, key.input, "task", "f", 0.0, 1, detail=text)
        for key, text in zip(keys, ["a", "\ud800", "b"], strict=True)
    ]
    settled = settle(Origin("s", b"0" * 16), keys, [Made((row,)) for row in rows], (Verdict,))
    assert settled.outcomes.column("status").to_pylist() == ["made", "quarantined", "made"]
    assert settled.rows["verdicts"].column("detail").to_pylist() == ["a", "b"]
    hostile = settle(Origin("s", b"0" * 16), keys[:1], [Quarantined("died", "file \udcff")], (Verdict,))
    assert hostile.outcomes.column("detail").to_pylist() == ["file \\udcff"]


class Inner(Config):
    """Inside."""

    depth: int = 1
    """How deep."""
    pace: Operational[int] = 1
    """How fast."""


class Outer(Config):
    """Outside."""

    threshold: float = 0.5
    """What decides."""
    concurrency: Operational[int] = 8
    """What doesn't."""
    inner: Inner = Inner()
    """A part."""


def test_only_what_decides_is_semantic() -> None:
    assert Outer().semantic() == {"threshold": 0.5, "inner": {"depth": 1}}
    assert Outer(concurrency=9, inner=Inner(pace=7)).semantic() == Outer().semantic()
    assert Outer(inner=Inner(depth=2)).semantic() != Outer().semantic()


@pytest.mark.parametrize(
    ("values", "what", "hint"),
    [
        ({"treshold": 1}, "unknown key 'treshold'", "did you mean 'threshold'?"),
        ({"inner": {"dept": 1}}, "unknown key 'inner.dept'", "did you mean 'depth'?"),
        ({"zzz": 1}, "unknown key 'zzz'", "known here: concurrency, inner, threshold"),
        ({"threshold": "high"}, "threshold = 'high'", "correct 'threshold'"),
        ({"inner": 3}, "inner = 3", "correct 'inner'"),
    ],
)
def test_a_wrong_key_is_named_with_its_mend(values: dict[str, object], what: str, hint: str) -> None:
    with pytest.raises(InputError) as error:
        parse_config(Outer, values, where="recipe.toml: [stages.x]")
    assert what in error.value.message
    assert hint in error.value.hint
    assert str(error.value).startswith("recipe.toml: [stages.x]: ")


def test_config_does_not_change_after_it_was_read() -> None:
    with pytest.raises(ValidationError):
        Outer().threshold = 0.9  # type: ignore[misc]


def test_errors_come_back_whole_from_other_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(Transient("busy", where="here", hint="wait")))
    assert (type(error), error.message, error.where, error.hint) == (Transient, "busy", "here", "wait")
