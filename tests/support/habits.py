"""All habits of providers, by name. `python -m tests.support.provider --list` prints them."""

from __future__ import annotations

from tests.support import habits_of_failures, habits_of_parameters, habits_of_replies
from tests.support.habit import HABITS, Habit

__all__ = ["HABITS", "Habit", "habits_of_failures", "habits_of_parameters", "habits_of_replies"]
