"""What a student's rollouts say of tasks and candidates, where it is known how often it is right; and what is then selected."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.curation.contract.stage_results import Made
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.rollouts.experiment import FREE, Experiment
from dmforge.filters.rollouts.necessity import wrong_window
from dmforge.filters.rollouts.replay import Replay, ReplayConfig
from dmforge.filters.rollouts.rollout_stage import RolloutStage
from dmforge.filters.rollouts.rounds import Interval, RoundsConfig, TryCount, difference, wilson
from dmforge.filters.rollouts.student_agreement import Vouch
from dmforge.generators.stages.reannotate_density import named_densities
from dmforge.generators.synthetic.worlds.world_questions import GENERAL
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Candidate, CandidateWithTask, Rollout, Sample, Target, Task, TaskWithVideo, Verdict, Video
from dmforge.schemas.scoring import iou, overlap_cs
from dmforge.schemas.targets import right_window
from dmforge.schemas.transcript import Transcript
from tests.replay.lakes import change, policy_for, rows, run, sql, stages_of
from tests.replay.policies import Seen
from tests.replay.test_resuming import dmforge

ROUNDS = RoundsConfig()
FROM_TEXT = {text for text, _, _ in GENERAL}


def shows(task: Task, look: Look | None, least_fps: int = 0) -> bool:
    """Whether a look holds what is asked for."""
    window = right_window(task)
    if look is None or window is None:
        return False
    return 2 * overlap_cs((look.window,), (window,)) > window.end_cs - window.start_cs and look.fps >= least_fps


def wants_fps(task: Task) -> int:
    """The density from which on a task is planted to be seen."""
    return (1, 2, 3, 4, 6)[task.id[0] % 5]


def measured(
    stage: RolloutStage[Any, Any], workspace: WorkspaceFolder, items: Sequence[TaskWithVideo | CandidateWithTask]
) -> list[Made]:
    """A stage at work without a lake to write to."""
    stage.open(workspace)
    found = [result for result in stage.process(iter(items)) if isinstance(result, Made)]
    stage.close()
    return found


def verdicts(workspace: WorkspaceFolder, name: str) -> dict[bytes, Verdict]:
    return {row.subject: row for row in rows(workspace, Verdict) if row.filter == name}


def shown(workspace: WorkspaceFolder) -> list[TaskWithVideo]:
    videos = {video.id: video for video in rows(workspace, Video)}
    tasks = sorted(rows(workspace, Task), key=lambda task: (task.video, task.id))
    return [TaskWithVideo(task, videos[task.video]) for task in tasks]


# densities of several looks

FIRST, SECOND = Window(100, 300), Window(500, 700)
LOOKS = (Look(FIRST, Fraction(2)), Look(SECOND, Fraction(5)))


def density_verdict(max_looks: int, *by_rollout: tuple[Look, ...]) -> Verdict:
    """Of free rollouts that look like this, at a task whose two windows want 4 frames per second."""
    video = Video("00" * 32, 2000, 64, 64, Fraction(12), "h264", 0, 1)
    task = Task(video.id, "open", "Which is first?", (), "a", (FIRST, SECOND), "all", extras='{"fps": 4.0}')
    made = [
        Rollout(
            video.id, task.id, b"s" * 16, "free", number, Transcript(()), looks, "a", "answered", "replay", "free", 1.0,
            b"k" * 16,
        )
        for number, looks in enumerate(by_rollout)
    ]  # fmt: skip
    trial = Experiment(TaskWithVideo(task, video), task, video, {"free": FREE}, "", {"free": made}, ["free"])
    concluded = Replay(ReplayConfig(max_looks=max_looks)).conclude(trial)
    return next(verdict for verdict in concluded if verdict.filter == "replay_density")


def test_densities_of_looks_are_matched_with_those_of_a_set() -> None:
    assert density_verdict(2, LOOKS, LOOKS[::-1]).score == float(1 - Fraction(2 + 1, 2) / 6)
    assert density_verdict(2, LOOKS).detail == "mean error 1.50 fps"
    assert density_verdict(2, LOOKS[:1]).score == float(Fraction(4, 6) / 2)
    assert density_verdict(2, (), LOOKS[:1]).score == float(Fraction(4, 6) / 4)
    needless = (*LOOKS, Look(Window(900, 1000), Fraction(4)))
    assert density_verdict(2, needless).score == float((Fraction(4, 6) + Fraction(5, 6)) / 3)


@given(st.lists(st.sampled_from([(), LOOKS[:1], LOOKS[1:], (Look(FIRST, Fraction(11)),)]), min_size=1, max_size=6))
def test_of_one_look_densities_are_measured_as_they_were(by_rollout: list[tuple[Look, ...]]) -> None:
    errors = [abs(looks[0].fps - 4) if looks else Fraction(6) for looks in by_rollout]
    found = density_verdict(1, *by_rollout)
    assert found.score == fmean(float(max(Fraction(0), 1 - error / 6)) for error in errors)
    assert found.detail == f"mean error {fmean(map(float, errors)):.2f} fps"


# how many tries are enough


@given(st.integers(0, 16), st.integers(1, 16), st.floats(0.5, 0.99))
def test_an_interval_holds_its_rate_and_narrows(right: int, n: int, confidence: float) -> None:
    right = min(right, n)
    once, more = wilson(TryCount(right, n), confidence), wilson(TryCount(4 * right, 4 * n), confidence)
    assert 0 <= once.low <= right / n <= once.high <= 1
    assert more.high - more.low < once.high - once.low
    other = difference(TryCount(right, n), TryCount(n - right, n), confidence)
    assert other.low <= (2 * right - n) / n <= other.high


def test_intervals_are_those_of_the_literature() -> None:
    # Newcombe (1998): 81 of 263 and 15 of 148 for one rate, 56 of 70 less 48 of 80 for a difference
    for found, low, high in (
        (wilson(TryCount(81, 263), 0.95), 0.2553, 0.3662),
        (wilson(TryCount(15, 148), 0.95), 0.0624, 0.1605),
        (difference(TryCount(56, 70), TryCount(48, 80), 0.95), 0.0524, 0.3339),
    ):
        assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_where_an_interval_stands() -> None:
    assert Interval(0.1, 0.2).against(0.3, 0.6) == "below"
    assert Interval(0.4, 0.5).against(0.3, 0.6) == "between"
    assert Interval(0.7, 0.8).against(0.3, 0.6) == "above"
    assert Interval(0.2, 0.4).against(0.3, 0.6) == "not clear"


@pytest.mark.slow
def test_rounds_save_rollouts_and_decide_the_same(workspace: WorkspaceFolder) -> None:
    """Policies that solve each task with a known rate: what is decided early is what 16 rollouts decide."""
    items, spent, decided = shown(workspace), Counter[str](), Counter[bool]()
    base = next(stage for stage in stages_of(workspace) if isinstance(stage, Replay)).config
    for eighth in range(9):
        told: dict[str, list[tuple[bool, bool]]] = {}
        for way, sizes in (("rounds", (4, 8, 16)), ("always 16", (16,))):
            policy = policy_for(workspace, lambda task, seen, look, rate=eighth / 8: rate)
            config = ReplayConfig(
                student=base.student, clips=base.clips, rounds=RoundsConfig(sizes=sizes), temperature=1 + eighth / 8
            )
            stage = Replay(config)
            stage.engine = lambda policy=policy: policy
            found = [row for made in measured(stage, workspace, items) for row in made.rows]
            spent[way] += len(policy.rollouts)
            told[way] = [(v.score == 0, v.score == 1) for v in found if isinstance(v, Verdict) and v.filter == "replay"]
        decided.update(one == other for one, other in zip(told["rounds"], told["always 16"], strict=True))
    assert decided == {True: 9 * len(items)}
    assert spent["rounds"] <= 0.7 * spent["always 16"] == 0.7 * 9 * 16 * len(items)


# what each measurement says


def test_replay_counts_what_a_student_gets_right_by_itself(workspace: WorkspaceFolder) -> None:
    solved = {task.id for task in rows(workspace, Task) if task.id[0] % 2}
    policy = policy_for(workspace, lambda task, seen, look: float(task.id in solved))
    run(workspace, policy, until="replay")
    for subject, verdict in verdicts(workspace, "replay").items():
        assert verdict.score == float(subject in solved)
        assert verdict.n == 3
        assert verdict.detail.startswith(f"{3 * (subject in solved)} of 3 right, interval ")
    found = verdicts(workspace, "replay_iou")
    for task in rows(workspace, Task):
        if task.windows:
            window = Window(100, 300)
            inside = max(overlap_cs((window,), (one,)) for one in task.windows)
            assert (found[task.id].score > 0) == (inside > 0)
    free = [row for row in rows(workspace, Rollout) if row.filter == "replay"]
    assert {(row.mode, row.arm, row.ending) for row in free} == {("free", "free", "answered")}
    assert {row.looks for row in free} == {(Look(Window(100, 300), Fraction(2)),)}


def test_blind_finds_what_can_be_answered_from_its_text(workspace: WorkspaceFolder) -> None:
    policy = policy_for(workspace, lambda task, seen, look: float(task.question in FROM_TEXT if seen == "text" else 1))
    change(workspace, "sizes = [1, 2]\n\n[stages.blind]", "sizes = [4, 8, 16]\n\n[stages.blind]")
    run(workspace, policy, until="blind")
    found = verdicts(workspace, "blind")
    for task in rows(workspace, Task):
        assert (found[task.id].score < 0.5) == (task.question in FROM_TEXT), found[task.id]
    prompts = {row.transcript.pieces for row in rows(workspace, Rollout)}
    assert not any(piece.is_clip for pieces in prompts for piece in pieces)
    # options stand in another order each time
    texts = Counter(row.task for row in {(r.task, r.transcript.pieces[0].text): r for r in rows(workspace, Rollout)}.values())
    assert all(texts[task.id] > 1 for task in rows(workspace, Task) if len(task.options) == 4)


def test_necessity_is_what_the_right_window_adds(workspace: WorkspaceFolder) -> None:
    coarse = {task.id for task in rows(workspace, Task) if task.id[0] % 2}

    def rate(task: Task, seen: Seen, look: Look | None) -> float:
        return float(task.id in coarse or shows(task, look))

    run(workspace, policy_for(workspace, rate), until="necessity")
    needed, over = verdicts(workspace, "necessity"), verdicts(workspace, "necessity_coarse")
    for task in rows(workspace, Task):
        expected = float(task.id not in coarse) if task.windows else 1.0
        assert (needed[task.id].score, over[task.id].score) == (expected, expected)
        assert (needed[task.id].n == 0) == (not task.windows)
    seeds = {(r.task, r.index, r.arm) for r in rows(workspace, Rollout) if r.filter == "necessity"}
    assert {arm for _, _, arm in seeds} == {"right", "wrong", "none", "thought"}


def test_before_a_forced_look_stands_what_the_student_thought_by_itself(workspace: WorkspaceFolder) -> None:
    run(workspace, policy_for(workspace, lambda task, seen, look: 0.5), until="necessity")
    found = [row for row in rows(workspace, Rollout) if row.filter == "necessity"]
    free = {(row.task, row.index): row.transcript.trajectory_text for row in found if row.arm == "thought"}
    forced = [row for row in found if row.arm in ("right", "wrong")]
    assert forced
    for row in forced:
        (command,) = [piece.text for piece in row.transcript.pieces if piece.author == "runtime" and piece.text]
        own, _, _ = free[row.task, row.index].partition("<span>")
        assert command.startswith(f"{own}<span>")
        assert own != "<think>"


def test_a_window_is_forced_at_the_density_that_the_thought_before_it_names(workspace: WorkspaceFolder) -> None:
    policy = policy_for(workspace, lambda task, seen, look: 0.5, look="<span>1.00 - 3.00</span><fps>4</fps>")
    run(workspace, policy, until="necessity")
    forced = [row for row in rows(workspace, Rollout) if row.filter == "necessity" and row.arm in ("right", "wrong")]
    assert {row.looks[0].fps for row in forced} == {4}
    change(workspace, "[stages.necessity]", "[stages.necessity]\nown_thoughts = false")
    run(workspace, policy, until="necessity")
    forced = [row for row in rows(workspace, Rollout) if row.filter == "necessity" and row.arm in ("right", "wrong")]
    assert {row.looks[0].fps for row in forced} == {6}


def test_arms_have_the_same_seeds(workspace: WorkspaceFolder) -> None:
    policy = policy_for(workspace, lambda task, seen, look: 0.5)
    run(workspace, policy, until="blind")
    policy.rollouts.clear()
    (density,) = (stage for stage in stages_of(workspace, policy) if stage.name == "density")
    assert isinstance(density, RolloutStage)
    measured(density, workspace, shown(workspace)[:3])
    by_look: dict[Look | None, set[int]] = {}
    for seed, look in policy.rollouts:
        by_look.setdefault(look, set()).add(seed)
    windows = {look.window for look in by_look if look}
    assert windows
    for window in windows:
        seeds = [found for look, found in by_look.items() if look and look.window == window]
        assert len(seeds) == 5
        assert set.intersection(*seeds) == min(seeds, key=len)  # an arm that is given up has no others


def test_no_rollout_is_made_by_two_measurements(workspace: WorkspaceFolder) -> None:
    policy = policy_for(workspace, lambda task, seen, look: float(shows(task, look)))
    run(workspace, policy, until="necessity")
    policy.rollouts.clear()
    run(workspace, policy, until="density", only=True)
    assert {look.fps for _, look in policy.rollouts if look} == {
        1,
        3,
        4,
        6,
    }  # at 2 it looks by itself, so that was forced before
    assert {row.arm for row in rows(workspace, Rollout) if row.filter == "density"} == {"1", "2", "3", "4", "6", "thought"}


def test_a_wrong_window_shows_nothing_of_gold(workspace: WorkspaceFolder) -> None:
    for item in shown(workspace):
        window = right_window(item.task)
        if window is None or item.video is None:
            continue
        wrong = wrong_window(item.task, window, item.video.duration_cs)
        assert wrong is not None
        assert wrong.end_cs <= item.video.duration_cs
        assert overlap_cs((wrong,), item.task.windows) == 0
    task = replace(item.task, windows=(Window(0, 1150),))
    assert wrong_window(task, Window(0, 1150), 1200) == Window(1150, 1200)
    assert wrong_window(task, Window(0, 1160), 1160) is None


def test_the_lowest_density_that_shows_it_is_the_target(workspace: WorkspaceFolder) -> None:
    run(workspace, policy_for(workspace, lambda task, seen, look: float(shows(task, look, wants_fps(task)))), until="density")
    targets = {row.task: row for row in rows(workspace, Target)}
    grounded = [task for task in rows(workspace, Task) if task.windows]
    assert len(grounded) == len(targets) > 5
    assert len({wants_fps(task) for task in grounded}) > 2
    for task in grounded:
        window = right_window(task)
        assert window
        assert targets[task.id].look == Look(window, Fraction(wants_fps(task)))
        assert targets[task.id].source == "replay"


def test_a_candidates_wrong_answer_and_wrong_window_have_few_who_vouch(workspace: WorkspaceFolder) -> None:
    videos, tasks = ({row.id: row for row in rows(workspace, kind)} for kind in (Video, Task))
    policy = policy_for(workspace, lambda task, seen, look: 0.95 if shows(task, look) else 0.1)
    change(workspace, "sizes = [1, 2]\n\n[stages.vouch]", "sizes = [4, 8, 16]\n\n[stages.vouch]")
    (vouch,) = (stage for stage in stages_of(workspace, policy) if isinstance(stage, Vouch))
    good = [row for row in rows(workspace, Candidate) if tasks[row.task].windows and shows(tasks[row.task], row.looks[0])]
    good.sort(key=lambda row: row.video)
    assert len(good) > 4

    def scores(candidates: Sequence[Candidate]) -> list[dict[str, float]]:
        items = [CandidateWithTask(one, tasks[one.task], videos[one.video]) for one in candidates]
        return [
            {row.filter: row.score for row in made.rows if isinstance(row, Verdict)}
            for made in measured(vouch, workspace, items)
        ]

    def elsewhere(one: Candidate) -> Candidate:
        window = wrong_window(tasks[one.task], one.looks[0].window, 1200)
        assert window
        return replace(one, looks=(Look(window, Fraction(4)),), id=b"")

    def mistaken(one: Candidate) -> Candidate:
        return replace(one, answer="9.00 - 9.50" if tasks[one.task].task_kind == "grounding" else "beige", id=b"")

    for told in scores(good):
        assert told["vouch"] > 0.5
        assert told["vouch_window"] > 0.2
    for one, told in zip(good, scores(good), strict=True):
        assert told["vouch_overlap"] == float(iou((Window(100, 300),), (one.looks[0].window,)))  # there it looks by itself
    assert all(told["vouch"] < 0.3 for told in scores([mistaken(one) for one in good]))
    assert all(told["vouch_window"] < 0.2 for told in scores([elsewhere(one) for one in good]))


# what is selected


def rl(workspace: WorkspaceFolder) -> dict[bytes, Sample]:
    return {row.task: row for row in rows(workspace, Sample) if row.corpus == "rl"}


def sometimes(task: Task, seen: Seen, look: Look | None) -> float:
    """Where it is shown what is asked for, it sees that; where it looks by itself, it never, now and then, or always does."""
    if look == Look(Window(100, 300), Fraction(2)):
        return (0.0, 0.5, 1.0)[task.id[1] % 3]
    return float(shows(task, look, wants_fps(task)))


@pytest.fixture(scope="module")
def finished(prepared: Path, student: Path, tmp_path_factory: pytest.TempPathFactory) -> WorkspaceFolder:
    """The whole recipe, by a student that sees."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(prepared, folder / "ws")
    shutil.copytree(student, folder / "student")
    workspace = WorkspaceFolder(folder / "ws")
    change(workspace, "sizes = [2, 3]", "sizes = [4, 8, 16]")
    run(workspace, policy_for(workspace, sometimes))
    return workspace


def test_tasks_that_are_neither_always_nor_never_solved_are_kept_with_their_target(finished: WorkspaceFolder) -> None:
    told, necessary = verdicts(finished, "replay"), verdicts(finished, "necessity")
    kept, tasks = rl(finished), {task.id: task for task in rows(finished, Task)}
    targets = {row.task: row.look for row in rows(finished, Target)}
    assert kept.keys() & targets.keys()
    for id, task in tasks.items():
        fit = 0.05 <= told[id].score <= 0.95 and necessary[id].score >= 0.2
        assert (id in kept) == (fit and bool(task.windows))
        if id in kept:
            assert (kept[id].target, kept[id].target_source) == (targets[id], "replay")
    reasons = dict(sql(finished, "SELECT reason, count(*) FROM outcomes WHERE stage = 'select_rl' GROUP BY ALL"))
    assert {"", "no target", "above threshold: replay"} <= set(reasons)
    dry = json.loads(dmforge("select", "rl", "--dry-run", "-w", finished.root, "--json")[0])
    assert dry["kept"] == reasons.pop("") == len(kept)
    assert dry["rejected"] == reasons
    assert dry["undetermined"] == 0
    assert "holds tasks" in dmforge("select", "rl", "--where", "replay > 0", "-w", finished.root, code=2)[1]


def test_a_threshold_rolls_out_nothing(finished: WorkspaceFolder, student: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.root, tmp_path / "ws")
    shutil.copytree(student, tmp_path / "student")
    workspace = WorkspaceFolder(tmp_path / "ws")
    change(workspace, "replay = 0.95", "replay = 0.3")
    told = json.loads(dmforge("select", "rl", "-w", workspace.root, "--json")[0])
    assert told["kept"] == len(rl(workspace)) < len(rl(finished))
    assert all(told["pending"] == 0 for told in json.loads(dmforge("plan", "-w", workspace.root, "--json")[0])["stages"][:-1])
    assert rows(workspace, Rollout) == rows(finished, Rollout)


def test_what_is_not_replayed_yet_is_undetermined(workspace: WorkspaceFolder) -> None:
    dry = json.loads(dmforge("select", "rl", "--dry-run", "-w", workspace.root, "--json")[0])
    assert dry == {"kept": 0, "rejected": {}, "undetermined": len(rows(workspace, Task))}


def test_a_teachers_look_is_a_target_where_that_is_asked_for(finished: WorkspaceFolder, student: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.root, tmp_path / "ws")
    shutil.copytree(student, tmp_path / "student")
    workspace = WorkspaceFolder(tmp_path / "ws")
    change(workspace, 'corpus = "rl"', 'corpus = "rl"\nteachers_look = true')
    dmforge("select", "rl", "-w", workspace.root)
    before, after = rl(finished), rl(workspace)
    looks = {row.task: row.looks[0] for row in rows(finished, Candidate) if row.attempt == 0}
    fresh = [sample for task, sample in after.items() if task not in before]
    assert fresh
    assert {task: after[task] for task in before} == before
    for sample in fresh:
        assert (sample.target, sample.target_source) == (looks[sample.task], "teacher")


def test_another_density_is_another_candidate_by_the_teachers_second_call(prepared: Path, finished: WorkspaceFolder) -> None:
    before = {row.id: row for row in rows(WorkspaceFolder(prepared), Candidate)}
    asked = sql(finished, "SELECT status, reason, count(*) FROM outcomes WHERE stage = 'thin' GROUP BY ALL")
    fresh = [row for row in rows(finished, Candidate) if row.id not in before]
    assert fresh, asked
    targets = {row.task: row.look.fps for row in rows(finished, Target)}
    for row in fresh:
        (old,) = (one for one in before.values() if one.task == row.task)
        assert row.looks == (Look(old.looks[0].window, targets[row.task]),) != old.looks
        assert row.requests[0] == old.requests[0]  # the first call is the journal's
        assert row.requests[1] != old.requests[1]
        assert not named_densities(row.transcript.policy_text) - {row.looks[0].fps}
    thrift = verdicts(finished, "thrift")
    assert all(thrift[row.id].score == 1 for row in fresh)
    assert all(thrift[row.id].score < 1 for row in before.values() if row.task in {one.task for one in fresh})
    told = {verdict.filter for verdict in rows(finished, Verdict) if verdict.subject == fresh[0].id}
    assert {"grammar", "answer", "vouch", "thrift"} <= told


def test_a_thought_that_names_a_density_is_known() -> None:
    assert named_densities("so 4 frames per second should do") == {4}
    assert named_densities("At 0.5 fps, or 12 images a second; 3 frames later.") == {Fraction(1, 2), 12}
    assert named_densities("It lasts 4 seconds.") == set()
