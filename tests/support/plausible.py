"""What a model would plausibly reply: by the JSON schema that was sent, by the examples in the prompt, or by both.

It knows no prompt and no class: an example object is found in whatever the messages say, and varied; where a schema is sent,
the object is made to fit it. The same request gives the same reply.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from random import Random
from typing import Any

WORDS = (
    ("red", "blue", "green", "white", "black", "yellow", "grey", "brown", "orange", "purple"),
    ("woman", "man", "girl", "boy", "child", "dancer", "worker", "runner"),
    ("door", "gate", "window", "box", "wall", "table", "bench", "fence", "shelf"),
    ("coat", "shirt", "hat", "scarf", "jacket", "dress"),
    ("dog", "cat", "bird", "horse", "rabbit", "pig"),
    ("bag", "cup", "book", "lamp", "phone", "bottle", "ball"),
    ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    ("MONDAYS", "TUESDAYS", "SUNDAYS", "FRIDAYS"),
    ("bread", "cheese", "rope", "paper"),
)
"""Words that stand for one another in a varied example."""
VERBS = ("walks past", "stands beside", "turns towards", "touches", "moves away from", "points at")
FAMILY = {word: family for family in WORDS for word in family}
DECIMAL = re.compile(r"\d+\.\d+")
SPAN = re.compile(r"\d+(?:\.\d+)? - \d+(?:\.\d+)?")
LETTERED = re.compile(r"\b([A-H])\. (.+?)(?=\s+[A-H]\. |\n|$)")
LAST_S = 5.0
"""How long something is taken to last where the messages name no time."""


class Scene:
    """What a request says that a reply can go by: its times, its examples, its question, whether anything is shown."""

    def __init__(self, system: str, user: str, images: int, seed: str) -> None:
        self.rng = Random(sha256(f"{seed}\0{system}\0{user}".encode()).digest())
        self.examples = list(objects_in(system))
        numbers = [float(number) for number in DECIMAL.findall(user)] or [0.0, LAST_S]
        self.first_s, self.last_s = min(numbers), max(numbers)
        if self.last_s - self.first_s < 0.2:
            self.first_s, self.last_s = 0.0, max(self.last_s, LAST_S)
        self.sees = images > 0
        questions = [line.strip() for line in user.splitlines() if line.strip().endswith("?")]
        self.question = questions[-1] if questions else ""
        self.options = [option for _, option in LETTERED.findall(user)]

    def span_s(self) -> tuple[float, float]:
        """A stretch within the times that the request names."""
        length_s = (self.last_s - self.first_s) * self.rng.uniform(0.2, 0.6)
        start_s = round(self.rng.uniform(self.first_s, self.last_s - length_s), 1)
        start_s = max(start_s, self.first_s)
        return start_s, max(round(start_s + 0.1, 2), min(round(start_s + length_s, 1), self.last_s))


def objects_in(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that a text holds, in their order; none inside another."""
    decoder, position = json.JSONDecoder(), text.find("{")
    while position >= 0:
        try:
            value, end = decoder.raw_decode(text, position)
        except ValueError:
            value, end = None, position + 1
        if isinstance(value, dict):
            yield value
        position = text.find("{", end)


def reply(scene: Scene, schema: dict[str, Any] | None) -> dict[str, Any]:
    """A reply: an example that is varied, and fitted to the schema where one was sent."""
    names = set((schema or {}).get("properties", {}))
    names = names or set(scene.examples[-1] if scene.examples else ())
    alike = [example for example in scene.examples if set(example) == names]
    draft: Any = _vary(scene.rng.choice(alike), alike, scene, "") if alike else None
    if schema is not None:
        draft = fit(draft, schema, scene, schema)
    if not isinstance(draft, dict):
        draft = {"answer": sentence(scene.rng)}
    if scene.question and isinstance(draft.get("answer"), str):
        choices = {str(example.get("answer")) for example in alike} | set(_enum_of(schema or {}, "answer"))
        if not choices <= {"yes", "no"}:
            draft["answer"] = belief(scene.question, scene.options, scene)
    return draft


def belief(question: str, options: list[str], scene: Scene) -> str:
    """What the model holds to be the answer to a question: the same each time it sees, another one where it doesn't."""
    rng = Random(f"{' '.join(question.lower().split())} {scene.sees}")
    if options:
        return "ABCDEFGH"[rng.randrange(len(options))]
    if re.match(r"(how (many|often)|how long)\b", question, re.IGNORECASE):
        return str(rng.randint(2, 9))
    if re.match(r"when\b", question, re.IGNORECASE):
        start_s, end_s = scene.span_s()
        return f"{start_s:.2f} - {end_s:.2f}"
    return f"a {rng.choice(WORDS[0])} {rng.choice(WORDS[5])}"


def sentence(rng: Random) -> str:
    """A short English sentence."""
    colour, near = rng.sample(WORDS[0], 2)
    return f"A {colour} {rng.choice(WORDS[1])} {rng.choice(VERBS)} the {near} {rng.choice(WORDS[2])}."


def fit(value: Any, schema: dict[str, Any], scene: Scene, root: dict[str, Any], name: str = "") -> Any:
    """A value as a schema wants it: kept where it fits, else mended, else invented."""
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if choices := schema.get("enum"):
        return value if value in choices else scene.rng.choice(choices)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((entry for entry in kind if entry != "null"), "null")
    if kind == "object" or "properties" in schema:
        return _fit_object(value if isinstance(value, dict) else {}, schema, scene, root)
    if kind == "array":
        least = schema.get("minItems", 0)
        items = list(value) if isinstance(value, list) else [None] * max(least, scene.rng.randint(1, 2))
        items += [None] * (least - len(items))
        return [fit(item, schema.get("items", {}), scene, root, name) for item in items[: schema.get("maxItems")]]
    if kind in ("number", "integer"):
        return _fit_number(value, schema, scene, name, kind)
    if kind == "boolean":
        return value if isinstance(value, bool) else scene.rng.random() < 0.5
    if kind == "null":
        return None
    text = value if isinstance(value, str) else sentence(scene.rng)
    return text[: schema.get("maxLength")]


def _fit_object(value: dict[str, Any], schema: dict[str, Any], scene: Scene, root: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = schema.get("properties", {})
    fitted = {name: fit(value.get(name), part, scene, root, name) for name, part in properties.items()}
    start, end = _bounds(fitted)
    if start and end and not (value.get(start) and value.get(end)) and fitted[start] >= fitted[end]:
        fitted[start], fitted[end] = _ordered(fitted[start], fitted[end])
    return fitted


def _fit_number(value: Any, schema: dict[str, Any], scene: Scene, name: str, kind: str) -> float | int:
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum", schema.get("exclusiveMaximum"))
    if not isinstance(value, int | float) or isinstance(value, bool):
        about_time = name.endswith("_s") or "second" in str(schema.get("description", "")).split(".")[0]
        bottom = low if low is not None else (scene.first_s if about_time else 1)
        top = high if high is not None and high < 1000 else (scene.last_s if about_time else bottom + 5)
        value = round(scene.rng.uniform(float(bottom), float(max(bottom, top))), 2)
    value = max(value, low) if low is not None else value
    value = min(value, high) if high is not None else value
    return round(value) if kind == "integer" else value


def _ordered(start: float, end: float) -> tuple[float, float]:
    return (end, start) if end < start else (start, round(start + 0.5, 2))


def _enum_of(schema: dict[str, Any], name: str) -> list[Any]:
    return schema.get("properties", {}).get(name, {}).get("enum", [])


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A schema without references and choices: the first branch that isn't null."""
    while True:
        if reference := schema.get("$ref"):
            target: Any = root
            for step in reference.removeprefix("#/").split("/"):
                target = target[step]
            schema = target
        elif branches := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            schema = next((branch for branch in branches if branch.get("type") != "null"), branches[0])
        else:
            return schema


def _vary(value: Any, alike: list[dict[str, Any]], scene: Scene, name: str, words: dict[str, str] | None = None) -> Any:
    """A value like the example's: other words, each in place of the same one; other times; as many entries or a few more."""
    rng = scene.rng
    if isinstance(value, dict):
        words = _swaps(rng) if words is None else words
        varied = {key: _vary(entry, alike, scene, key, words) for key, entry in value.items()}
        start, end = _bounds(varied)
        if start and end:
            varied[start], varied[end] = scene.span_s()
        _answer_itself(varied, scene)
        return varied
    if isinstance(value, list) and value and isinstance(value[0], dict):
        if words is not None and len(value) == 1:  # an object inside one that is varied already
            return [_vary(value[0], alike, scene, name, words)]
        pool = [entry for example in alike for entry in _lists(example.get(name))] or value
        return [_vary(rng.choice(pool), alike, scene, name) for _ in range(rng.randint(max(1, len(pool) // 2), len(pool) + 1))]
    if isinstance(value, list):
        return [_vary(entry, alike, scene, name, words) for entry in value]
    if isinstance(value, str):
        text = re.sub(r"[A-Za-z]+", lambda match: (words or {}).get(match[0], match[0]), value)
        start_s, end_s = scene.span_s()
        if SPAN.fullmatch(text):
            return f"{start_s:.2f} - {end_s:.2f}"
        count = max(1, len(DECIMAL.findall(text)) - 1)
        times_s = iter(start_s + (end_s - start_s) * index / count for index in range(count + 1))
        return DECIMAL.sub(lambda _: f"{next(times_s):.1f}", text)
    return value


def _answer_itself(varied: dict[str, Any], scene: Scene) -> None:
    """Give a question that the model writes the answer that it would give when it sees."""
    question, options = varied.get("question"), varied.get("options")
    if not isinstance(question, str) or "answer" not in varied or SPAN.fullmatch(str(varied["answer"])):
        return
    sees, scene.sees = scene.sees, True
    answer = belief(question, options if isinstance(options, list) else [], scene)
    scene.sees = sees
    varied["answer"] = options["ABCDEFGH".index(answer)] if isinstance(options, list) and options else answer


def _lists(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _bounds(value: dict[str, Any]) -> tuple[str, str]:
    """The names of the beginning and the end of something, where an object has both as numbers."""
    numbers = [name for name, entry in value.items() if isinstance(entry, int | float)]
    start = next((name for name in numbers if re.match(r"(start|begin|from)", name)), "")
    end = next((name for name in numbers if re.match(r"(end|stop|to\b)", name)), "")
    return (start, end) if start and end else ("", "")


def _swaps(rng: Random) -> dict[str, str]:
    """For each word that has others like it another one; no two words become the same."""
    return {word: other for family in WORDS for word, other in zip(family, rng.sample(family, len(family)), strict=True)}
