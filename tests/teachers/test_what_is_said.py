"""What a person is told of settings, endpoints and replies that come to nothing: in plain words, before it costs anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.contract.budget import Budget
from dmforge.generators.stages.annotate import AnnotateConfig
from dmforge.generators.stages.questions import QuestionsConfig
from dmforge.generators.stages.segments import SegmentsConfig
from dmforge.generators.teacher.teacher_config import TeacherConfig, missing
from dmforge.recipe import read_recipe
from dmforge.schemas.config import Config, parse_config
from dmforge.schemas.errors import InputError
from tests.teachers import test_further_attempts
from tests.teachers.endpoint import GOOD, Script, server, status
from tests.teachers.test_annotate import dmforge, rows

worlds = test_further_attempts.worlds
rejected = test_further_attempts.rejected
place = test_further_attempts.place
REFUSAL = "I will not say what is seen in these frames, " * 4
PYDANTIC = ("union", "literal", "constrained", "function-", "input should", "unable to parse")


def refusal(config_class: type[Config], **settings: object) -> str:
    with pytest.raises(InputError) as error:
        parse_config(config_class, {"model": "m", **settings}, where="recipe.toml")
    return str(error.value)


@pytest.mark.parametrize(
    ("config_class", "name", "value"),
    [
        (AnnotateConfig, "max_output_tokens", True), (AnnotateConfig, "temperature", False),
        (AnnotateConfig, "reasoning", True),
        (AnnotateConfig, "max_images", True), (AnnotateConfig, "requests_per_minute", True), (AnnotateConfig, "retries", False),
        (AnnotateConfig, "prices", {"m": {"input_usd": True, "output_usd": 1}}), (QuestionsConfig, "types", {"object": True}),
        (AnnotateConfig, "teachers", [{"model": "a", "share": True}]), (SegmentsConfig, "fps", True),
    ],
)  # fmt: skip
def test_true_is_no_number(config_class: type[Config], name: str, value: object) -> None:
    message = refusal(config_class, **{name: value})
    assert name in message
    assert "a number is wanted" in message


@pytest.mark.parametrize(("name", "value"), [("batch", 1), ("batch", "yes"), ("batch", 0)])
def test_only_true_and_false_are_true_and_false(name: str, value: object) -> None:
    message = refusal(AnnotateConfig, **{name: value})
    assert name in message
    assert "true or false is wanted" in message


def test_a_list_is_called_a_list_and_a_model_is_not_earlier_than_itself() -> None:
    assert "a list" in refusal(AnnotateConfig, earlier_models="m")
    assert "tuple" not in refusal(AnnotateConfig, earlier_models="m")
    assert "the model that is asked now" in refusal(AnnotateConfig, earlier_models=["n", "m"])


def test_a_whole_number_is_a_number_and_parameters_are_as_they_are_given() -> None:
    given = {"tokens_per_minute": 4_000_000, "temperature": 2, "extra_body": {"top_k": 3, "stream_options": True}}
    config = AnnotateConfig.model_validate({"model": "m", **given})
    assert (config.tokens_per_minute, config.temperature, config.extra_body) == (4e6, 2.0, given["extra_body"])


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("reasoning", "ultra", "'none', 'minimal', 'low', 'medium', 'high' or a whole number above 0"),
        ("reasoning", 0, "a whole number above 0"), ("reasoning", 1.5, "a whole number above 0"),
        ("temperature", "hot", "a number from 0 up to 2 or 'default'"), ("temperature", 3, "a number from 0 up to 2"),
    ],
)  # fmt: skip
def test_what_a_setting_takes_is_said_in_plain_words(name: str, value: object, accepted: str) -> None:
    message = refusal(AnnotateConfig, **{name: value})
    assert f"{name} = {value!r} is not accepted" in message
    assert message.count(accepted) == 1
    assert not [word for word in PYDANTIC if word in message.lower()]


@pytest.mark.parametrize(
    "setting", ['profile = "opnai"', 'temperature = "hot"', 'api_key_env = "a key"', 'extra_headers = { "x-api-key" = "k" }']
)
def test_a_wrong_shared_setting_is_named_with_its_table(setting: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'name = "x"\n[teacher]\n{setting}\n[stages.ingest]\n')
    with pytest.raises(InputError, match=r"recipe\.toml: (\[teacher\] |teacher\.)"):
        read_recipe(recipe)


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({"profile": "gemini"}, "GEMINI_API_KEY"), ({"profile": "openai"}, "OPENAI_API_KEY"),
        ({"profile": "openrouter", "api_key_env": "MINE"}, "MINE"), ({"profile": "vllm"}, None), ({"profile": "ollama"}, None),
        ({"profile": "gemini", "base_url": "http://127.0.0.1:1/v1"}, None), ({"base_url": "http://127.0.0.1:1/v1"}, None),
    ],
)  # fmt: skip
def test_a_key_that_is_not_set_is_said_before_the_first_request(
    settings: dict[str, str], variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GEMINI_API_KEY", "OPENAI_API_KEY", "MINE"):
        monkeypatch.delenv(name, raising=False)
    config = TeacherConfig.model_validate({"model": "m", **settings})
    error = missing(config, "annotate", Budget())
    if variable is None:
        assert error is None
        return
    assert error is not None
    assert f"{variable} is not set" in error.message
    monkeypatch.setenv(variable, "k")
    assert missing(config, "annotate", Budget()) is None


def test_a_plan_refuses_an_endpoint_where_a_run_would_ask(place: Path) -> None:
    recipe = place / "recipe.toml"
    plain = recipe.read_text().replace("name =", "prices = { another = {} }\nname =", 1)
    recipe.write_text(plain + 'base_url = "htp:/x"\n')
    dmforge("plan", "-w", place)  # all is settled: nobody will be asked
    recipe.write_text(recipe.read_text().replace('model = "oracle"', 'model = "another"'))
    planned, ran = (dmforge(command, "-w", place, code=2) for command in ("plan", "run"))
    assert planned == ran
    assert "'htp:/x' is no endpoint's address" in planned
    recipe.write_text(plain.replace('model = "oracle"', 'model = "another"'))
    dmforge("plan", "-w", place)  # what is only not there yet hinders no plan


def test_an_upgrade_that_makes_no_video_anew_says_nothing_of_it(place: Path) -> None:
    recipe = place / "recipe.toml"
    recipe.write_text(recipe.read_text() + '\n[clips]\nlook_size = "floor"\n')
    upgraded: dict[str, Any] = dmforge("upgrade", "--dry-run", "-w", place, "--json")
    assert upgraded["changes"][-1] == "media/clips.json: look_size fixed -> floor"


def test_a_stop_at_unreadable_replies_says_what_to_change_and_logs_what_began(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, log = place / "recipe.toml", tmp_path / "log.jsonl"
    recipe.write_text(recipe.read_text().replace(f"attempts = {test_further_attempts.ATTEMPTS}", "attempts = 20"))
    with test_further_attempts.teacher(test_further_attempts.UNREADABLE, monkeypatch):
        printed = dmforge("run", "--log", log, "-w", place, code=1)
    assert "the same command would end at annotate again; change something first: raise max_output_tokens" in printed
    assert "run the same command again to go on" not in printed
    events = [json.loads(line) for line in log.read_text().splitlines()]
    began, ended = ([event["stage"] for event in events if event["event"] == f"stage {how}"] for how in ("began", "ended"))
    assert began == ended == ["annotate"]


def test_an_example_of_a_reason_is_shown_whole(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = place / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('model = "oracle"', 'model = "another"'))
    message = {"role": "assistant", "content": None, "refusal": REFUSAL}
    script = Script(status(200, GOOD | {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}))
    with server(script) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        dmforge("run", "-w", place, code=1)
    answer = dmforge("audit", "reasons", "-w", place, "--json")
    examples = [dict(zip(answer["columns"], row, strict=True))["example"] for row in answer["rows"]]
    assert examples == [rows(place, "SELECT min(detail) FROM outcomes WHERE stage = 'annotate'")[0][0]]
    assert len(examples[0]) > 80
