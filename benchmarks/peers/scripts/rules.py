"""Four rules about a trajectory, in plain Python: what both filters ask of each row. Shared, and counted with neither."""

import os
import re
from collections import Counter

WORD = re.compile(r"[^\W_]+")
COMMON = "the and but of to it its at by for from with then than that this there is are was were not one two when"
ENGLISH = frozenset(COMMON.split())
JUDGED = os.environ.get("JUDGED")
"""A file that grows by a byte with each row that is judged."""
_file = os.open(JUDGED, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if JUDGED else None


def judge(text: str, answer: str) -> str:
    """The first thing that is wrong, or nothing."""
    if _file is not None:
        os.write(_file, b".")
    words = [word.lower() for word in WORD.findall(text)]
    if len(words) < 20:
        return "too short"
    if sum(word in ENGLISH for word in words) < 0.15 * len(words):
        return "not English"
    grams = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    if max(grams.values()) > 3:
        return "repeats itself"
    if len(answer.split()) > 4:
        return "more than an answer"
    return ""
