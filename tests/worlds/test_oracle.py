"""The oracle believes its eyes only: right pictures are answered right, and any others leave it with a guess."""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from dmforge.curation.video.jpeg import to_jpeg
from dmforge.generators.synthetic.oracle.behaviour import REPLY_FAULTS, SERVER_FAULTS, Behaviour
from dmforge.generators.synthetic.oracle.oracle import Oracle
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.oracle.oracle_request import read_request
from dmforge.generators.synthetic.oracle.planted_defects import ANSWER_DEFECTS, LOOK_DEFECTS
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.rasterize import draw
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.generators.synthetic.worlds.world_questions import GENERAL, questions
from dmforge.schemas.errors import InputError
from dmforge.schemas.frames import plan_look
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.replies import AnswerReply, LookReply
from dmforge.schemas.reply_reader import read_reply
from tests.support.chats import Chat, Worlds, answered, blank, chance, is_right, right_share

VIDEOS = 24


@pytest.fixture(scope="module")
def level_0(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    return Worlds(tmp_path_factory.mktemp("level0"), VIDEOS)


@pytest.fixture(scope="module")
def oracle(level_0: Worlds) -> Oracle:
    return Oracle(level_0.folder, Behaviour())


def looked(oracle: Oracle, chat: Chat) -> Look:
    body = chat.bytes()
    said, _ = oracle.answer(read_request(body), body)
    reply = read_reply(LookReply, said.text)
    assert isinstance(reply, LookReply)
    look = reply.look()
    assert look is not None
    return look


def test_both_calls_with_the_right_pictures_are_right_at_level_0(level_0: Worlds, oracle: Oracle) -> None:
    right = 0
    for number, question in level_0.asked:
        look = looked(oracle, level_0.look_chat(number, question))
        right += is_right(chat := level_0.answer_chat(number, question, look), answered(oracle, chat))
    assert len(level_0.asked) > 70
    assert right / len(level_0.asked) >= 0.99


def test_it_sees_as_well_at_the_smallest_size(level_0: Worlds, oracle: Oracle) -> None:
    assert right_share(oracle, [level_0.gold_chat(number, question, 32) for number, question in level_0.asked[:50]]) >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("level", [2, 5])
def test_it_sees_at_harder_levels(level: int, tmp_path: Path) -> None:
    worlds = Worlds(tmp_path, 12, level)
    oracle = Oracle(worlds.folder, Behaviour())
    assert right_share(oracle, [worlds.gold_chat(number, question) for number, question in worlds.asked]) >= 0.95


def test_blank_images_bring_it_to_chance(level_0: Worlds, oracle: Oracle) -> None:
    chats = [level_0.gold_chat(number, question) for number, question in level_0.asked]
    share = right_share(oracle, [chat.showing(blank(chat.images)) for chat in chats])
    expected = sum(chance(question) for _, question in level_0.asked) / len(chats)
    assert share <= expected + 0.08


def test_images_in_another_order_bring_it_to_chance(level_0: Worlds, oracle: Oracle) -> None:
    draw = random.Random(1)
    chats = [level_0.gold_chat(number, question) for number, question in level_0.asked]
    chats = [chat for chat in chats if len(set(chat.images)) > 3 and chat.question.kind != "grounding"]
    share = right_share(oracle, [chat.showing(_deranged(chat.images, draw)) for chat in chats])
    expected = sum(chance(chat.question) for chat in chats) / len(chats)
    assert share <= expected + 0.08


def _deranged(images: tuple[bytes, ...], draw: random.Random) -> tuple[bytes, ...]:
    """Every image under another's stamp."""
    shift = draw.randrange(1, len(images))
    return images[shift:] + images[:shift]


def test_images_of_another_world_are_not_taken_for_this_one(level_0: Worlds, oracle: Oracle) -> None:
    """The question is about a world that is not shown: only its words could help."""
    chats = [level_0.elsewhere(number, level_0.gold_chat(number, question)) for number, question in level_0.asked]
    share = right_share(oracle, chats)
    expected = sum(chance(question) for _, question in level_0.asked) / len(chats)
    assert share <= expected + 0.08


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(64, 64), (256, 64), (64, 256)])
def test_pictures_in_which_another_answer_is_right_are_not_answered_with_gold(width: int, height: int, tmp_path: Path) -> None:
    """The same world to the pixel but for what is asked about: only the pixels can tell."""
    settings = WorldSettings(videos=8, width=width, height=height)
    make_worlds(tmp_path, settings)
    oracle, right, asked_rivals = Oracle(tmp_path, Behaviour()), 0, 0
    for number in range(8):
        script = settings.script(number)
        for question in questions(script):
            if question.from_text:
                continue
            plan = plan_look(Look(question.look, Fraction(12)), script.duration_s)
            rival = question.rivals[0][1]
            drawn = np.stack([draw(rival, frame, width, height) for frame in plan.indices])
            look = Look(question.look, Fraction(12))
            chat = Chat(script, question, AnswerReply.name, plan, look, tuple(to_jpeg(drawn)))
            right += is_right(chat, answered(oracle, chat))
            asked_rivals += 1
    assert asked_rivals > 20
    assert right / asked_rivals < 0.4


def test_a_shift_by_one_frame_is_noticed_on_every_request(level_0: Worlds, oracle: Oracle) -> None:
    for number, question in level_0.asked[:40]:
        chat = level_0.gold_chat(number, question)
        late = tuple(time + Fraction(1, 12) for time in chat.plan.times_s)
        body = chat.showing(level_0.images(number, late, 64)).bytes()
        seen = oracle.gallery.see(read_request(body))
        assert seen is not None
        assert not seen.frames


def test_a_wrong_stamp_is_noticed(level_0: Worlds, oracle: Oracle) -> None:
    number, question = level_0.asked[0]
    chat = level_0.gold_chat(number, question)
    plan = replace(chat.plan, times_s=tuple(time + Fraction(1, 5) for time in chat.plan.times_s))
    seen = oracle.gallery.see(read_request(replace(chat, plan=plan).bytes()))
    assert seen is not None
    assert not seen.frames


def test_half_of_the_pictures_are_half_of_what_it_knows(level_0: Worlds, oracle: Oracle) -> None:
    number, question = level_0.asked[0]
    chat = level_0.look_chat(number, question)
    half = len(chat.images) // 2
    seen = oracle.gallery.see(read_request(chat.showing(chat.images[:half] + blank(chat.images[half:])).bytes()))
    assert seen is not None
    assert seen.frames == frozenset(chat.plan.indices[index] * 6 for index in range(half))


def test_too_low_a_density_does_not_answer_a_quick_question(level_0: Worlds, oracle: Oracle) -> None:
    quick = [
        (number, question)
        for number, question in level_0.asked
        if question.lowest_fps(level_0.settings.script(number)) in (4, 6) and question.options
    ]
    assert len(quick) >= 4
    slow = [level_0.answer_chat(number, question, Look(question.look, Fraction(1))) for number, question in quick]
    right = [level_0.gold_chat(number, question) for number, question in quick]
    assert right_share(oracle, right) == 1.0
    assert right_share(oracle, slow) < 0.6


def test_the_window_elsewhere_does_not_answer(level_0: Worlds, oracle: Oracle) -> None:
    chats: list[Chat] = []
    for number, question in level_0.asked:
        if question.options:
            start = 0 if question.look.start_cs >= 300 else question.look.end_cs
            chats.append(level_0.answer_chat(number, question, Look(Window(start, start + 200), Fraction(6))))
    assert right_share(oracle, chats) < 0.45


def test_what_anyone_knows_it_knows_without_pictures(level_0: Worlds, oracle: Oracle) -> None:
    number, question = level_0.asked[0]
    chat = level_0.look_chat(number, question)
    for text, answer, options in GENERAL:
        general = WorldQuestion("mcq", text, options, answer, (), "any", (), from_text=True)
        asked = replace(chat, question=general, reply=AnswerReply.name, images=blank(chat.images))
        assert is_right(asked, answered(oracle, asked))


def test_the_look_holds_the_window_at_the_lowest_density(level_0: Worlds, oracle: Oracle) -> None:
    for number, question in level_0.asked[:50]:
        look = looked(oracle, level_0.look_chat(number, question))
        assert look.window.start_cs <= question.look.start_cs
        assert look.window.end_cs >= question.look.end_cs
        script = level_0.settings.script(number)
        if question.kind != "grounding":
            assert look == Look(question.look, question.lowest_fps(script) or Fraction(1))
        assert question.told_by(script, frozenset(plan_look(look, script.duration_s).indices))


def test_not_knowing_is_guessing(level_0: Worlds) -> None:
    forgetful = Oracle(level_0.folder, Behaviour(unknown=1.0))
    chats = [level_0.gold_chat(number, question) for number, question in level_0.asked]
    assert right_share(forgetful, chats) < 0.35


def test_the_same_request_is_answered_the_same_way(level_0: Worlds) -> None:
    told = Behaviour(unknown=0.3, defects=dict.fromkeys(ANSWER_DEFECTS, 0.1), faults={"truncated": 0.3})
    one, other = Oracle(level_0.folder, told), Oracle(level_0.folder, told)
    for number, question in level_0.asked[:30]:
        body = level_0.gold_chat(number, question).bytes()
        assert one.answer(read_request(body), body) == other.answer(read_request(body), body)


# the server


def client(url: str, key: str = "none", timeout: float = 20.0) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=timeout)


def ask(url: str, body: dict[str, Any], **told: Any) -> Any:
    return client(url, **told).chat.completions.create(**body, extra_headers={"Idempotency-Key": "ask_1"})


@pytest.fixture(scope="module")
def served(level_0: Worlds) -> Iterator[str]:
    with serving(level_0.folder) as url:
        yield url


def test_it_speaks_the_protocol(served: str, level_0: Worlds) -> None:
    number, question = level_0.asked[0]
    chat = level_0.look_chat(number, question)
    completion = ask(served, chat.body())
    assert completion.object == "chat.completion"
    assert completion.choices[0].finish_reason == "stop"
    assert isinstance(read_reply(LookReply, completion.choices[0].message.content), LookReply)
    assert completion.usage.prompt_tokens > 24 * 4
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert [model.id for model in client(served).models.list()] == ["oracle"]
    larger = ask(served, level_0.look_chat(number, question, 128).body())
    assert larger.usage.prompt_tokens - completion.usage.prompt_tokens == 24 * (16 - 4)


def saying(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"messages": "hello"}, "messages"),
        (saying({"type": "audio"}), "messages.content[0].type"),
        (saying({"type": "image_url", "image_url": {"url": "https://x"}}), "messages.content[0]"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "poem"}}}, "response_format.json_schema.name"),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_told_which_field(
    change: dict[str, Any], field: str, served: str, level_0: Worlds
) -> None:
    body = {**level_0.look_chat(*level_0.asked[0]).body(), **change}
    with pytest.raises(openai.BadRequestError) as caught:
        ask(served, body)
    assert caught.value.param == field
    assert caught.value.type == "invalid_request_error"


def test_images_that_are_none_are_refused(served: str, level_0: Worlds) -> None:
    chat = level_0.look_chat(*level_0.asked[0])
    with pytest.raises(openai.BadRequestError, match="image 3 can't be read"):
        ask(served, chat.showing((*chat.images[:3], b"GIF89a", *chat.images[4:])).body())


def test_a_key_is_asked_for_if_it_was_told_one(level_0: Worlds) -> None:
    chat = level_0.look_chat(*level_0.asked[0])
    with serving(level_0.folder, api_key="right") as url:
        with pytest.raises(openai.AuthenticationError):
            ask(url, chat.body(), key="wrong")
        assert ask(url, chat.body(), key="right").choices


@pytest.mark.slow
def test_faults_of_the_server_are_what_they_say_and_pass(level_0: Worlds) -> None:
    chat = level_0.look_chat(*level_0.asked[0])
    expected = {"429": openai.RateLimitError, "429_hint": openai.RateLimitError, "500": openai.InternalServerError}
    expected |= {"hang": openai.APITimeoutError, "cut": openai.APIConnectionError}
    assert expected.keys() == set(SERVER_FAULTS)
    for fault, error in expected.items():
        with serving(level_0.folder, Behaviour(faults={fault: 1.0})) as url:
            for _ in range(3):  # the same request fails three times, and then it is answered
                with pytest.raises(error) as caught:
                    ask(url, chat.body(), timeout=0.5 if fault == "hang" else 20.0)
                if isinstance(caught.value, openai.APIStatusError):
                    assert caught.value.response.headers.get("retry-after") == ("0.2" if fault == "429_hint" else None)
            assert ask(url, chat.body()).choices[0].message.content


def test_faults_of_the_reply_are_what_they_say(level_0: Worlds) -> None:
    chat = level_0.look_chat(*level_0.asked[0])
    whole = Oracle(level_0.folder, Behaviour()).answer(read_request(chat.bytes()), chat.bytes())[0].text
    for fault in REPLY_FAULTS:
        body = chat.bytes()
        said, _ = Oracle(level_0.folder, Behaviour(faults={fault: 1.0})).answer(read_request(body), body)
        readable = isinstance(read_reply(LookReply, said.text), LookReply)
        assert readable == (fault == "prose"), fault
        assert (said.refusal is not None) == (fault == "refusal")
        assert (said.finish == "length") == (fault == "truncated")
        assert said.text == {"empty": "", "refusal": "", "truncated": whole[: len(whole) * 2 // 3]}.get(fault, said.text)


def test_rates_are_kept(level_0: Worlds) -> None:
    behaviour = Behaviour(faults={"429": 0.2, "500": 0.1, "truncated": 0.3})
    requests = [f"request {number}".encode() for number in range(4000)]
    server = [behaviour.server_fault(request, 0) for request in requests]
    reply = [behaviour.reply_fault(request) for request in requests]
    assert abs(server.count("429") / 4000 - 0.2) < 0.03
    assert abs(server.count("500") / 4000 - 0.1) < 0.03
    assert abs(reply.count("truncated") / 4000 - 0.3) < 0.03


def test_what_was_planted_stands_in_a_file_of_its_own_once(level_0: Worlds, tmp_path: Path) -> None:
    truth = tmp_path / "planted.jsonl"
    told = Behaviour(defects={"wrong_answer": 1.0, "wrong_window": 1.0})
    with serving(level_0.folder, told, truth) as url:
        for number, question in level_0.asked[:5]:
            chat = level_0.gold_chat(number, question)
            for _ in range(2):  # asked twice, planted once
                reply = read_reply(AnswerReply, ask(url, chat.body()).choices[0].message.content)
                assert isinstance(reply, AnswerReply)
                assert not is_right(chat, reply.answer)
            ask(url, level_0.look_chat(number, question).body())
    with serving(level_0.folder, told, truth) as url:  # nor again by the next oracle
        ask(url, level_0.gold_chat(*level_0.asked[0]).body())
    planted = [json.loads(line) for line in truth.read_text().splitlines()]
    assert [(line["video"], line["question"], line["defect"]) for line in planted] == [
        (f"world-{number:06d}.mp4", question.text, defect)
        for number, question in level_0.asked[:5]
        for defect in ("wrong_answer", "wrong_window")
    ]


def test_every_defect_can_be_planted(level_0: Worlds) -> None:
    for name in (*LOOK_DEFECTS, *ANSWER_DEFECTS):
        oracle = Oracle(level_0.folder, Behaviour(defects={name: 1.0}))
        planted = set[str]()
        for number, question in level_0.asked[:25]:
            chat = level_0.look_chat(number, question) if name in LOOK_DEFECTS else level_0.gold_chat(number, question)
            defect = oracle.answer(read_request(chat.bytes()), chat.bytes())[1]
            planted |= {defect.defect} if defect else set()
            if planted:
                break
        assert planted == {name}


@pytest.mark.parametrize(
    "told", [{"defects": {"wrong_anser": 0.1}}, {"faults": {"418": 0.1}}, {"faults": {"429": 2}}, {"unknown": -1}]
)
def test_it_cannot_be_told_nonsense(told: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"did you mean 'wrong_answer'|there is no '418'|less than or equal|greater than or equal"
    ):
        Behaviour(**told)


def test_no_folder_of_worlds_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the folder holds no worlds"):
        Oracle(tmp_path, Behaviour())


def test_it_has_no_other_channel_than_the_request() -> None:
    """What it answers with is computed from the request and the scripts: no lake, no journal, no file of tasks."""
    folder = Path(__file__).parents[2] / "generators/synthetic/oracle"
    for path in folder.glob("*.py"):
        names = [node.module or "" for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        assert not [
            name
            for name in names
            if name.startswith(("dmforge.curation.lake", "dmforge.generators.stages.annotate", "dmforge.filters"))
        ]
    for name in ("answering.py", "recognition.py", "oracle_request.py"):
        assert "tasks.jsonl" not in (folder / name).read_text()
        assert "headers" not in (folder / name).read_text()
