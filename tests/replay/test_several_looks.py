"""What rollouts say of several looks: which are needed, how dense each must be, and whether a student vouches for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.rollouts.density import Density
from dmforge.filters.rollouts.necessity import Necessity
from dmforge.filters.rollouts.needed_looks import NeededLooks
from dmforge.filters.rollouts.replay import Replay
from dmforge.filters.rollouts.rollout_stage import RolloutStage
from dmforge.filters.rollouts.student_agreement import Vouch
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Candidate, CandidateWithTask, Rollout, Target, Task, TaskWithVideo, Verdict, Video
from dmforge.schemas.scoring import overlap_cs
from tests.replay.lakes import policy_for, rows, stages_of
from tests.replay.test_measuring import measured

PLACES = (Window(100, 250), Window(400, 500), Window(800, 900))
RateOfLooks = Callable[[Task, tuple[Look, ...]], float]


def stage_of(
    kind: type[RolloutStage[Any, Any]], workspace: WorkspaceFolder, rate: RateOfLooks, **settings: object
) -> RolloutStage[Any, Any]:
    """A stage whose student may look three times, and is right at a rate that follows from all that it was shown."""
    student = next(stage.config for stage in stages_of(workspace) if isinstance(stage, Density))
    shared = {"student": student.student, "clips": student.clips, "max_looks": 3}
    stage = kind(kind.config_class.model_validate(shared | settings))
    policy = policy_for(workspace, lambda task, seen, look: 0.1, rate_of_looks=rate)
    stage.engine = lambda: policy
    return stage


def shows(looks: tuple[Look, ...], place: Window, min_fps: int = 0) -> bool:
    return any(overlap_cs((look.window,), (place,)) == place.end_cs - place.start_cs and look.fps >= min_fps for look in looks)


@pytest.fixture
def item(workspace: WorkspaceFolder) -> CandidateWithTask:
    """A candidate of three looks, at three places, for a question with options whose evidence is there."""
    videos = {video.id: video for video in rows(workspace, Video)}
    tasks = {task.id: task for task in rows(workspace, Task) if task.options}
    candidate = next(row for row in rows(workspace, Candidate) if row.task in tasks)
    task = tasks[candidate.task]
    looks = tuple(Look(place, Fraction(2)) for place in PLACES)
    return CandidateWithTask(replace(candidate, looks=looks, answer=task.answer, id=b""), task, videos[task.video])


def told(stage: RolloutStage[Any, Any], workspace: WorkspaceFolder, item: object) -> tuple[dict[str, Verdict], list[Rollout]]:
    (made,) = measured(stage, workspace, [item])  # pyright: ignore[reportArgumentType]
    verdicts = {row.filter: row for row in made.rows if isinstance(row, Verdict)}
    return verdicts, [row for row in made.rows if isinstance(row, Rollout)]


def arms(rollouts: list[Rollout]) -> list[str]:
    return list(dict.fromkeys(row.arm for row in rollouts))


def needing(*places: int) -> RateOfLooks:
    return lambda task, looks: float(all(shows(looks, PLACES[place]) for place in places))


def test_each_of_the_looks_is_needed(workspace: WorkspaceFolder, item: CandidateWithTask) -> None:
    verdicts, rollouts = told(stage_of(NeededLooks, workspace, needing(0, 1, 2)), workspace, item)
    assert (verdicts["needed_looks"].score, verdicts["needed_looks"].reason) == (1.0, "")
    assert (verdicts["minimal_looks"].score, verdicts["minimal_looks"].reason) == (1.0, "")
    assert arms(rollouts) == ["all", "without 1", "without 2", "without 3"]
    assert verdicts["needed_looks"].detail.startswith("4 of 4 with all looks, 0 of 4 without 1, ")


def test_a_look_that_nothing_rests_on_is_found(workspace: WorkspaceFolder, item: CandidateWithTask) -> None:
    verdicts, _ = told(stage_of(NeededLooks, workspace, needing(0, 2)), workspace, item)
    assert (verdicts["needed_looks"].score, verdicts["needed_looks"].reason) == (0.0, "as right without 2")
    assert verdicts["minimal_looks"].score == pytest.approx(2 / 3)
    assert verdicts["minimal_looks"].reason == "as right without 2"


def test_of_two_looks_that_show_the_same_one_is_needed(workspace: WorkspaceFolder, item: CandidateWithTask) -> None:
    """Each of them seems needless as long as the other is there; without both it fails."""
    either = lambda task, looks: float(shows(looks, PLACES[1]) and (shows(looks, PLACES[0]) or shows(looks, PLACES[2])))  # noqa: E731
    verdicts, rollouts = told(stage_of(NeededLooks, workspace, either), workspace, item)
    assert verdicts["needed_looks"].score == 0.0
    assert verdicts["minimal_looks"].score == pytest.approx(2 / 3)
    assert arms(rollouts) == ["all", "without 1", "without 2", "without 3", "only 2"]


def test_looks_come_back_one_at_a_time_where_any_two_will_do(workspace: WorkspaceFolder, item: CandidateWithTask) -> None:
    any_two = lambda task, looks: float(sum(shows(looks, place) for place in PLACES) >= 2)  # noqa: E731
    verdicts, rollouts = told(stage_of(NeededLooks, workspace, any_two), workspace, item)
    assert verdicts["minimal_looks"].score == pytest.approx(2 / 3)
    assert arms(rollouts)[4:] == ["only wrong ones", "only 1"]
    assert len(arms(rollouts)) <= 2 * len(PLACES)


def test_a_student_that_needs_no_look_and_one_that_never_solves_it(workspace: WorkspaceFolder, item: CandidateWithTask) -> None:
    verdicts, _ = told(stage_of(NeededLooks, workspace, lambda task, looks: 1.0), workspace, item)
    assert (verdicts["minimal_looks"].score, verdicts["minimal_looks"].reason) == (0.0, "as right with only wrong ones")
    verdicts, _ = told(stage_of(NeededLooks, workspace, lambda task, looks: 0.0), workspace, item)
    assert {(row.score, row.n, row.reason) for row in verdicts.values()} == {(1.0, 0, "not right with all of them, either")}


def test_what_stays_unclear_is_not_said_to_be_minimal(workspace: WorkspaceFolder, item: CandidateWithTask) -> None:
    hazy = lambda task, looks: 0.9 if shows(looks, PLACES[0]) and shows(looks, PLACES[1]) else 0.7  # noqa: E731
    verdicts, _ = told(stage_of(NeededLooks, workspace, hazy, rounds={"sizes": [4]}), workspace, item)
    assert (verdicts["minimal_looks"].n, verdicts["minimal_looks"].reason) == (0, "not clear")


def test_a_look_that_is_left_out_has_a_wrong_window_in_its_place(workspace: WorkspaceFolder, item: CandidateWithTask) -> None:
    _, rollouts = told(stage_of(NeededLooks, workspace, needing(0, 1, 2), removed=True), workspace, item)
    for row in rollouts:
        left_out = int(row.arm.split()[1].rstrip(",")) - 1 if row.arm != "all" else None
        if row.arm.endswith("removed"):
            assert [look.window for look in row.looks] == [place for index, place in enumerate(PLACES) if index != left_out]
            continue
        assert len(row.looks) == 3
        for index, (look, place) in enumerate(zip(row.looks, PLACES, strict=True)):
            if index == left_out:
                assert look.window.end_cs - look.window.start_cs == place.end_cs - place.start_cs
                assert overlap_cs((look.window,), (*PLACES, *item.task.windows)) == 0
            else:
                assert look.window == place
    assert "without 1, removed" in arms(rollouts)


def test_what_can_not_be_tried_has_verdicts_all_the_same(workspace: WorkspaceFolder, item: CandidateWithTask) -> None:
    """Without one a selection would leave it undetermined for ever."""
    assert item.video
    for looks, score, reason in (
        ((), 0.0, "no look"),
        ((Look(Window(5000, 5100), Fraction(2)),), 0.0, "one of its looks shows no frame"),
        ((Look(Window(0, item.video.duration_cs), Fraction(2)),), 1.0, "no room for a wrong window"),
    ):
        tried = replace(item, candidate=replace(item.candidate, looks=looks, id=b""))
        verdicts, rollouts = told(stage_of(NeededLooks, workspace, needing()), workspace, tried)
        assert {(row.score, row.n, row.reason) for row in verdicts.values()} == {(score, 0, reason)}
        assert set(verdicts) == {"needed_looks", "minimal_looks"}
        assert not rollouts


def test_rollouts_are_not_made_twice_and_a_student_of_fewer_looks_is_another(
    workspace: WorkspaceFolder, item: CandidateWithTask
) -> None:
    shown = TaskWithVideo(item.task, item.video)
    keys = {
        max_looks: {row.key for row in told(stage_of(Replay, workspace, needing(), max_looks=max_looks), workspace, shown)[1]}
        for max_looks in (1, 2, 3)
    }
    assert not keys[1] & keys[2]
    assert not keys[2] & keys[3]


def needing_all(item: CandidateWithTask) -> TaskWithVideo:
    return TaskWithVideo(replace(item.task, windows=PLACES, needs="all", id=b""), item.video)


def test_all_windows_that_are_needed_are_forced_and_then_wrong_ones(
    workspace: WorkspaceFolder, item: CandidateWithTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = needing_all(item)
    stage = stage_of(Necessity, workspace, needing(0, 1, 2))
    verdicts, rollouts = told(stage, workspace, shown)
    assert verdicts["necessity"].score == 1.0
    assert {tuple(look.window for look in row.looks) for row in rollouts if row.arm == "right"} == {PLACES}
    (wrong,) = {tuple(look.window for look in row.looks) for row in rollouts if row.arm == "wrong"}
    assert len(wrong) == 3
    assert overlap_cs(wrong, PLACES) == 0
    one_look = stage_of(Necessity, workspace, needing(0), max_looks=1)
    _, rollouts = told(one_look, workspace, shown)
    assert {row.looks[0].window for row in rollouts if row.arm == "right"} == {Window(100, 900)}


def test_each_look_has_the_lowest_density_that_is_enough_for_it(workspace: WorkspaceFolder, item: CandidateWithTask) -> None:
    least = (3, 1, 4)
    rate: RateOfLooks = lambda task, looks: float(all(map(shows, [looks] * 3, PLACES, least)))  # noqa: E731
    (made,) = measured(stage_of(Density, workspace, rate), workspace, [needing_all(item)])
    (target,) = [row for row in made.rows if isinstance(row, Target)]
    assert target.looks == tuple(Look(place, Fraction(fps)) for place, fps in zip(PLACES, least, strict=True))
    (verdict,) = [row for row in made.rows if isinstance(row, Verdict)]
    assert (verdict.score, verdict.reason) == (1.0, "stood for a round")
    assert len(arms([row for row in made.rows if isinstance(row, Rollout)])) == 1 + 3 * 4


def test_all_looks_of_a_candidate_are_vouched_for(workspace: WorkspaceFolder, item: CandidateWithTask) -> None:
    verdicts, rollouts = told(stage_of(Vouch, workspace, needing(0, 1, 2)), workspace, item)
    assert verdicts["vouch"].score == 1.0
    assert verdicts["vouch_window"].score > 0.5
    assert {tuple(look.window for look in row.looks) for row in rollouts if row.arm == "look"} == {PLACES}
    elsewhere = (*PLACES[:2], Window(1000, 1100))
    wrong = replace(item.candidate, looks=tuple(Look(place, Fraction(2)) for place in elsewhere), id=b"")
    verdicts, _ = told(stage_of(Vouch, workspace, needing(0, 1, 2)), workspace, replace(item, candidate=wrong))
    assert verdicts["vouch"].score < 0.3


def test_a_student_that_looks_several_times_thinks_for_itself(workspace: WorkspaceFolder) -> None:
    stage = stage_of(Necessity, workspace, needing(), own_thoughts=False)
    with pytest.raises(InputError, match="thinks before each look") as error:
        stage.check(workspace)
    assert error.value.where == "[stages.necessity] own_thoughts"
