"""Which habit leads to what: in each table those of which the same is expected, with what must be said or the recipe."""

from __future__ import annotations

from tests.providers.tried import LIMIT, TEMPERATURE, Case

WORDS_OF_FILTERS = "filter|refus|inspection|inappropriate|prohibited|sensitive|moderation|content|no message"

AS_PLAIN = {
    name: Case(name)
    for name in (
        "thinks-inline", "thinks-without-opening", "thinks-in-other-tags", "thinks-in-reasoning-content", "thinks-in-reasoning",
        "thinks-unseen", "thinks-in-parts", "thinks-of-replies-only", "fenced", "prose-around", "twice", "list-around",
        "content-in-parts", "content-as-object", "numbers-as-texts", "byte-order-marks", "blank-lines-first", "odd-finish",
        "slow", "closes-connections", "usage-missing", "usage-null", "usage-zero", "usage-nonsense", "usage-now-and-then",
        "ignores-the-schema",
    )
} | {
    "thinks-inline, annotate": Case("thinks-inline", "annotate"),
    "thinks-of-replies-only, annotate": Case("thinks-of-replies-only", "annotate"),
    "twice, annotate": Case("twice", "annotate"),
    "numbers-as-texts, annotate": Case("numbers-as-texts", "annotate"),
    "low-ceiling, 4096": Case("low-ceiling", settings="max_output_tokens = 4096\n" + TEMPERATURE),
    "plain, [teacher]": Case("plain", teacher=LIMIT),
    "thinks-inline, [teacher]": Case("thinks-inline", teacher=LIMIT + TEMPERATURE),
}  # fmt: skip
"""What makes just what an honest endpoint makes, with no call more."""

ADAPTED = {
    "refuses-seed": "seed", "refuses-seed-with-a-list": "seed", "refuses-seed-as-gemini": "seed",
    "refuses-temperature": "temperature", "refuses-temperature-in-prose": "temperature",
    "wants-max-tokens": "max_completion_tokens|max_tokens", "refuses-max-tokens": "",
    "wants-json-object": "response_format|json_schema|json_object", "wants-no-format": "response_format|json_schema",
    "wants-the-word-json": "response_format|json_schema|json_object", "refuses-all-in-turn": "seed",
    "refuses-all-at-once": "seed",
    "refuses-the-grammar": "response_format|json_schema|json_object|grammar",
}  # fmt: skip
"""Parameters that are refused, and what the one line must name that says so."""

TRIED_AGAIN = {
    name: Case(name)
    for name in (
        "broken-json", "numbers-that-are-none", "half-characters", "duplicate-keys", "busy-at-first", "busy-as-gemini",
        "overloaded-at-first", "loads-at-first", "proxied-at-first", "errors-in-200-at-first", "errors-in-a-choice-at-first",
        "resets-at-first", "hangs-at-first",
    )
}  # fmt: skip
"""What passes, or spoils a reply now and then: everything is made in the end."""
TRIED_AGAIN |= {
    "thinks-unseen, 512": Case("thinks-unseen", settings="max_output_tokens = 512\n"),
    "thinks-inline, 512": Case("thinks-inline", settings="max_output_tokens = 512\n"),
    "thinks-without-opening, 512": Case("thinks-without-opening", settings="max_output_tokens = 512\n"),
    "free-density, annotate": Case("free-density", "annotate"),
}

UNKNOWN = ("resets-at-first", "hangs-at-first", "errors-in-a-choice-at-first")
"""Of these nobody but the provider knows what they cost."""

FILTERED = (
    "filters-by-finish", "filters-by-code", "filters-as-dashscope", "filters-as-gemini", "filters-without-message",
    "filters-with-empty-choices", "filters-with-null", "filters-by-safety", "refuses-in-a-field", "filters-by-moderation",
    "refuses-an-image",
)  # fmt: skip
"""Some parts are refused: a storyline with gaps comes of each video all the same."""

STOPS = {
    "wrong-key": r"401.*Incorrect API key provided",
    "echoes-the-key": r"401.*invalid token",
    "no-credit": r"402.*Insufficient Balance",
    "no-quota": r"429.*exceeded your current quota",
    "no-quota-today": r"quota of the day|exceeded your current quota",
    "forbidden": r"403.*Country, region, or territory not supported",
    "unknown-model": r"404.*does not exist",
    "unknown-path": r"404.*Not Found.*127\.0\.0\.1:\d+/v1",
    "login-page": r"Sign in to continue",
    "redirects": r"redirect.*elsewhere\.invalid",
    "always-502": r"502.*Bad Gateway",
    "always-503": r"503.*overloaded",
    "always-busy": r"429|Too Many Requests",
    "errors-in-200": r"No endpoints found that support image input",
    "always-resets": r"connection broke",
    "always-hangs": r"timeout_s = 4",
    "streams-only": r"only support stream mode",
    "never-json": r"The video shows a woman in a red coat",
    "thinks-for-ever": r"cut off at max_output_tokens = \d+",
    "filters-everything": WORDS_OF_FILTERS,
}
"""Nothing can be made: what a person must be told, in the provider's own words."""

BAD_REQUESTS = ("errors-in-200", "streams-only")
"""400 may be about one question: which video it was is said, too."""
UNBILLED = ("login-page", "always-resets", "always-hangs")
"""No completion comes, and none is booked as if it were the longest that could have come."""

EITHER_WAY = {
    "tool-calls": "tool_calls|tool call|no JSON|empty|arguments",
    "streams-anyhow": "data:|event-stream|stream",
    "extra-fields": "confidence",
    "wrapped": "response",
    "encoded-twice": "JSON|events",
    "compresses-anyhow": "compressed",
    "low-ceiling": "4096",
    "echoes-the-key-in-replies": "",
}
"""What may be lived with as well as refused with a word: but not in between."""

TOO_LARGE = {
    "few-images": r"At most 8 image\(s\) may be provided",
    "small-bodies": r"413.*Request Entity Too Large",
    "small-bodies-in-json": r"413.*exceeds the maximum size",
    "small-payloads-as-gemini": r"payload size exceeds the limit",
    "short-context": r"maximum context length is 1500 tokens",
}
"""Some questions are larger than the endpoint takes: their inputs are rejected, one by one, and the rest is made."""
WITHIN = {
    "few-images, max_images": Case("few-images", teacher=LIMIT + "max_images = 8\n"),
    "small-bodies, max_request_mb": Case("small-bodies", teacher=LIMIT + "max_request_mb = 0.12\n"),
}
"""The same with the limit in the recipe: patches are left out, and everything is made."""
