"""What an endpoint refuses by name is left out or named otherwise: once, said in one line, and paid for by nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dmforge.curation.contract.budget import Budget
from dmforge.generators.teacher.client import Teacher
from dmforge.generators.teacher.profiles import PROFILES
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.looks import Window
from dmforge.schemas.replies import LookReply, SafetyReply, WriteReply
from dmforge.schemas.reply_schema import UNBOUNDED, Bounds, reply_schema
from tests.teachers.endpoint import GOOD, QUESTION, Reply, Script, ask, server, status


def refused(words: object, http: int = 400, **error: str) -> Reply:
    content = {"detail": words} if http == 422 else {"error": {"message": words, **error}}
    return status(http, content)


def shape(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ("model", "messages")}


def test_a_request_says_what_it_always_said() -> None:
    script = Script(status(200, GOOD))
    ask(script, max_output_tokens=100)
    schema = {"name": "answer", "strict": True, "schema": reply_schema(QUESTION.reply)}
    form = {"type": "json_schema", "json_schema": schema}
    assert shape(script.asked[0]) == {"seed": 2, "temperature": 0.25, "max_completion_tokens": 100, "response_format": form}


@pytest.mark.parametrize(
    ("refusal", "left_out"),
    [
        (refused("Unsupported parameter: 'seed'"), "seed"),
        (refused([{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}], 422), "seed"),
        (refused("Only the default (1) value is supported.", param="temperature", code="unsupported_value"), "temperature"),
        (refused("`temperature` and `top_p` cannot both be specified"), "temperature"),
    ],
)
def test_a_parameter_that_is_refused_is_left_out(refusal: Reply, left_out: str) -> None:
    script, account = Script(refusal, status(200, GOOD)), Budget()
    ask(script, account, retries=0)
    assert left_out in script.asked[0]
    assert shape(script.asked[1]).keys() == shape(script.asked[0]).keys() - {left_out}
    (note,) = account.notes
    assert note.startswith(f"annotate, m: `{left_out}` is left out from now on, since the teacher refused with 4")
    assert account.spent["annotate", "m"].usage.calls == 1


def test_the_limit_of_a_reply_is_called_by_its_other_name_and_then_by_none() -> None:
    script = Script(
        refused("Unsupported parameter: 'max_completion_tokens'"), refused("Unknown field: max_tokens"), status(200, GOOD)
    )
    ask(script, retries=0)
    names = [{"max_tokens", "max_completion_tokens"} & body.keys() for body in script.asked]
    assert names == [{"max_completion_tokens"}, {"max_tokens"}, set()]


@pytest.mark.parametrize(
    ("words", "limits"),
    [
        ("max_completion_tokens is too large: 8192. This model supports at most 4096 completion tokens", [8192, 4096]),
        ("'max_completion_tokens' is too large: 8192. This model's maximum context length is 6000 tokens", [8192, 4096]),
    ],
)
def test_a_limit_that_is_too_large_is_lowered(words: str, limits: list[int]) -> None:
    script = Script(refused(words), status(200, GOOD))
    assert ask(script, retries=0)["limit"] == limits[-1]
    assert [body["max_completion_tokens"] for body in script.asked] == limits


def test_a_form_that_is_refused_is_asked_for_by_less_and_less() -> None:
    no = refused("response_format is not supported by this model")
    script = Script(no, no, no, status(200, GOOD))
    ask(script, retries=0)
    forms = [body.get("response_format", {}).get("type") for body in script.asked]
    assert forms == ["json_schema", "json_schema", "json_object", None]


def test_a_form_that_the_recipe_names_is_not_given_up() -> None:
    with pytest.raises(DmforgeError, match="response_format is not supported"):
        ask(Script(refused("response_format is not supported")), structured_output="json_schema")


def test_what_the_recipe_says_itself_is_not_left_out() -> None:
    with pytest.raises(DmforgeError, match="top_k"):
        ask(Script(refused("Unknown parameter: top_k")), extra_body={"top_k": 3})


def test_a_refusal_of_many_requests_in_flight_changes_one_thing() -> None:
    account = Budget()

    async def all_at_once(url: str) -> None:
        teacher = Teacher(TeacherConfig(model="m", base_url=url, retries=0), "annotate", account)
        await asyncio.gather(*(teacher.ask(QUESTION) for _ in range(8)))
        await teacher.aclose()

    with server(Script(refused("no seed, please"), refused("no seed, please"), status(200, GOOD))) as url:
        asyncio.run(all_at_once(url))
    assert len(account.notes) == 1


def test_a_profile_says_what_the_recipe_does_not() -> None:
    config = TeacherConfig(model="m", profile="openrouter")
    assert config.endpoint == "https://openrouter.ai/api/v1"
    assert config.key_variable == "OPENROUTER_API_KEY"
    own = TeacherConfig(model="m", profile="openrouter", base_url="http://127.0.0.1:1/v1")
    assert own.endpoint == "http://127.0.0.1:1/v1"
    with pytest.raises(InputError, match="there is no profile 'opnai'") as error:
        TeacherConfig.model_validate({"model": "m", "profile": "opnai"})
    assert "openai" in error.value.hint


@pytest.mark.parametrize("reasoning", ["none", "high", 3000])
@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_told_how_much_to_think(name: str, reasoning: str | int) -> None:
    parameters = PROFILES[name].thinking_parameters(reasoning)
    assert len(parameters) >= 1
    script = Script(status(200, GOOD))
    ask(script, profile=name, reasoning=reasoning)
    assert parameters.items() <= script.asked[0].items()


def test_a_schema_is_as_narrow_as_what_is_accepted() -> None:
    look = reply_schema(LookReply, Bounds(Window(0, 1250)))["properties"]
    assert look["fps"]["enum"] == [1, 2, 3, 4, 6]
    assert (look["start_s"]["minimum"], look["end_s"]["maximum"]) == (0, 12.5)
    questions = reply_schema(WriteReply, Bounds(Window(0, 1250), max_questions=3))["properties"]["questions"]
    assert questions["maxItems"] == 3
    windows = questions["items"]["properties"]["windows"]["items"]["properties"]
    assert windows["end_s"]["maximum"] == 12.5
    safety = reply_schema(SafetyReply, UNBOUNDED)["properties"]["safety"]
    assert (safety["minimum"], safety["maximum"]) == (0, 1)
    assert reply_schema(LookReply) == LookReply.json_schema()
    assert reply_schema(SafetyReply) == SafetyReply.json_schema()


@pytest.mark.parametrize(
    "settings", [{"api_key_env": "sk-abc123"}, {"api_key_env": "my key"}, {"extra_headers": {"Authorization": "Bearer sk-1"}}]
)
def test_a_recipe_holds_no_key(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        TeacherConfig(model="m", **settings)
    assert "sk-" not in str(error.value)


@pytest.mark.parametrize("name", ["model", "messages", "stream", "n"])
def test_what_is_asked_is_no_further_parameter(name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}' is no further parameter"):
        TeacherConfig(model="m", extra_body={name: 1})
