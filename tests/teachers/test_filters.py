"""A content filter is known by code, finish reason or words, whatever a provider calls it; what concerns the caller is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dmforge.generators.teacher.content_filters import CONTENT_FILTER, PROMPT_FILTER, filter_finish
from dmforge.generators.teacher.response import TeacherRefusal, read_response
from dmforge.schemas.errors import DmforgeError
from tests.teachers.endpoint import GOOD, Script, ask, status


def error(message: str = "no", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


FILTERS: dict[str, tuple[int, Any]] = {
    "openai": (400, error(code="content_policy_violation", type="invalid_request_error")),
    "openai, flagged": (400, error("Invalid prompt: your prompt was flagged as potentially violating our usage policy.")),
    "openai, images": (400, error("Your request was rejected as a result of our safety system.", code="moderation_blocked")),
    "azure": (400, error("The response was filtered due to the prompt triggering the content management policy.",
                         code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"})),
    "azure, inner code alone": (400, error(code=None, innererror={"code": "ResponsibleAIPolicyViolation"})),
    "dashscope": (400, error("Input data may contain inappropriate content.", code="data_inspection_failed")),
    "dashscope, native": (400, {"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content."}),
    "moonshot": (400, error("The request was rejected because it was considered high risk", type="content_filter")),
    "zhipu": (400, error("系统检测到输入或生成内容可能包含不安全或敏感内容", code="1301")),
    "stepfun": (451, error("The content you provided is blocked.", type="censorship_blocked")),
    "451 without a word": (451, error()),
    "anthropic": (400, error("Output blocked by content filtering policy", type="invalid_request_error")),
    "openrouter": (403, error("m requires moderation on P. Your input was flagged.", code=403,
                              metadata={"reasons": ["violence"], "flagged_input": "...", "provider_name": "P"})),
    "openrouter, status 200": (200, error("Your input was flagged", code=403, metadata={"flagged_input": "..."})),
    "xai": (403, error("Content violates usage guidelines. Team: 1, API key ID: 2, Failed check: SAFETY_CHECK_TYPE_X")),
    "a relay": (422, [error(status="PROHIBITED_CONTENT")]),
    "a code with status 200": (200, error(code="content_filter")),
    "a code with status 500": (500, error(code="safety_block")),
}  # fmt: skip
NO_FILTERS: dict[str, tuple[int, Any]] = {
    "the key": (401, error(code="content_filter")),
    "an account": (403, error("Your account was flagged for violating our usage policy.")),
    "an account, by code": (403, error(code="account_flagged")),
    "a region": (451, error("This model is not available in your region.")),
    "a right": (403, error("This key has no access to model m.", code="permission_denied")),
    "a field": (400, error("Input should be 'low' or 'high' (case sensitive)", type="BadRequestError")),
    "a model": (400, error("The model m does not support images.", type="invalid_request_error")),
    "too many": (429, error("You sent too many requests.", code="moderation_rate_limit")),
    "size": (400, error("Request payload size exceeds the limit: 20971520 bytes.")),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_refuses_one_question(name: str) -> None:
    code, body = FILTERS[name]
    outcome = read_response(code, {}, json.dumps(body).encode())
    assert isinstance(outcome, TeacherRefusal)
    assert outcome.kind == "filtered"


@pytest.mark.parametrize("name", NO_FILTERS)
def test_what_is_said_of_the_caller_or_the_form_is_no_filter(name: str) -> None:
    code, body = NO_FILTERS[name]
    outcome = read_response(code, {}, json.dumps(body).encode())
    assert isinstance(outcome, TeacherRefusal)
    assert outcome.kind != "filtered"


def test_a_firewalls_page_is_no_filter() -> None:
    page = b"<html>Sorry, your input was blocked. Cloudflare</html>"
    with pytest.raises(DmforgeError, match="refuses with 403"):
        ask(Script((403, {"Content-Type": "text/html"}, page)))


@pytest.mark.parametrize(
    "reason", ["content_filter", "SAFETY", "content_filter: PROHIBITED_CONTENT", "RECITATION", "BLOCKLIST", "sensitive", "SPII"]
)
def test_a_filter_that_ends_a_reply_is_known_by_its_finish(reason: str) -> None:
    message = {"role": "assistant", "content": None}
    answer = ask(Script(status(200, {**GOOD, "choices": [{"finish_reason": reason, "message": message}]})))
    assert (answer["refusal"], answer["finish"]) == (f"nothing came: {reason}", reason)


def test_a_blocked_question_is_an_answer_with_what_it_cost() -> None:
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usage": {"prompt_tokens": 9, "completion_tokens": 0}}
    answer = ask(Script(status(200, body)))
    assert answer == {
        "content": "", "refusal": "the question was blocked: PROHIBITED_CONTENT", "finish": PROMPT_FILTER,
        "usage": {"prompt_tokens": 9, "completion_tokens": 0}, "limit": 8192,
    }  # fmt: skip


def test_a_filter_of_questions_is_told_from_one_of_replies() -> None:
    assert filter_finish("Input data may contain inappropriate content.") == PROMPT_FILTER
    assert filter_finish("The response was filtered due to the prompt triggering a policy.") == PROMPT_FILTER
    assert filter_finish("nothing was said") == PROMPT_FILTER
    assert filter_finish("Output blocked by content filtering policy") == CONTENT_FILTER
    script = Script(status(400, error("Output data may contain inappropriate content.", code="data_inspection_failed")))
    assert ask(script)["finish"] == CONTENT_FILTER
    assert len(script.asked) == 1
