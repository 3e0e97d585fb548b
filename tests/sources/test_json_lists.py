"""Lists of JSON, element by element: what `json` reads is read, wherever the pieces of the file end."""

from __future__ import annotations

import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.curation.sources import strict_json
from dmforge.curation.sources.strict_json import list_elements
from dmforge.schemas.errors import InputError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def read(content: bytes, chunk: int = 1 << 20) -> list[object]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "CHUNK", chunk)
        return list(list_elements(io.BytesIO(content), "a.json"))


@given(st.lists(VALUES, max_size=5), st.integers(1, 9), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_every_list_is_read_wherever_a_piece_ends(values: list[object], chunk: int, indent: object, plain: bool) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=plain)  # pyright: ignore
    try:
        content = text.encode()
    except UnicodeEncodeError:
        content = json.dumps(values, indent=indent).encode()  # pyright: ignore
    assert read(content, chunk) == values
    assert read(b"\xef\xbb\xbf " + content + b"\n ", chunk) == values


@given(st.text(alphabet='[]{},:"0123456789.eE+-truefalsn \n\\u', max_size=30), st.integers(1, 5))
def test_what_json_refuses_is_refused_and_nothing_else(text: str, chunk: int) -> None:
    content = f"[{text}".encode()
    try:
        expected = json.loads(content)
    except ValueError:
        with pytest.raises(InputError, match="JSON"):
            read(content, chunk)
    else:
        elements = read(content, chunk)
        assert [isinstance(element, InputError) or element in expected for element in elements] == [True] * len(expected)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b'[{"a": 1},\n {"b" 2}]', "a.json, line 2: not JSON: expecting ':' delimiter at column 7"),
        (b'[{"a": 1}\n\n {"b": 2}]', "a.json, line 3: not JSON: expecting ',' delimiter at column 2"),
        (b'[{"a": 1}] 2', "a.json: not JSON: extra data at column 12"),
        (b'[{"a": 1},', "a.json: not JSON: expecting value at column 11"),
        (b'[{"a": "\xff"}]', "a.json: byte 8: not UTF-8: invalid start byte"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_an_error_says_its_place(content: bytes, place: str, chunk: int) -> None:
    with pytest.raises(InputError) as error:
        read(content, chunk)
    assert str(error.value).startswith(place)


def test_a_key_that_stands_twice_costs_its_element_alone() -> None:
    first, second, third = read(b'[{"a": 1}, {"a": 1, "a": 2}, {"a": 3}]')
    assert (first, third) == ({"a": 1}, {"a": 3})
    assert isinstance(second, InputError)
    assert "record 2" in str(second)


def test_a_long_list_is_never_held() -> None:
    row = json.dumps({"text": "x" * 1000}).encode()
    content = io.BytesIO(b"[" + b",".join([row] * 30_000) + b"]")
    tracemalloc.start()
    count = sum(1 for _ in list_elements(content, "a.json"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 30_000
    assert peak < 8 << 20
