"""Habits of models and relays that answer, each in a way of its own: thoughts, fences, parts, usage, odd bytes."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from typing import Any

from tests.support.completions import Inquiry, Wire, complete, document_of, tokens
from tests.support.habit import habit

THOUGHT_TOKENS = 1_000


def thought_of(inquiry: Inquiry, length: int = THOUGHT_TOKENS) -> str:
    """A thought of so many tokens, with braces, with objects that could be replies, and with the last one unfinished."""
    draft = inquiry.text("draft")
    parts = [f"First, the format {{like this}}: {draft}. ", f"No: {inquiry.text('second draft')} is nearer. Wait, {{...}}? "]
    for number in range(length):
        if tokens("".join(parts)) >= length:
            break
        parts.append(f"Looking at frame {number}, the set {{a, b}} of things in it hardly changes from one pair to the next. ")
    return "".join(parts)[: length * 4 - 20] + f"So {inquiry.text()[:14]}"


def with_message(response: Wire, **fields: Any) -> Wire:
    """The same response with other fields in its message."""
    document = document_of(response)
    document["choices"][0]["message"].update(fields)
    return replace(response, body=json.dumps(document).encode())


def with_usage(response: Wire, usage: Any) -> Wire:
    return replace(response, body=json.dumps(document_of(response) | {"usage": usage}).encode())


@habit("an honest endpoint: OpenAI's, with a model that doesn't think")
def plain(inquiry: Inquiry) -> Wire:
    return complete(inquiry, inquiry.text())


@habit("vLLM and llama.cpp without a reasoning parser: Qwen3, DeepSeek-R1")
def thinks_inline(inquiry: Inquiry) -> Wire:
    return complete(inquiry, inquiry.text(), thought_of(inquiry))


@habit("the same, where the chat template has written the opening tag already: Qwen3 Thinking, DeepSeek-R1")
def thinks_without_opening(inquiry: Inquiry) -> Wire:
    return complete(inquiry, inquiry.text(), thought_of(inquiry), inline="{}</think>\n\n")


@habit("GLM and Kimi behind relays, MiniMax: `<thinking>` instead of `<think>`")
def thinks_in_other_tags(inquiry: Inquiry) -> Wire:
    return complete(inquiry, inquiry.text(), thought_of(inquiry), inline="<thinking>\n{}\n</thinking>\n")


@habit("DeepSeek, DashScope, SGLang, vLLM until 0.11")
def thinks_in_reasoning_content(inquiry: Inquiry) -> Wire:
    return complete(inquiry, inquiry.text(), thought_of(inquiry), "reasoning_content")


@habit("OpenRouter, Ollama, Groq, vLLM since 0.12")
def thinks_in_reasoning(inquiry: Inquiry) -> Wire:
    return complete(inquiry, inquiry.text(), thought_of(inquiry), "reasoning")


@habit("OpenAI, Gemini and xAI: thoughts are paid for and not shown")
def thinks_unseen(inquiry: Inquiry) -> Wire:
    response = complete(inquiry, inquiry.text(), thought_of(inquiry), "reasoning")
    document = document_of(response)
    document["choices"][0]["message"].pop("reasoning", None)
    return replace(response, body=json.dumps(document).encode())


@habit("Magistral: thoughts as parts of the content")
def thinks_in_parts(inquiry: Inquiry) -> Wire:
    thought = [{"type": "text", "text": thought_of(inquiry)}]
    response = complete(inquiry, inquiry.text(), thought_of(inquiry), "reasoning")
    content = document_of(response)["choices"][0]["message"]["content"]
    parts = [{"type": "thinking", "thinking": thought, "closed": True}, {"type": "text", "text": content}]
    return with_message(response, content=parts, reasoning=None)


@habit("a thinking model that cites its prompt: a whole reply inside the thought, none of it meant")
def thinks_of_replies_only(inquiry: Inquiry) -> Wire:
    return complete(inquiry, inquiry.text(), f"Perhaps {inquiry.text('draft')}", inline="<think>\n{}\n</think>\nHere it is:\n")


@habit("Qwen3-VL in a loop: it thinks until it is cut, whatever it may spend")
def thinks_for_ever(inquiry: Inquiry) -> Wire:
    return complete(inquiry, inquiry.text(), thought_of(inquiry, inquiry.limit + 1), "reasoning_content")


@habit("Gemini, Claude and most open models where no schema binds them")
def fenced(inquiry: Inquiry) -> Wire:
    return complete(inquiry, f"```json\n{json.dumps(inquiry.reply(), indent=2)}\n```")


@habit("Claude by its compatible endpoint: a word before and a word behind, with braces in both")
def prose_around(inquiry: Inquiry) -> Wire:
    return complete(inquiry, f"As asked {{in JSON}}:\n\n{inquiry.text()}\n\nI kept to {{the keys}} that you named.")


@habit("small open models: a draft, a second look, and the whole again")
def twice(inquiry: Inquiry) -> Wire:
    return complete(inquiry, f"{inquiry.text('draft')}\n\nLet me check the times once more. Corrected:\n\n{inquiry.text()}")


@habit("Llama and Gemma under json_object: a list around the one object")
def list_around(inquiry: Inquiry) -> Wire:
    return complete(inquiry, f"[{inquiry.text()}]")


@habit("Mistral, LiteLLM and Gemini relays: content as a list of parts")
def content_in_parts(inquiry: Inquiry) -> Wire:
    text = inquiry.text()
    half = len(text) // 2
    return with_message(
        complete(inquiry, text), content=[{"type": "text", "text": text[:half]}, {"type": "text", "text": text[half:]}]
    )


@habit("relays that parse JSON on the way: content as an object")
def content_as_object(inquiry: Inquiry) -> Wire:
    return with_message(complete(inquiry, inquiry.text()), content=inquiry.reply())


@habit("Gemini and Llama: numbers as texts")
def numbers_as_texts(inquiry: Inquiry) -> Wire:
    return complete(inquiry, json.dumps(_numbers_as_texts(inquiry.reply())))


@habit("models under json_object: a field of their own, `confidence` or `notes`")
def extra_fields(inquiry: Inquiry) -> Wire:
    return complete(inquiry, json.dumps({**inquiry.reply(), "confidence": 0.93, "notes": "none"}))


@habit("models that were trained on tools: the object inside another one")
def wrapped(inquiry: Inquiry) -> Wire:
    return complete(inquiry, json.dumps({"response": inquiry.reply()}))


@habit("relays that encode a text once too often: JSON inside a JSON string")
def encoded_twice(inquiry: Inquiry) -> Wire:
    return complete(inquiry, json.dumps(inquiry.text()))


@habit("models without constrained decoding: a key that comes twice")
def duplicate_keys(inquiry: Inquiry) -> Wire:
    first, *rest = inquiry.reply().items()
    name, value = first
    pairs = [(name, inquiry.reply("draft").get(name, value)), first, *rest]
    return complete(inquiry, "{" + ", ".join(f"{json.dumps(key)}: {json.dumps(entry)}" for key, entry in pairs) + "}")


@habit("small models, one reply in three: single quotes and a comma too many")
def broken_json(inquiry: Inquiry) -> Wire:
    text = inquiry.text()
    broken = text.replace('"', "'") if inquiry.number % 2 else f"{text[:-1]},}}"
    return complete(inquiry, broken if inquiry.rank % 3 == 0 and not inquiry.answered else text)


@habit("models in Python's dialect, one reply in three: NaN, None and True")
def numbers_that_are_none(inquiry: Inquiry) -> Wire:
    text = inquiry.text()
    broken = re.sub(r'("(?:fps|start_s)": )[\d.]+', r"\1NaN", text, count=1)
    return complete(inquiry, broken if inquiry.rank % 3 == 0 and not inquiry.answered else text)


@habit("servers that take a schema and bind no number by it: any density, such as 2.5")
def free_density(inquiry: Inquiry) -> Wire:
    return complete(inquiry, re.sub(r'("fps": )[\d.]+', r"\g<1>2.5", inquiry.text()))


@habit("byte-level tokenizers that were cut, one reply in three: half a surrogate")
def half_characters(inquiry: Inquiry) -> Wire:
    text = re.sub(r'(": "[^"]{3})', r"\1\\ud83d", inquiry.text(), count=1)
    return complete(inquiry, text if inquiry.rank % 3 == 0 and not inquiry.answered else inquiry.text())


@habit("gateways on .NET: a byte order mark before the body, CRLF in it, and one in the text")
def byte_order_marks(inquiry: Inquiry) -> Wire:
    response = complete(inquiry, "\ufeff" + json.dumps(inquiry.reply(), indent=1).replace("\n", "\r\n"))
    body = json.dumps(document_of(response), indent=1, ensure_ascii=False).replace("\n", "\r\n")
    return replace(response, body=b"\xef\xbb\xbf" + body.encode())


@habit("DeepSeek under load: empty lines come before the body, to keep the connection alive")
def blank_lines_first(inquiry: Inquiry) -> Wire:
    response = complete(inquiry, inquiry.text())
    return replace(response, body=b"\n" * 40 + response.body)


@habit("Gemini, Ollama and TGI: another word for the end of a reply")
def odd_finish(inquiry: Inquiry) -> Wire:
    document = document_of(response := complete(inquiry, inquiry.text()))
    document["choices"][0]["finish_reason"] = ("eos_token", "STOP", None, "end_turn")[inquiry.number % 4]
    return replace(response, body=json.dumps(document).encode())


@habit("relays that turn everything into tool calls: no content, the object as arguments")
def tool_calls(inquiry: Inquiry) -> Wire:
    call = {"id": "call_1", "type": "function", "function": {"name": "reply", "arguments": inquiry.text()}}
    document = document_of(response := with_message(complete(inquiry, inquiry.text()), content=None, tool_calls=[call]))
    document["choices"][0]["finish_reason"] = "tool_calls"
    return replace(response, body=json.dumps(document).encode())


@habit("a model that can't follow the format: prose only")
def never_json(inquiry: Inquiry) -> Wire:
    return complete(
        inquiry, "The video shows a woman in a red coat. She walks to a green door, and then she knocks on it twice."
    )


@habit("TGI, older llama.cpp servers: no usage")
def usage_missing(inquiry: Inquiry) -> Wire:
    document = document_of(response := complete(inquiry, inquiry.text()))
    document.pop("usage")
    return replace(response, body=json.dumps(document).encode())


@habit("relays that pass a stream's last chunk on: usage is null")
def usage_null(inquiry: Inquiry) -> Wire:
    return with_usage(complete(inquiry, inquiry.text()), None)


@habit("one-api relays of free models: all counts are zero")
def usage_zero(inquiry: Inquiry) -> Wire:
    return with_usage(complete(inquiry, inquiry.text()), {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})


@habit("relays that compute usage themselves: negative, as text, beyond reason")
def usage_nonsense(inquiry: Inquiry) -> Wire:
    odd = ({"prompt_tokens": -5, "completion_tokens": "12"}, {"prompt_tokens": 10**30, "completion_tokens": 1.5}, "many", [])
    return with_usage(complete(inquiry, inquiry.text()), odd[inquiry.number % len(odd)])


@habit("every other reply without usage: a router over several servers")
def usage_now_and_then(inquiry: Inquiry) -> Wire:
    response = complete(inquiry, inquiry.text())
    return with_usage(response, None) if inquiry.rank % 2 else response


@habit("large models on busy servers: half a second for everything")
def slow(inquiry: Inquiry) -> Wire:
    return replace(complete(inquiry, inquiry.text()), delay_s=0.3)


@habit("gateways that compress whatever the request accepts")
def compresses_anyhow(inquiry: Inquiry) -> Wire:
    response = complete(inquiry, inquiry.text())
    return replace(response, body=gzip.compress(response.body, mtime=0), headers={"Content-Encoding": "gzip"})


@habit("nginx with a short keepalive_timeout: the connection is closed behind each response")
def closes_connections(inquiry: Inquiry) -> Wire:
    return replace(complete(inquiry, inquiry.text()), closes=True)


def _numbers_as_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers_as_texts(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_numbers_as_texts(entry) for entry in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
