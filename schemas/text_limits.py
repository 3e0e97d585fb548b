"""How long the texts of a task may be: every character is stored, shown to teachers, and paid for each time it is asked."""

from __future__ import annotations

MAX_NAME_CHARS = 1_000
"""The limit for the name of a video: no disk has longer ones."""
MAX_QUESTION_CHARS = 10_000
"""The limit for a question with the options that stand in it; the longest of published sets have some 2,000."""
MAX_OPTION_CHARS = 2_000
"""The limit for an option: longer texts are not compared by their normal form."""
MAX_GOLD_CHARS = 20_000
"""The limit for a right answer: captions of long videos are answers."""
MAX_REPLY_CHARS = 100_000
"""The limit for a whole trajectory, a teacher's or a file's."""
MAX_EXTRAS_CHARS = 50_000
"""The limit for what an export must give back, as JSON."""
