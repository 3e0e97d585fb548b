"""Three hundred pairs of questions, labelled by how they were made: does the second ask for the same as the first?

Two thirds come from a generator: a question, and what was done to it, which says the label. A third was written by hand. The
labels were there before any rule was tried on them. `python -m tests.judging.question_pairs` writes the file beside this one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

FILE = Path(__file__).with_suffix(".jsonl")
OF_EACH = 14
"""Generated pairs of each kind."""

ACTORS = (
    ("man", "woman"), ("girl", "boy"), ("cyclist", "runner"), ("waiter", "chef"), ("dog", "cat"), ("driver", "passenger"),
    ("teacher", "student"), ("painter", "carpenter"), ("nurse", "doctor"), ("child", "father"),
)  # fmt: skip
DEEDS = (  # base form, third person, participle, a synonym in the base form, its third person, and what else could be done
    ("open", "opens", "opened", "unlock", "unlocks", "close"),
    ("lift", "lifts", "lifted", "raise", "raises", "drop"),
    ("throw", "throws", "thrown", "toss", "tosses", "catch"),
    ("grab", "grabs", "grabbed", "seize", "seizes", "push"),
    ("wash", "washes", "washed", "rinse", "rinses", "paint"),
    ("fix", "fixes", "fixed", "repair", "repairs", "break"),
    ("carry", "carries", "carried", "bring", "brings", "hide"),
    ("inspect", "inspects", "inspected", "examine", "examines", "kick"),
)
THINGS = (
    ("door", "window"), ("bucket", "ladder"), ("suitcase", "umbrella"), ("guitar", "drum"), ("kettle", "frying pan"),
    ("bicycle", "scooter"), ("lantern", "candle"), ("crate", "barrel"), ("mirror", "curtain"), ("helmet", "jacket"),
)  # fmt: skip
COLOURS = ("red", "green", "blue", "yellow", "white", "black", "orange", "purple")
NUMBERS = ("two", "three", "four", "five", "six", "seven")
ORDINALS = ("first", "second", "third", "last")
SCENES = ("the phone rings", "the bus leaves", "the lights go out", "the crowd cheers", "it begins to rain", "the music stops")
EVENTS = (
    "a bird lands on the fence", "somebody pours milk into the bowl", "the train enters the tunnel", "two players shake hands",
    "smoke rises from the chimney", "the referee shows a card",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class QuestionPair:
    """Two questions, and whether they ask for the same."""

    how: str
    """What was done to the first one."""
    first: str
    second: str
    same: bool


def generated(seed: int = 300) -> Iterator[QuestionPair]:
    """The pairs of the generator, for one seed always the same."""
    draw = Random(seed)
    for how, same, make in KINDS:
        seen = set[tuple[str, str]]()
        while len(seen) < OF_EACH:
            first, second = make(draw)
            if (first, second) not in seen:
                seen.add((first, second))
                yield QuestionPair(how, first, second, same)


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a question is about."""

    actor: str
    other_actor: str
    deed: tuple[str, ...]
    thing: str
    other_thing: str
    colour: str
    other_colour: str
    number: str
    other_number: str
    scene: str
    other_scene: str


def _drawn(draw: Random) -> _Scene:
    actor, thing = draw.choice(ACTORS), draw.choice(THINGS)
    colours, numbers, scenes = draw.sample(COLOURS, 2), draw.sample(NUMBERS, 2), draw.sample(SCENES, 2)
    return _Scene(*actor, draw.choice(DEEDS), *thing, *colours, *numbers, *scenes)


def _when(s: _Scene) -> str:
    return f"When does the {s.actor} {s.deed[0]} the {s.colour} {s.thing}?"


def _after(s: _Scene) -> str:
    return f"What does the {s.actor} {s.deed[0]} after {s.scene}?"


def _count(s: _Scene) -> str:
    return f"How many times does the {s.actor} {s.deed[0]} the {s.thing} before {s.scene}?"


def _punctuation(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    first = draw.choice((_when, _after, _count))(s)
    second = draw.choice((first.lower(), first.upper(), first.replace("?", " ?"), first.replace(" the ", "  the ")))
    return first, second if second != first else first.rstrip("?") + " ..."


def _function_words(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    return _when(s), f"In the video, when is it that a {s.actor} {s.deed[1]} a {s.colour} {s.thing}?"


def _time_words(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    asking = draw.choice(("At what time", "At which moment", "At what point in the clip"))
    return _when(s), f"{asking} does the {s.actor} {s.deed[0]} the {s.colour} {s.thing}?"


def _fronted(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    first = draw.choice((_after, _count))(s)
    for word in ("after", "before"):
        if f" {word} " in first:
            asked, _, clause = first.rstrip("?").partition(f" {word} ")
            return first, f"{word.capitalize()} {clause}, {asked[0].lower()}{asked[1:]}?"
    raise AssertionError(first)


def _passive(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    return _when(s), f"When is the {s.colour} {s.thing} {s.deed[2]} by the {s.actor}?"


def _synonym(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    return _when(s), f"When does the {s.actor} {s.deed[3]} the {s.colour} {s.thing}?"


def _reworded(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    return _when(s), f"Find the part in which the {s.colour} {s.thing} gets {s.deed[2]} by the {s.actor}."


def _other_number(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    rows = [f"When are {number} {s.colour} {s.thing}s seen next to the {s.actor}?" for number in (s.number, s.other_number)]
    return rows[0], rows[1]


def _other_thing(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    return _when(s), f"When does the {s.actor} {s.deed[0]} the {s.colour} {s.other_thing}?"


def _other_colour(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    return _when(s), f"When does the {s.actor} {s.deed[0]} the {s.other_colour} {s.thing}?"


def _other_actor(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    return _after(s), f"What does the {s.other_actor} {s.deed[0]} after {s.scene}?"


def _other_deed(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    return _when(s), f"When does the {s.actor} {s.deed[5]} the {s.colour} {s.thing}?"


def _negated(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    return f"Why does the {s.actor} {s.deed[0]} the {s.thing}?", f"Why doesn't the {s.actor} {s.deed[0]} the {s.thing}?"


def _turned_order(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    return _after(s), f"What does the {s.actor} {s.deed[0]} before {s.scene}?"


def _swapped(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    deed = draw.choice(("follow", "push", "hug", "overtake", "chase"))
    return f"When does the {s.actor} {deed} the {s.other_actor}?", f"When does the {s.other_actor} {deed} the {s.actor}?"


def _other_word(draw: Random) -> tuple[str, str]:
    s = _drawn(draw)
    asking = draw.choice(("Where", "Why", "How"))
    return _when(s), f"{asking} does the {s.actor} {s.deed[0]} the {s.colour} {s.thing}?"


def _other_event(draw: Random) -> tuple[str, str]:
    first, second = draw.sample(EVENTS, 2)
    return f"What happens while {first}?", f"What happens while {second}?"


KINDS = (
    ("punctuation and case", True, _punctuation), ("function words", True, _function_words),
    ("words for when", True, _time_words), ("a clause in front", True, _fronted),
    ("passive", True, _passive), ("synonym", True, _synonym), ("reworded", True, _reworded),
    ("other number", False, _other_number), ("other thing", False, _other_thing), ("other colour", False, _other_colour),
    ("other actor", False, _other_actor), ("other deed", False, _other_deed), ("negation", False, _negated),
    ("before for after", False, _turned_order), ("actors swapped", False, _swapped),
    ("other question word", False, _other_word), ("other event", False, _other_event),
)  # fmt: skip

SAME_BY_HAND = (
    ("What is the man in the hat doing with the rope?", "What does the man wearing a hat do with the rope?"),
    ("Where did she put the keys?", "In which place did she leave the keys?"),
    ("How many cars pass the gate?", "What is the number of cars that drive past the gate?"),
    ("Who wins the race at the end?", "Which runner comes first when the race is over?"),
    ("What colour is the ball the dog brings back?", "The dog returns with a ball of what color?"),
    ("Why does the crowd start to clap?", "For what reason do the people begin to applaud?"),
    ("What does the cook add after the onions?", "Which ingredient follows the onions?"),
    ("When do the two boats meet?", "At which second do both boats come together?"),
    ("What is written on the sign by the road?", "What does the roadside sign say?"),
    ("How long does the girl hold her breath under water?", "For how many seconds does the girl stay under water?"),
    ("What does he do right after he sits down?", "Once seated, what is the next thing he does?"),
    ("Which door does the thief leave through?", "Through which exit does the burglar get out?"),
    ("How does the boy get onto the roof?", "In what way does the boy climb up to the roof?"),
    ("What falls off the table?", "Which object drops from the table?"),
    ("Is the shop open when the rain begins?", "When it starts raining, is the store open?"),
    ("What is the last thing the woman packs?", "Which item goes into the woman's bag last?"),
    ("Who picks up the phone?", "Who answers the telephone call?"),
    ("What instrument does the old man play?", "Which instrument is played by the old man?"),
    ("At what moment does the light turn green?", "When does the traffic light change to green?"),
    ("What does the child hide behind?", "Behind what is the child hiding?"),
    ("How many people are in the room when the lamp falls?", "When the lamp falls over, how many persons are in the room?"),
    ("What happens to the vase?", "What becomes of the vase?"),
    ("Which team scores first?", "What team gets the first goal?"),
    ("Why is the driver angry?", "What makes the driver angry?"),
    ("What does the sailor tie to the post?", "What is fastened to the post by the sailor?"),
    ("When does somebody knock at the door?", "When can a knock on the door be seen?"),
    ("What kind of animal crosses the street?", "Which animal walks across the street?"),
    ("How does the video end?", "What is the last scene of the video?"),
)
OTHER_BY_HAND = (
    ("What is the man in the hat doing with the rope?", "What is the man in the hat doing with the hose?"),
    ("Where did she put the keys?", "Where did she find the keys?"),
    ("How many cars pass the gate?", "How many trucks pass the gate?"),
    ("Who wins the race at the end?", "Who loses the race at the end?"),
    ("What colour is the ball the dog brings back?", "What colour is the dog that brings back the ball?"),
    ("Why does the crowd start to clap?", "When does the crowd start to clap?"),
    ("What does the cook add after the onions?", "What does the cook add before the onions?"),
    ("When do the two boats meet?", "When do the two boats part?"),
    ("What is written on the sign by the road?", "What is drawn on the sign by the road?"),
    ("How long does the girl hold her breath under water?", "How often does the girl hold her breath under water?"),
    ("What does he do right after he sits down?", "What does he do right after he stands up?"),
    ("Which door does the thief leave through?", "Which door does the thief enter through?"),
    ("How does the boy get onto the roof?", "How does the boy get off the roof?"),
    ("What falls off the table?", "What lies on the table?"),
    ("Is the shop open when the rain begins?", "Is the shop open when the rain ends?"),
    ("What is the last thing the woman packs?", "What is the first thing the woman packs?"),
    ("Who picks up the phone?", "Who puts down the phone?"),
    ("What instrument does the old man play?", "What instrument does the young man play?"),
    ("At what moment does the light turn green?", "At what moment does the light turn red?"),
    ("What does the child hide behind?", "Who does the child hide from?"),
    ("How many people are in the room when the lamp falls?", "How many people are in the garden when the lamp falls?"),
    ("What happens to the vase?", "What happens to the vase's owner?"),
    ("Which team scores first?", "Which team scores last?"),
    ("Why is the driver angry?", "Why is the driver not angry?"),
    ("What does the sailor tie to the post?", "What does the sailor tie to the mast?"),
    ("When does somebody knock at the door?", "When does nobody stand at the door?"),
    ("What kind of animal crosses the street?", "What kind of animal sleeps in the street?"),
    ("How does the video end?", "How does the video begin?"),
    ("When does the left player serve?", "When does the right player serve?"),
    ("What does the girl give to the boy?", "What does the boy give to the girl?"),
    ("How many steps does he take before he stops?", "How many steps does he take before he turns?"),
    ("Which of the three cups hides the coin?", "Which of the four cups hides the coin?"),
    ("What is on the plate at 0:30?", "What is on the plate at 1:30?"),
    ("What does the woman buy with the money that she finds?", "What does the woman do with the ring that she finds?"),
)


def pairs() -> list[QuestionPair]:
    """All of them."""
    by_hand = [
        QuestionPair("by hand", first, second, same)
        for same, written in ((True, SAME_BY_HAND), (False, OTHER_BY_HAND))
        for first, second in written
    ]
    return [*generated(), *by_hand]


def kept() -> list[QuestionPair]:
    """The pairs as they stand in the file."""
    return [QuestionPair(**json.loads(line)) for line in FILE.read_text("utf-8").splitlines()]


if __name__ == "__main__":
    FILE.write_text("".join(json.dumps(asdict(pair)) + "\n" for pair in pairs()), "utf-8")
