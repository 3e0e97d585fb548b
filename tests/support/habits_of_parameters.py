"""Habits of endpoints that refuse a parameter by name, or more than they take: of images, of bytes, of tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from tests.support.completions import Inquiry, Wire, complete, error, page
from tests.support.habit import habit

MAX_IMAGES = 8
"""vLLM's `--limit-mm-per-prompt`, Mistral's 8, Anthropic's 100: small here, so that short clips exceed it."""
MAX_BYTES = 120_000
"""As nginx's client_max_body_size or the 20 MB of Gemini, smaller for the same reason."""
MAX_CONTEXT = 1_500
"""Tokens of a context that is too short."""


def openai_refusal(inquiry: Inquiry, name: str) -> Wire:
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    return error(400, message, param=name, code="unsupported_parameter")


def fastapi_refusal(inquiry: Inquiry, name: str) -> Wire:
    fault = {
        "type": "extra_forbidden",
        "loc": ["body", name],
        "msg": "Extra inputs are not permitted",
        "input": inquiry.body[name],
    }
    return Wire(422, json.dumps({"detail": [fault]}).encode())


def gemini_refusal(inquiry: Inquiry, name: str) -> Wire:
    message = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
    fault = {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}
    return Wire(400, json.dumps([fault]).encode())


def good(inquiry: Inquiry) -> Wire:
    return complete(inquiry, inquiry.text())


@habit("xAI's and Groq's reasoning models: `seed` is refused by name")
def refuses_seed(inquiry: Inquiry) -> Wire:
    return openai_refusal(inquiry, "seed") if "seed" in inquiry.body else good(inquiry)


@habit("Mistral (it wants `random_seed`): 422 with FastAPI's list of faults")
def refuses_seed_with_a_list(inquiry: Inquiry) -> Wire:
    return fastapi_refusal(inquiry, "seed") if "seed" in inquiry.body else good(inquiry)


@habit("Gemini's compatible endpoint: 400 with a list around the error")
def refuses_seed_as_gemini(inquiry: Inquiry) -> Wire:
    return gemini_refusal(inquiry, "seed") if "seed" in inquiry.body else good(inquiry)


@habit("OpenAI's o-series and GPT-5: any temperature but 1 is refused")
def refuses_temperature(inquiry: Inquiry) -> Wire:
    if inquiry.body.get("temperature", 1) == 1:
        return good(inquiry)
    message = (
        f"Unsupported value: 'temperature' does not support {inquiry.body['temperature']} with this model. "
        "Only the default (1) value is supported."
    )
    return error(400, message, param="temperature", code="unsupported_value")


@habit("Claude's newest models: temperature is deprecated, and no field says which parameter is meant")
def refuses_temperature_in_prose(inquiry: Inquiry) -> Wire:
    if "temperature" not in inquiry.body:
        return good(inquiry)
    fault = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "`temperature` is deprecated for this model."},
    }
    return Wire(400, json.dumps(fault).encode())


@habit("Mistral, DeepSeek, TGI: `max_completion_tokens` is unknown, `max_tokens` is the name")
def wants_max_tokens(inquiry: Inquiry) -> Wire:
    return fastapi_refusal(inquiry, "max_completion_tokens") if "max_completion_tokens" in inquiry.body else good(inquiry)


@habit("OpenAI's reasoning models, were they sent the older name")
def refuses_max_tokens(inquiry: Inquiry) -> Wire:
    if "max_tokens" not in inquiry.body:
        return good(inquiry)
    message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    return error(400, message, param="max_tokens", code="unsupported_parameter")


@habit("DeepSeek and Moonshot: json_object only")
def wants_json_object(inquiry: Inquiry) -> Wire:
    if inquiry.format == "json_schema":
        return error(400, "This response_format type is unavailable now", param=None, code="invalid_request_error")
    return good(inquiry)


@habit("older llama.cpp, LM Studio: no response_format but text")
def wants_no_format(inquiry: Inquiry) -> Wire:
    if not inquiry.format:
        return good(inquiry)
    return error(400, f"'response_format.type' must be 'text', got '{inquiry.format}'", param="response_format")


@habit("DashScope: json_object is refused where the messages don't say JSON")
def wants_the_word_json(inquiry: Inquiry) -> Wire:
    if inquiry.format == "json_schema":
        return error(400, "<400> InternalError.Algo.InvalidParameter: 'response_format.type' must be 'json_object' or 'text'.")
    if inquiry.format == "json_object" and "json" not in f"{inquiry.system}{inquiry.user}".lower():
        return error(
            400, "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        )
    return good(inquiry)


@habit("Anthropic's compatible endpoint and Ollama with some models: response_format is ignored")
def ignores_the_schema(inquiry: Inquiry) -> Wire:
    unbound = replace(inquiry, body={name: value for name, value in inquiry.body.items() if name != "response_format"})
    return complete(inquiry, f"Here is the JSON:\n\n```\n{json.dumps(unbound.reply(), indent=1)}\n```")


@habit("a strict gateway: one parameter after the other, a refusal for each")
def refuses_all_in_turn(inquiry: Inquiry) -> Wire:
    refused = ("response_format", "seed", "temperature", "max_completion_tokens")
    name = next((name for name in refused if name in inquiry.body), "")
    return fastapi_refusal(inquiry, name) if name else good(inquiry)


@habit("servers in Go or .NET with strict parsing: all faults at once, in one list")
def refuses_all_at_once(inquiry: Inquiry) -> Wire:
    names = [name for name in ("seed", "temperature", "max_completion_tokens") if name in inquiry.body]
    if not names:
        return good(inquiry)
    faults = [{"loc": ["body", name], "msg": "extra fields not permitted", "type": "value_error.extra"} for name in names]
    return Wire(422, json.dumps({"detail": faults}).encode())


@habit("vLLM: `strict` in a schema, or a schema that its grammar can't compile")
def refuses_the_grammar(inquiry: Inquiry) -> Wire:
    if inquiry.format == "json_schema":
        fault = {
            "object": "error",
            "message": "Failed to compile the grammar: Unsupported JSON schema feature in guided decoding",
            "code": 400,
        }
        return Wire(400, json.dumps(fault).encode())
    return good(inquiry)


@habit("vLLM with --limit-mm-per-prompt")
def few_images(inquiry: Inquiry) -> Wire:
    if len(inquiry.images) <= MAX_IMAGES:
        return good(inquiry)
    message = f"At most {MAX_IMAGES} image(s) may be provided in one prompt."
    return Wire(
        400, json.dumps({"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}).encode()
    )


@habit("nginx before anything: client_max_body_size")
def small_bodies(inquiry: Inquiry) -> Wire:
    if inquiry.size_bytes <= MAX_BYTES:
        return good(inquiry)
    return page(413, "413 Request Entity Too Large", "<hr><center>nginx/1.24.0</center>")


@habit("Anthropic: 413 with JSON")
def small_bodies_in_json(inquiry: Inquiry) -> Wire:
    if inquiry.size_bytes <= MAX_BYTES:
        return good(inquiry)
    fault = {"type": "error", "error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}
    return Wire(413, json.dumps(fault).encode())


@habit("Gemini: 400 for what is larger than 20 MB")
def small_payloads_as_gemini(inquiry: Inquiry) -> Wire:
    if inquiry.size_bytes <= MAX_BYTES:
        return good(inquiry)
    message = f"Request payload size exceeds the limit: {MAX_BYTES} bytes."
    return Wire(400, json.dumps([{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}]).encode())


@habit("vLLM and OpenAI: the context is too short for question and max_tokens together")
def short_context(inquiry: Inquiry) -> Wire:
    total = inquiry.prompt_tokens + min(inquiry.limit, 64)
    if total <= MAX_CONTEXT:
        return good(inquiry)
    message = (
        f"This model's maximum context length is {MAX_CONTEXT} tokens. However, you requested {total} tokens "
        f"({inquiry.prompt_tokens} in the messages, {total - inquiry.prompt_tokens} in the completion). "
        "Please reduce the length of the messages or completion."
    )
    return error(400, message, param="messages", code="context_length_exceeded")


@habit("OpenAI, DeepSeek, Mistral: a ceiling on max_tokens itself")
def low_ceiling(inquiry: Inquiry) -> Wire:
    if inquiry.limit <= 4096:
        return good(inquiry)
    message = f"max_tokens is too large: {inquiry.limit}. This model supports at most 4096 completion tokens."
    return error(400, message, param="max_completion_tokens", code="invalid_value")


@habit("QwQ and Qwen3 open-source models on DashScope: streams only")
def streams_only(inquiry: Inquiry) -> Wire:
    if inquiry.body.get("stream"):
        return stream(complete(inquiry, inquiry.text()))
    return error(
        400,
        "This model only support stream mode, please enable the stream parameter to access the model. ",
        code="invalid_parameter_error",
    )


@habit("one-api relays: a stream of events, though none was asked for")
def streams_anyhow(inquiry: Inquiry) -> Wire:
    return stream(complete(inquiry, inquiry.text()))


def stream(response: Wire) -> Wire:
    """A response as server-sent events, in chunks of some letters."""
    return replace(response, body=b"".join(_events(json.loads(response.body))), headers={"Content-Type": "text/event-stream"})


def _events(document: dict[str, object]) -> Iterator[bytes]:
    choices = document["choices"]
    text = choices[0]["message"]["content"]  # type: ignore
    for start in range(0, len(text), 60):
        delta = {"index": 0, "delta": {"content": text[start : start + 60]}, "finish_reason": None}
        yield b"data: " + json.dumps({"object": "chat.completion.chunk", "choices": [delta]}).encode() + b"\n\n"
    end = {"object": "chat.completion.chunk", "choices": [], "usage": document["usage"]}
    yield b"data: " + json.dumps(end).encode() + b"\n\ndata: [DONE]\n\n"
