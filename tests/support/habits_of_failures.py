"""Habits of endpoints that fail: filters, quotas, keys, proxies, connections; for once, for some questions, or for good."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.support.completions import Inquiry, Wire, complete, document_of, error, page, wire
from tests.support.habit import habit

EVERY = 9
"""One question in so many is refused by a filter: of three short clips the second part, and another one."""


def good(inquiry: Inquiry) -> Wire:
    return complete(inquiry, inquiry.text())


def is_filtered(inquiry: Inquiry) -> bool:
    """Whether a question is one that filters refuse: always the same ones, and never one without images."""
    return bool(inquiry.images) and inquiry.rank % EVERY == 1


def refused(inquiry: Inquiry, refusal: Wire) -> Wire:
    return refusal if is_filtered(inquiry) else good(inquiry)


# filters


@habit("OpenAI, Azure on the way out: finish_reason content_filter, no text")
def filters_by_finish(inquiry: Inquiry) -> Wire:
    empty = {"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": ""}}
    return refused(inquiry, wire(inquiry, empty, {"prompt_tokens": inquiry.prompt_tokens, "completion_tokens": 0}))


@habit("Azure on the way in: 400 with code content_filter")
def filters_by_code(inquiry: Inquiry) -> Wire:
    message = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
    inner = {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"violence": {"filtered": True, "severity": "medium"}},
    }
    return refused(inquiry, error(400, message, param="prompt", code="content_filter", status=400, innererror=inner))


@habit("DashScope: 400 with code data_inspection_failed")
def filters_as_dashscope(inquiry: Inquiry) -> Wire:
    message = "Input data may contain inappropriate content."
    return refused(inquiry, error(400, message, param=None, code="data_inspection_failed"))


@habit("Gemini's own body behind a relay: promptFeedback, no choices")
def filters_as_gemini(inquiry: Inquiry) -> Wire:
    document = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": inquiry.prompt_tokens},
    }
    return refused(inquiry, Wire(200, json.dumps(document).encode(), charged=(inquiry.prompt_tokens, 0)))


@habit("Gemini's compatible endpoint: a choice without a message")
def filters_without_message(inquiry: Inquiry) -> Wire:
    choice = {"index": 0, "finish_reason": "content_filter: PROHIBITED_CONTENT"}
    return refused(inquiry, wire(inquiry, choice, {"prompt_tokens": inquiry.prompt_tokens, "completion_tokens": 0}))


@habit("Gemini and LiteLLM: choices is an empty list")
def filters_with_empty_choices(inquiry: Inquiry) -> Wire:
    return refused(inquiry, wire(inquiry, None, {"prompt_tokens": inquiry.prompt_tokens, "completion_tokens": 0}))


@habit("GLM and Kimi: content null, finish_reason sensitive")
def filters_with_null(inquiry: Inquiry) -> Wire:
    choice = {"index": 0, "finish_reason": "sensitive", "message": {"role": "assistant", "content": None}}
    return refused(inquiry, wire(inquiry, choice, {"prompt_tokens": inquiry.prompt_tokens, "completion_tokens": 0}))


@habit("Gemini by OpenRouter and LiteLLM: finish_reason SAFETY, no content at all")
def filters_by_safety(inquiry: Inquiry) -> Wire:
    choice = {"index": 0, "finish_reason": "SAFETY", "native_finish_reason": "SAFETY", "message": {"role": "assistant"}}
    return refused(inquiry, wire(inquiry, choice, {"prompt_tokens": inquiry.prompt_tokens, "completion_tokens": 0}))


@habit("OpenAI under structured output: the refusal field")
def refuses_in_a_field(inquiry: Inquiry) -> Wire:
    message = {"role": "assistant", "content": None, "refusal": "I'm sorry, I can't assist with that request."}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return refused(inquiry, wire(inquiry, choice, {"prompt_tokens": inquiry.prompt_tokens, "completion_tokens": 12}))


@habit("OpenRouter's moderation: 403 with the reasons as metadata")
def filters_by_moderation(inquiry: Inquiry) -> Wire:
    metadata = {"reasons": ["violence"], "flagged_input": "You are...", "provider_name": "OpenAI", "model_slug": "openai/gpt-5"}
    body = {"error": {"code": 403, "message": "openai/gpt-5 requires moderation. Your input was flagged", "metadata": metadata}}
    return refused(inquiry, Wire(403, json.dumps(body).encode()))


@habit("a strict filter: every question with images is refused")
def filters_everything(inquiry: Inquiry) -> Wire:
    empty = {"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": ""}}
    return wire(inquiry, empty, {"prompt_tokens": inquiry.prompt_tokens, "completion_tokens": 0})


@habit("OpenAI and Anthropic: an image that they can't read, 400 about this one question")
def refuses_an_image(inquiry: Inquiry) -> Wire:
    return refused(inquiry, error(400, "Could not process image", code="invalid_image", param="messages.[1].content.[2]"))


# what passes


@habit("OpenAI: 429 with Retry-After and x-ratelimit headers, then an answer")
def busy_at_first(inquiry: Inquiry) -> Wire:
    message = "Rate limit reached for gpt-5 on tokens per min (TPM): Limit 30000, Used 29999. Please try again in 200ms."
    limits = {
        "Retry-After": "0.2", "retry-after-ms": "200", "x-ratelimit-limit-requests": "5000",
        "x-ratelimit-remaining-requests": "4999", "x-ratelimit-reset-requests": "12ms", "x-ratelimit-remaining-tokens": "0",
    }  # fmt: skip
    refusal = error(429, message, type="tokens", code="rate_limit_exceeded")
    return replace(refusal, headers=limits) if inquiry.again == 0 else good(inquiry)


@habit("Gemini: 429 with RetryInfo in a list, then an answer")
def busy_as_gemini(inquiry: Inquiry) -> Wire:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.2s"}]
    fault = {"code": 429, "message": "Resource has been exhausted (e.g. check quota).", "status": "RESOURCE_EXHAUSTED"}
    refusal = Wire(429, json.dumps([{"error": {**fault, "details": details}}]).encode())
    return refusal if inquiry.again == 0 else good(inquiry)


@habit("Anthropic: 529 overloaded, then an answer")
def overloaded_at_first(inquiry: Inquiry) -> Wire:
    fault = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    return Wire(529, json.dumps(fault).encode()) if inquiry.again == 0 else good(inquiry)


@habit("llama.cpp and LM Studio while they load: 503 for the first requests, then all is well")
def loads_at_first(inquiry: Inquiry) -> Wire:
    fault = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
    return Wire(503, json.dumps(fault).encode()) if inquiry.number < 2 else good(inquiry)


@habit("nginx and Cloudflare: pages with 502 and 504, then an answer")
def proxied_at_first(inquiry: Inquiry) -> Wire:
    code, title = ((502, "502 Bad Gateway"), (504, "504 Gateway Time-out"))[inquiry.rank % 2]
    return page(code, title, "<hr><center>cloudflare</center>") if inquiry.again == 0 else good(inquiry)


@habit("OpenRouter: status 200 with an error in it, then an answer")
def errors_in_200_at_first(inquiry: Inquiry) -> Wire:
    fault = {"error": {"code": 502, "message": "Provider returned error", "metadata": {"provider_name": "Together"}}}
    return Wire(200, json.dumps(fault).encode()) if inquiry.again == 0 else good(inquiry)


@habit("OpenRouter: a choice that is an error, with what was written until then")
def errors_in_a_choice_at_first(inquiry: Inquiry) -> Wire:
    if inquiry.again:
        return good(inquiry)
    document = document_of(complete(inquiry, inquiry.text()))
    choice = {"index": 0, "finish_reason": "error", "error": {"code": 502, "message": "Upstream idle timeout exceeded"}}
    return Wire(200, json.dumps(document | {"choices": [choice]}).encode())


@habit("a load balancer that is restarted: the connection is reset in the middle of the body, then an answer")
def resets_at_first(inquiry: Inquiry) -> Wire:
    response = good(inquiry)
    return replace(response, cut_at=len(response.body) // 2) if inquiry.again == 0 else response


@habit("a model behind a slow queue: nothing comes within the time-out, then an answer")
def hangs_at_first(inquiry: Inquiry) -> Wire:
    return replace(good(inquiry), delay_s=60.0) if inquiry.number == 0 else good(inquiry)


# what doesn't


@habit("everybody: 401 for a wrong key")
def wrong_key(inquiry: Inquiry) -> Wire:
    return error(
        401,
        "Incorrect API key provided: sk-can****. You can find your API key at https://example.com/keys.",
        code="invalid_api_key",
    )


@habit("careless gateways: the Authorization header is printed in the error")
def echoes_the_key(inquiry: Inquiry) -> Wire:
    return error(401, f"invalid token: {inquiry.key}; headers: {{'Authorization': '{inquiry.key}'}}")


@habit("careless gateways in debug mode: the headers stand in every reply")
def echoes_the_key_in_replies(inquiry: Inquiry) -> Wire:
    return complete(inquiry, f"{inquiry.text()}\n\n<!-- request headers: Authorization: {inquiry.key} -->")


@habit("DeepSeek and OpenRouter: 402, no credit")
def no_credit(inquiry: Inquiry) -> Wire:
    return error(402, "Insufficient Balance", type="unknown_error", param=None, code="invalid_request_error")


@habit("OpenAI: 429 that no waiting mends, insufficient_quota")
def no_quota(inquiry: Inquiry) -> Wire:
    message = "You exceeded your current quota, please check your plan and billing details."
    return error(429, message, type="insufficient_quota", param=None, code="insufficient_quota")


@habit("Gemini's free tier: the quota of the day")
def no_quota_today(inquiry: Inquiry) -> Wire:
    quota = {
        "quotaMetric": "generate_requests",
        "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        "quotaValue": "25",
    }
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [quota]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"},
    ]
    fault = {"code": 429, "message": "You exceeded your current quota.", "status": "RESOURCE_EXHAUSTED", "details": details}
    return Wire(429, json.dumps([{"error": fault}]).encode())


@habit("a region or an organisation that is barred: 403")
def forbidden(inquiry: Inquiry) -> Wire:
    return error(403, "Country, region, or territory not supported", code="unsupported_country_region_territory")


@habit("everybody: a model's name that nobody knows")
def unknown_model(inquiry: Inquiry) -> Wire:
    model = inquiry.body.get("model")
    return error(404, f"The model `{model}` does not exist or you do not have access to it.", code="model_not_found")


@habit("a base_url that lacks /v1: 404 as a page of the framework")
def unknown_path(inquiry: Inquiry) -> Wire:
    return Wire(404, b'{"detail":"Not Found"}')


@habit("an endpoint behind a login: 200 with a page")
def login_page(inquiry: Inquiry) -> Wire:
    return page(200, "Sign in to continue", "<form action='/login'><input name='user'></form>")


@habit("an http address where https is meant: 301")
def redirects(inquiry: Inquiry) -> Wire:
    return Wire(301, b"", {"Location": "https://elsewhere.invalid/v1/chat/completions"})


@habit("a proxy whose upstream is gone: 502 for good, as a page")
def always_502(inquiry: Inquiry) -> Wire:
    return page(502, "502 Bad Gateway", "<hr><center>nginx/1.24.0</center>")


@habit("a shared server that is full: 503 for good, with JSON")
def always_503(inquiry: Inquiry) -> Wire:
    return error(503, "The model is overloaded. Please try again later.", status="UNAVAILABLE")


@habit("a shared endpoint under load: 429 for good, without a hint")
def always_busy(inquiry: Inquiry) -> Wire:
    return Wire(429, b"Too Many Requests", {"Content-Type": "text/plain"})


@habit("OpenRouter: 200 with an error in it, for good")
def errors_in_200(inquiry: Inquiry) -> Wire:
    fault = {"error": {"code": 400, "message": "No endpoints found that support image input"}}
    return Wire(200, json.dumps(fault).encode())


@habit("a server that dies at every question: the connection is reset in the middle of the body")
def always_resets(inquiry: Inquiry) -> Wire:
    response = good(inquiry)
    return replace(response, cut_at=len(response.body) // 2)


@habit("a queue that never ends: no answer within any time-out")
def always_hangs(inquiry: Inquiry) -> Wire:
    return replace(good(inquiry), delay_s=60.0)
