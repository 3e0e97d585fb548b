"""What a teacher refuses of a video is a gap: it is known to be unknown, and the rest of the video is used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands import intake, run
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.stages.needles import Haystack, Needles, NeedlesConfig
from dmforge.generators.stages.questions import (
    IN_GAP,
    IS_UNKNOWN,
    QuestionDraft,
    Questions,
    QuestionsConfig,
    StorylineWithVideo,
)
from dmforge.generators.stages.segments import Event, Gap, SegmentsConfig, Storyline, excess_gaps
from dmforge.recipe import read_recipe
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.looks import Window
from dmforge.schemas.records import Provenance, Task, Video
from tests.support.films import SEEDS_FROM, write_film
from tests.support.part_teacher import BROKEN, FILTERED, PartTeacher, completion, serving_parts

RECIPE = """
name = "gaps"
[stages.ingest]
[stages.segments]
model = "m"
longest_s = 1
attempts = 2
retries = 0
{}
[stages.questions]
model = "m"
types = {{object = 1}}
"""
PARTS = [0.0, 1.0, 2.0, 3.0, 4.0]
"""Where the parts of each film begin."""


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of 5 s, each of one shot."""
    folder = tmp_path_factory.mktemp("gaps")
    (folder / "films").mkdir()
    for number in range(2):
        write_film(folder / f"films/{number}.mp4", [(SEEDS_FROM + number, 0, 60)])
    place = WorkspaceFolder(folder / "ws")
    place.inputs.mkdir(parents=True)
    place.recipe.write_text(RECIPE.format(""))
    intake.add_videos(place, "test", [str(folder / "films")], SourceInfo())
    return place.root


@contextmanager
def asking(teacher: PartTeacher) -> Generator[None]:
    with serving_parts(teacher) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", url)
        yield


def ran(ingested: Path, root: Path, teacher: PartTeacher, settings: str = "", until: str = "questions") -> WorkspaceFolder:
    """A workspace in which both films were described by this teacher."""
    if not root.exists():
        shutil.copytree(ingested, root)
    place = WorkspaceFolder(root)
    place.recipe.write_text(RECIPE.format(settings))
    with asking(teacher):
        list(run.run(place, Console(quiet=True), "test", until=until))
    return place


def rows(place: WorkspaceFolder, record: Any) -> list[Any]:
    return LakeView(Lake(place), read_recipe(place.recipe).stages).all_rows(record)


def dmforge(*words: object) -> Any:
    done = CliRunner().invoke(cli.app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if "--json" in words else done.stdout


QUESTION = {
    "type": "object", "form": "open", "question": "Which number is written there?", "options": [], "answer": "200",
    "windows": [{"start_s": 2, "end_s": 3}], "needs": "any", "difficulty": "easy", "fps": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def gapped(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[WorkspaceFolder, PartTeacher]:
    """One part of each film is refused, another one can't be read."""
    beside = {
        "windows": [{"start_s": 1.5, "end_s": 3}],
        "question": "What is in the middle of the picture?",
        "answer": "a star",
    }
    teacher = PartTeacher({1.0: FILTERED, 3.0: completion("I see a number.")}, (QUESTION, QUESTION | beside))
    return ran(ingested, tmp_path_factory.mktemp("gapped") / "ws", teacher), teacher


def test_what_is_refused_is_a_gap_with_its_window_and_why(gapped: tuple[WorkspaceFolder, PartTeacher]) -> None:
    place, teacher = gapped
    for storyline in rows(place, Storyline):
        assert [event.window.start_cs for event in storyline.events] == [0, 200, 400]
        assert len(storyline.requests) == 3
        refused, unread = storyline.gaps
        assert refused == Gap(Window(100, 200), "describe: the teacher refused: Input data may contain inappropriate content.")
        assert unread == Gap(Window(300, 400), "describe: it holds no JSON object")
    # a filter judges the same frames alike: it is asked once; what couldn't be read is asked for again
    assert teacher.asked == {0.0: 2, 1.0: 2, 2.0: 2, 3.0: 4, 4.0: 2}


def test_questions_know_of_gaps_and_are_not_about_them(gapped: tuple[WorkspaceFolder, PartTeacher]) -> None:
    place, teacher = gapped
    assert len(teacher.briefs) == 2
    for brief in teacher.briefs:
        assert f"1.00 - 2.00: {IS_UNKNOWN}\n2.00 - 3.00: number 200" in brief
        assert "whose answer could depend on them" in brief
    assert sorted(draft.fault for draft in rows(place, QuestionDraft)) == ["", "", IN_GAP, IN_GAP]


def test_gaps_are_shown_by_audits_and_by_why(gapped: tuple[WorkspaceFolder, PartTeacher]) -> None:
    place, _ = gapped
    reasons = dmforge("audit", "reasons", "--json", "-w", place.root)["rows"]
    assert [row[:5] for row in reasons] == [
        ["segments", "gap", "it holds no JSON object", 2, 1.0],
        ["segments", "gap", "the teacher refused", 2, 1.0],
    ]
    assert reasons[1][5].startswith("1.00 - 2.00: describe: the teacher refused: Input data")
    storyline = rows(place, Storyline)[0]
    assert "not described: 1.00 - 2.00: describe: the teacher refused" in dmforge("why", str(storyline), "-w", place.root)


def test_a_video_of_which_too_little_is_left_is_rejected_and_the_rest_of_it_not_paid_for(
    ingested: Path, tmp_path: Path
) -> None:
    teacher = PartTeacher(dict.fromkeys(PARTS[:3], FILTERED))
    place = ran(ingested, tmp_path / "ws", teacher, "concurrency = 1")
    (reason,) = dmforge("audit", "reasons", "--json", "-w", place.root)["rows"]
    assert reason[:4] == ["segments", "rejected", "no readable reply", 2]
    assert reason[5].startswith("3 of 5 parts have no description: 0.00 - 1.00: describe: the teacher refused: ")
    assert set(teacher.asked) == set(PARTS[:3])
    strict = ran(ingested, tmp_path / "strict", PartTeacher({4.0: FILTERED}), "min_described = 1.0")
    assert rows(strict, Storyline) == []


def test_parts_are_described_side_by_side_and_the_bound_is_the_stages(ingested: Path, tmp_path: Path) -> None:
    alone, together = PartTeacher(), PartTeacher(delay_s=0.1)
    lakes = [
        ran(ingested, tmp_path / name, teacher, f"concurrency = {concurrency}", "segments")
        for name, teacher, concurrency in (("alone", alone, 1), ("together", together, 4))
    ]
    assert (alone.max_in_flight, together.max_in_flight) == (1, 4)
    first, second = (dmforge("digest", "-w", place.root, "--json")["digest"] for place in lakes)
    assert first == second


def test_a_server_that_fails_makes_no_gap(ingested: Path, tmp_path: Path) -> None:
    teacher = PartTeacher({2.0: BROKEN}, delay_s=0.05)
    place = ran(ingested, tmp_path / "ws", teacher, until="segments")
    (segments,) = [stage for stage in dmforge("status", "--json", "-w", place.root)["stages"] if stage["name"] == "segments"]
    assert (segments["pending"], segments["made"], segments["rejected"]) == (2, 0, 0)
    again = PartTeacher()
    ran(ingested, place.root, again, until="segments")
    assert not set(again.asked) & {0.0, 1.0}  # what was under way has been finished, and is paid for once
    assert [storyline.gaps for storyline in rows(place, Storyline)] == [(), ()]


def test_the_gaps_that_were_too_much_are_the_first_ones() -> None:
    gaps = [Gap(Window(start, start + 200), "") for start in (0, 400, 800)]
    assert list(excess_gaps(gaps, 300)) == gaps[:2]
    assert not excess_gaps(gaps, 600)


SHA256S = [f"{number:02x}" * 32 for number in range(1, 3)]
MOMENT = Window(1000, 1200)


def haystacks_where(host_gaps: tuple[Gap, ...] = (), own_gaps: tuple[Gap, ...] = ()) -> list[Haystack]:
    """What `needles` makes of one host and one task about another video, where storylines have these gaps."""
    host, other = (Video(sha256, 9000, 320, 192, Fraction(12), "h264", 0, 1) for sha256 in SHA256S)
    events = (Event(Window(0, 900), "a dog sleeps"),), (Event(MOMENT, "a red door opens slowly"),)
    stories = [
        Storyline(video.id, "m", (100, 200, 300, 400), told, (), gaps=gaps)
        for video, told, gaps in zip((host, other), events, (host_gaps, own_gaps), strict=True)
    ]
    task = Task(other.id, "open", "What opens?", (), "a red door", (MOMENT,), "any")
    sources = [Provenance(video.id, "s", "l", "t", "n", "i", (), "train") for video in (host, other)]
    tables: dict[Any, list[Any]] = {Task: [task], Video: [host, other], Provenance: sources, Storyline: stories}
    stage = Needles(NeedlesConfig(hides={"one": 1.0}))
    view: Any = InventedView(tables)
    (settled,) = stage.process(view, stage.origin)
    return from_arrow(Haystack, settled.rows["haystacks"])


@dataclass
class InventedView:
    """Tables that stand in no lake."""

    tables: dict[Any, list[Any]]

    def all_rows(self, record: Any) -> list[Any]:
        return self.tables[record]


def test_a_gap_is_not_taken_for_nothing_when_needles_are_hidden() -> None:
    assert haystacks_where()
    assert not haystacks_where(host_gaps=(Gap(Window(5000, 6000), "refused"),))
    assert not haystacks_where(own_gaps=(Gap(Window(1190, 2000), "refused"),))
    assert haystacks_where(own_gaps=(Gap(Window(3000, 4000), "refused"),))


def test_longer_videos_are_asked_more_and_a_plan_counts_it() -> None:
    def expected(**settings: Any) -> tuple[int, int]:
        video = Video(SHA256S[0], 60 * 6000, 320, 192, Fraction(12), "h264", 0, 1)
        story = Storyline(video.id, "m", (), (Event(Window(0, 900), "a dog sleeps"),), ())
        stage = Questions(QuestionsConfig(model="m", reply_tokens=300, **settings))
        cost = stage.expected(StorylineWithVideo(story, video))
        assert cost is not None
        return cost.usage.input_tokens, cost.usage.output_tokens

    input_tokens, output_tokens = expected()
    assert output_tokens == 300
    assert expected(per_minute=0.25)[1] == 300 * 21 // 6
    assert expected(per_minute=0.25)[0] > input_tokens
    assert expected(per_minute=3)[1] == 300 * 50 // 6  # no reply holds more than fifty
    assert QuestionsConfig(model="m").semantic() == QuestionsConfig(model="m", per_minute=0).semantic()
    assert "min_described" not in SegmentsConfig(model="m").semantic()


def test_a_storyline_of_gaps_alone_does_not_say_that_nothing_happens(ingested: Path, tmp_path: Path) -> None:
    silent = completion('{"events": []}')
    teacher = PartTeacher(dict.fromkeys(PARTS, silent) | {4.0: FILTERED})
    place = ran(ingested, tmp_path / "ws", teacher)
    reasons = {row[2]: row[5] for row in dmforge("audit", "reasons", "--json", "-w", place.root)["rows"]}
    assert reasons["no event is known"].startswith("not described are 4.00 - 5.00: describe: the teacher refused")
