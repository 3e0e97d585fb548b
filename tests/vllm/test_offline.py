"""vLLM continues rows exactly as the engine in this process does, and does each part of the work once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import pytest

from dmforge.generators.inference.engines.engine import FailedRow, Sampling
from dmforge.generators.inference.engines.messages import Generate, Generated, GenerationTransport, Order
from dmforge.generators.inference.engines.remote_rows import EngineResources, GenerationTotals, RemoteConversation
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.retrace import retrace
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, RolloutResult, prompt_of, roll
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import COARSE
from tests.support.taught import QUESTION, Tinted
from tests.vllm.conftest import Watched, quests, watching

ODD = Tinted("blue", "red", Fraction(3537, 100), 40)
"""Its coarse times are no whole number of anything."""
LOOK = Look(Window(1013, 1347), Fraction(3))


@dataclass
class Overhearing:
    """The courier of an engine, and all that went through its hands."""

    transport: GenerationTransport
    legs: dict[int, list[Generate]] = field(default_factory=dict[int, list[Generate]])
    contexts: dict[int, list[tuple[int, ...]]] = field(default_factory=dict[int, list[tuple[int, ...]]])
    late_by: int = 0
    """Ticks that are added to the times of each clip."""

    def send(self, row_index: int, order: Order, request: Generate) -> None:
        clips = tuple(replace(clip, ticks=tuple(tick + self.late_by for tick in clip.ticks)) for clip in request.clips)
        self.legs.setdefault(row_index, []).append(request)
        self.transport.send(row_index, order, replace(request, clips=clips))

    def receive(self) -> Mapping[int, Generated | FailedRow]:
        found = self.transport.receive()
        for number, gone in found.items():
            assert isinstance(gone, Generated)
            self.contexts.setdefault(number, []).append(gone.context)
        return found

    def clear(self) -> None:
        self.transport.clear()


@dataclass
class Overheard:
    """An engine with an overhearing courier."""

    watched: Watched
    transport: Overhearing

    dialect: DialectName = "span"

    def converse(self, rows: list[Sampling]) -> RemoteConversation:
        return RemoteConversation(
            self.watched.engine.layout, self.transport, rows, EngineResources(1024, 1024, 3), GenerationTotals()
        )

    def close(self) -> None:
        pass


def ids(rows: list[RolloutResult]) -> list[list[tuple[int, ...]]]:
    return [[words.ids for words in row.written] for row in rows]


def apart(rows: list[RolloutResult], others: list[RolloutResult]) -> float:
    """The largest difference between log-probabilities."""
    pairs = zip(rows, others, strict=True)
    told = [(a, b) for row, other in pairs for a, b in zip(row.written, other.written, strict=True)]
    return max(abs(p - q) for a, b in told for p, q in zip(a.log_probs, b.log_probs, strict=True))


def numbers(footage: Tinted, times_s: tuple[Fraction, ...]) -> list[int]:
    """As the vision tower should see them: an odd last frame twice."""
    found = [footage.number(time_s) for time_s in times_s]
    return found + found[-1:] * (len(found) % 2)


def coarse_numbers(footage: Tinted) -> list[int]:
    return numbers(footage, plan_coarse(footage.duration_s, Fraction(1)).times_s)


def look_numbers(footage: Tinted, look: Look) -> list[int]:
    return numbers(footage, plan_look(look, footage.duration_s, max_frames=24).times_s)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.3])
def test_tokens_are_those_of_the_engine_in_this_process(watched: Watched, here: TransformersEngine, temperature: float) -> None:
    asked = [quest for footage in (Tinted("red"), Tinted("blue")) for quest in quests(footage, range(6), temperature)]
    asked += quests(ODD, range(2), temperature, forced=LOOK)
    expected, found = roll(here, asked), roll(watched.engine, asked)
    assert ids(found) == ids(expected)
    assert [row.transcript for row in found] == [row.transcript for row in expected]
    assert apart(found, expected) < 1e-4
    looked = [row for row in found if len(row.written) == 2]
    assert looked, "no row looked: nothing of its second leg was seen"


def test_three_looks_are_continued_as_in_this_process(watched: Watched, here: TransformersEngine) -> None:
    """They are forced where the student would look or end its thought: what stood there before is in no context."""
    windows = tuple(Window(start_cs, start_cs + 300) for start_cs in (100, 900, 500))
    looks = tuple(Look(window, Fraction(fps)) for window, fps in zip(windows, (1, 3, 2), strict=True))
    plain = [*quests(Tinted("red", "blue"), range(4)), *quests(ODD, range(2), 0.0)]
    asked = [
        replace(quest, steps=steps, sampling=replace(quest.sampling, max_tokens=160))
        for quest in plain
        for steps in (windows, looks)
    ]
    limits = RolloutLimits(max_looks=3)
    expected, found = roll(here, asked, limits), roll(watched.engine, asked, limits)
    assert ids(found) == ids(expected)
    assert [row.transcript for row in found] == [row.transcript for row in expected]
    assert apart(found, expected) < 1e-4
    assert {row.looks for row in found[1::2]} == {looks}
    assert any(len(row.looks) == 3 for row in found[::2]), "no row wrote three densities of its own"
    assert any(words.stop == "tag" for row in found for words in row.written)


def test_what_it_writes_depends_on_the_pixels_of_both_clips(watched: Watched) -> None:
    (red,), (blue,) = (roll(watched.engine, quests(Tinted(colour), [0], 0.0)) for colour in ("red", "blue"))
    assert (red.written[0].text.split("<span>")[0], blue.written[0].text.split("<span>")[0]) == (
        "<think>Early.",
        "<think>Late.",
    )

    asked = [quests(Tinted("red", near), [0], 0.0, forced=LOOK)[0] for near in ("red", "blue")]
    assert [row.written[0].text[:10] for row in roll(watched.engine, asked)] == ["It is red.", "It is blue"]


def test_the_model_is_shown_the_very_tokens_that_training_lays_out(watched: Watched) -> None:
    transport = Overhearing(watched.engine.pool)
    asked = [*quests(ODD, range(4)), *quests(Tinted("red"), range(4))]
    rows = roll(Overheard(watched, transport), asked)
    stamped = 0
    for number, (quest, row) in enumerate(zip(asked, rows, strict=True)):
        laid = retrace(row, quest.footage, watched.engine.layout).ids.tolist()
        for context in transport.contexts[number]:
            assert list(context) == laid[: len(context)]
        stamped += len(row.looks)
    assert stamped, "no row looked: no stamp of a second clip was seen"
    text = watched.engine.layout.vocabulary.decode(list(transport.contexts[0][0]))
    first, second = (plan_coarse(ODD.duration_s, Fraction(1)).times_s[at] for at in (0, 1))
    assert f"<{float((first + second) / 2):.1f} seconds>" in text


def test_another_time_on_a_frame_is_noticed(watched: Watched) -> None:
    transport = Overhearing(watched.engine.pool, late_by=2000)
    with pytest.raises(DmforgeError, match="another context"):
        roll(Overheard(watched, transport), quests(ODD, [0]))


def test_the_frames_that_were_asked_for_reach_the_vision_tower(watched: Watched) -> None:
    footage = Tinted("red", "blue", Fraction(48), 500)
    watched.seen()
    rows = roll(watched.engine, quests(footage, range(8)))
    looks = {look for row in rows for look in row.looks}
    assert looks
    seen = watched.seen()
    for look in looks:
        assert look_numbers(footage, look) in seen
    assert Counter(map(tuple, seen)) == Counter(
        {tuple(coarse_numbers(footage)), *(tuple(look_numbers(footage, look)) for look in looks)}
    )


def test_a_video_is_encoded_once_for_all_of_its_rollouts_though_the_cache_holds_few_videos(watched: Watched) -> None:
    """In the order in which they are given, rows of one video lie far apart."""
    videos = [Tinted(("red", "blue")[at % 2], "red", Fraction(48), 900 + at) for at in range(14)]
    rows = [quests(footage, range(4)) for footage in videos]
    asked = [row[at] for at in range(4) for row in rows]
    watched.seen()
    roll(watched.engine, asked)
    counted = Counter(map(tuple, watched.seen()))
    assert [counted[tuple(coarse_numbers(footage))] for footage in videos] == [1] * len(videos)


def test_the_second_leg_finds_most_of_its_context_in_the_cache(watched: Watched) -> None:
    before = replace(watched.engine.tallies.later)
    roll(
        watched.engine, [quest for at in range(3) for quest in quests(Tinted("red", "blue", Fraction(48), 700 + at), range(4))]
    )
    later = watched.engine.tallies.later
    tokens, cached = later.tokens - before.tokens, later.cached - before.cached
    assert cached / tokens > 0.6


def test_a_row_that_is_longer_than_the_engine_takes_is_refused(watched: Watched) -> None:
    footage = Tinted()
    prompt = prompt_of((COARSE, QUESTION), footage)
    with pytest.raises(InputError, match="tokens long"):
        roll(watched.engine, [RolloutRequest(prompt, footage, Sampling(max_tokens=1000))])


def test_a_row_with_more_looks_than_the_engine_takes_is_refused(watched: Watched) -> None:
    looks = tuple(Look(Window(start_cs, start_cs + 100), Fraction(2)) for start_cs in (100, 300, 500, 700))
    (quest,) = quests(Tinted("red"), [0])
    with pytest.raises(InputError, match="shown 4 looks; the engine takes 3") as error:
        roll(watched.engine, [replace(quest, steps=looks, sampling=Sampling(max_tokens=200))], RolloutLimits(max_looks=4))
    assert error.value.where == "max_looks"


def test_two_processes_share_the_videos(checkpoint: Path, here: TransformersEngine, tmp_path: Path) -> None:
    videos = [Tinted("red", "blue", Fraction(48), 400 + at) for at in range(3)]
    asked = [quest for footage in videos for quest in quests(footage, range(3))]
    with watching(checkpoint, tmp_path, processes=2) as watched:
        assert ids(roll(watched.engine, asked)) == ids(roll(here, asked))
        first, second = (worker.pid for worker in watched.engine.pool.workers)
        assert first != second
        counted = Counter(map(tuple, watched.seen()))
    assert [counted[tuple(coarse_numbers(footage))] for footage in videos] == [1] * 3


def test_a_conversation_that_was_given_up_leaves_nothing_behind(watched: Watched, here: TransformersEngine) -> None:
    asked = quests(Tinted("blue", "red", Fraction(48), 300), range(6))
    conversation = watched.engine.converse([quest.sampling for quest in asked])
    conversation.step({number: quest.prompt for number, quest in enumerate(asked)}, range(6))
    others = quests(Tinted("red", "blue", Fraction(48), 310), range(6))
    assert ids(roll(watched.engine, others)) == ids(roll(here, others))
