"""A few seeds of the simulation, and that it finds what it is for. `python -m tests.simulation --seconds 600` tries more."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from dmforge.curation.io.atomic import HashedFile, writing
from dmforge.schemas.errors import LakeError
from tests.simulation.forgetful_disk import ForgetfulDisk
from tests.simulation.plans import plan_of
from tests.simulation.planted import DEFECTS
from tests.simulation.search import search, shrunk
from tests.simulation.simulate import simulate

CURATION = Path(__file__).parents[2] / "curation"
ROOMS = ("io", "lake", "engine/ranks", "lifecycle", "sources", "shards", "packing", "exports", "soundness")
PAST_THE_SEAM = re.compile(
    r"os\.(open|write|pwrite|fsync|ftruncate|replace|rename|unlink)\(|shutil\.rmtree\(|fcntl\.(flock|lockf)\(|\.unlink\(missing|time\.(sleep|monotonic)\("
)

FIRST_SEED, SEEDS = 0, 14
ENOUGH = 40
"""Seeds within which each planted defect is found."""


def test_no_seed_breaks_a_promise() -> None:
    searched = search(FIRST_SEED, seconds=18.0, seeds=SEEDS)
    assert searched.seeds > 0
    assert [verdict.failure for verdict in searched.failures] == []


def test_the_lake_reaches_files_locks_and_time_through_one_module() -> None:
    modules = [path for room in ROOMS for path in (CURATION / room).glob("*.py") if path.name != "machine.py"]
    assert len(modules) > 40
    past = [f"{path.name}: {call[0]}" for path in modules for call in PAST_THE_SEAM.finditer(path.read_text())]
    assert past == []


def test_a_seed_replays_exactly() -> None:
    plan = plan_of(7)
    first, second = simulate(plan), simulate(plan)
    assert first.trace == second.trace
    assert first.met == second.met
    assert first.steps > 100


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found_and_its_plan_made_smaller(defect: str) -> None:
    searched = search(FIRST_SEED, seconds=90.0, seeds=ENOUGH, defect=defect)
    (verdict,) = searched.failures
    left_out = shrunk(verdict.plan.seed, defect)
    smaller = verdict.plan.without(left_out)
    assert len(smaller.names()) <= len(verdict.plan.names())
    assert simulate(smaller, defect).failure


def test_what_was_fsynced_survives_every_power_cut_and_nothing_else_has_to(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    left: set[bytes | None] = set()
    for seed in range(60):
        kept, loose = root / "kept", root / "loose"
        kept.write_bytes(b"kept")
        disk = ForgetfulDisk(root)
        loose.write_bytes(b"loose" * 40)
        disk.cut(random.Random(seed))
        assert kept.read_bytes() == b"kept"
        left.add(loose.read_bytes() if loose.exists() else None)
        loose.unlink(missing_ok=True)
    assert {None, b"", b"loose" * 40} < left


def test_a_file_that_was_given_up_takes_no_more_bytes(tmp_path: Path) -> None:
    # a Parquet writer that failed writes its footer as it is collected: to whichever file has the descriptor by then
    parts: list[HashedFile] = []

    def write_in_vain() -> None:
        with writing(tmp_path / "part") as part:
            parts.append(part)
            raise OSError("refused")

    with pytest.raises(LakeError, match="refused"):
        write_in_vain()
    with writing(tmp_path / "other") as other:
        with pytest.raises(ValueError, match="closed"):
            parts[0].write(b"footer")
        other.write(b"other")
    assert (tmp_path / "other").read_bytes() == b"other"
