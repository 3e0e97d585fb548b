"""A worker that misbehaves takes down its input and nothing else; a slow one holds up nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dmforge.curation.contract.stage import EachConfig, StageConfig
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.engine.executors.process_watch import ProcessWatch
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import DmforgeError
from tests.foundation.stages import (
    Ahead,
    Echo,
    EchoConfig,
    MisbehaveConfig,
    Stuck,
    batches,
    execute,
    misbehaving,
    seeds,
    statuses,
)

COUNT, SIZE, BAD = 30, 10, 5


def tries(tmp_path: Path, number: int) -> int:
    return len(list(tmp_path.glob(f"{number}-*")))


@pytest.mark.parametrize(
    ("how", "limits", "reason"),
    [
        ("sleep", {"hang_timeout_s": 0.5}, "still"),
        ("sleep_holding_the_gil", {"hang_timeout_s": 0.5}, "still"),
        ("spin", {"cpu_s": 1.5}, "cpu"),
        ("eat_memory", {}, "memory"),
        ("segfault", {}, "died"),
        ("exit", {}, "died"),
        ("raise", {}, "ValueError"),
    ],
)
def test_what_misbehaves_is_tried_twice_then_quarantined_alone(
    how: str, limits: dict[str, float], reason: str, tmp_path: Path
) -> None:
    finished = execute(misbehaving(how, tmp_path, **limits), tmp_path, COUNT, SIZE)
    found = statuses(finished)
    assert len(found) == COUNT
    for seed in seeds(COUNT):
        assert found[seed.id] == (("quarantined", reason) if seed.number == BAD else ("made", ""))
    assert tries(tmp_path, BAD) == 2
    assert not any(batch.deferred for batch in finished)


def test_rows_and_outcomes_keep_the_order_of_the_inputs_whatever_was_tried_again(tmp_path: Path) -> None:
    first = next(batch for batch in execute(misbehaving("exit", tmp_path), tmp_path, SIZE, SIZE) if batch.settled)
    assert first.settled is not None
    expected = [seed.id for seed in seeds(SIZE)]
    assert first.settled.outcomes.column("input").to_pylist() == expected
    assert first.settled.rows["verdicts"].column("made_from").to_pylist() == [key for key in expected if key != expected[BAD]]


def test_the_backstop_leaves_what_was_still_computing_pending(tmp_path: Path) -> None:
    finished = execute(misbehaving("spin", tmp_path, cpu_s=60, wall_timeout_s=2), tmp_path, COUNT, SIZE)
    deferred = [item for batch in finished for item in batch.deferred]
    assert [item.key.input for item in deferred] == [seeds(COUNT)[BAD].id]
    assert "still computing" in deferred[0].reason
    assert len(statuses(finished)) == COUNT - 1


def test_a_transient_fault_leaves_its_input_pending(tmp_path: Path) -> None:
    finished = execute(misbehaving("transient", tmp_path), tmp_path, COUNT, SIZE)
    assert [item.reason for batch in finished for item in batch.deferred] == ["the disk was busy"]
    assert len(statuses(finished)) == COUNT - 1
    assert tries(tmp_path, BAD) == 1


def test_a_stage_that_fails_on_everything_stops_instead_of_quarantining_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(DmforgeError, match="all failed alike: ValueError"):
        execute(misbehaving("all_raise", tmp_path), tmp_path, COUNT, SIZE)


def test_one_slow_answer_stalls_nothing_else(tmp_path: Path) -> None:
    stage = Echo(EchoConfig(concurrency=4, slow=0, slow_s=1.0))
    started = time.monotonic()
    order = [batch.settled.outcomes.num_rows for batch in execute(stage, tmp_path, 95, 10) if batch.settled]
    assert time.monotonic() - started < 2.0
    assert order == [10] * 8 + [5] + [10]  # the batch of the slow answer is the last to be finished


def test_no_more_than_the_concurrency_is_in_flight_and_no_less(tmp_path: Path) -> None:
    stage = Echo(EchoConfig(concurrency=5))
    execute(stage, tmp_path, 60, 7)
    assert stage.max_in_flight == 5


def test_an_answer_that_fails_for_now_stays_pending(tmp_path: Path) -> None:
    finished = execute(Echo(EchoConfig(transient=3)), tmp_path, 20, 10)
    assert [item.reason for batch in finished for item in batch.deferred] == ["quota"]
    assert len(statuses(finished)) == 19


def test_a_refused_key_stops_the_stage_after_what_was_finished(tmp_path: Path) -> None:
    stage = Echo(EchoConfig(concurrency=1, fatal=25))
    finished = LocalExecutor().execute(stage, WorkspaceFolder(tmp_path), batches(40, 10), lambda _: None)
    assert [next(finished).settled is not None for _ in range(2)] == [True, True]
    with pytest.raises(DmforgeError, match="key was refused"):
        next(finished)


def test_an_engine_may_read_ahead_over_the_ends_of_batches(tmp_path: Path) -> None:
    found = statuses(execute(Ahead(StageConfig()), tmp_path, 30, 10))
    assert [found[seed.id][0] for seed in seeds(30)] == ["made"] * 28 + ["rejected"] * 2


def looks(shape: list[tuple[float, float]], **limits: float) -> list[str | None]:
    """What a watch says after each (seconds since the last look, CPU seconds used in them)."""
    told = EachConfig.model_validate({"cpu_s": 5, "hang_timeout_s": 2, "wall_timeout_s": 100} | limits)
    watch, now, cpu, said = ProcessWatch((0, 0), 0.0, 0.0), 0.0, 0.0, []
    for elapsed, used in shape:
        now, cpu = now + elapsed, cpu + used
        verdict = watch.look(now, cpu, elapsed, told)
        said.append(verdict.reason if verdict else None)
    return said


def test_a_process_stands_still_only_while_the_machine_is_free() -> None:
    free, late = 0.1, 1.0
    assert looks([(free, 0.0)] * 19) == [None] * 19
    assert looks([(free, 0.0)] * 22)[-1] == "still"
    assert not any(looks([(late, 0.0)] * 60))  # our own heartbeat was late: the machine was busy, the process is not to blame
    assert looks([(late, 0.0)] * 101)[-1] == "backstop"


def test_a_process_that_only_ticks_over_stands_still_and_a_starved_one_does_not() -> None:
    ticking = [(0.1, 0.01 if n % 20 == 0 else 0.0) for n in range(60)]
    starved = [(0.1, 0.004)] * 300
    assert "still" in looks(ticking)
    assert not any(looks(starved))


def test_cpu_time_counts_however_long_it_took() -> None:
    assert looks([(1.0, 0.1)] * 49, wall_timeout_s=1000) == [None] * 49
    assert looks([(1.0, 0.1)] * 52, wall_timeout_s=1000)[-1] == "cpu"


def test_a_stage_that_hangs_before_its_first_input_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DmforgeError, match=r"never came to its first input: no CPU used for 0\.5 s"):
        execute(Stuck(MisbehaveConfig(how="", hang_timeout_s=0.5, workers=1)), tmp_path, 3, 3)


def test_what_an_exception_says_is_kept_without_what_varies(tmp_path: Path) -> None:
    details = [
        row["detail"]
        for batch in execute(misbehaving("raise_with_address", tmp_path), tmp_path, COUNT, SIZE)
        for row in (batch.settled.outcomes.to_pylist() if batch.settled else [])
        if row["status"] == "quarantined"
    ]
    assert details == ["no stream in <object object at 0x...>"]
