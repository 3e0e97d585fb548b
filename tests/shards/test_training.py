"""Under Hugging Face's Trainer and DistributedDataParallel: each sample once, ranks in step, and a kill changes nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.shards.corpus import Corpus
from tests.support.corpora import corpus

RANKS, KILLED_AT, SAVED_AT = 2, 8, 6
ROOT = Path(__file__).parents[2]


def train(folder: Path, out: Path, dies_at: int = 0) -> None:
    """All ranks, to the end or to the kill."""
    out.mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = {"WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.shards.training", str(folder), str(out), str(dies_at)]
    ranks = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            stderr=subprocess.PIPE,
            env=os.environ | told | {"RANK": str(rank), "LOCAL_RANK": str(rank), "GLOO_SOCKET_IFNAME": "lo"},
        )
        for rank in range(RANKS)
    ]
    ends = [(process.communicate(timeout=200)[1], process.returncode) for process in ranks]
    if not dies_at:
        assert all(code == 0 for _, code in ends), ends[0][0].decode()[-2000:]


def steps_of(out: Path, rank: int) -> tuple[dict[int, Any], float]:
    """What each step saw, the last time that it was taken; and the number that was learnt."""
    *lines, (_, weight) = [json.loads(line) for line in (out / f"rank{rank}.jsonl").read_text().splitlines()]
    return dict(map(tuple, lines)), weight


@pytest.mark.slow
def test_killed_and_resumed_is_the_same_as_never_stopped(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "corpus", 21, 3)
    ids = {example.sample.id for example in Corpus(str(folder)).read(range(63))}
    train(folder, tmp_path / "whole")
    train(folder, tmp_path / "broken", KILLED_AT)
    assert not (tmp_path / "broken" / f"checkpoint-{KILLED_AT}").exists()
    assert (tmp_path / "broken" / f"checkpoint-{SAVED_AT}").exists()
    train(folder, tmp_path / "broken")
    ranks = [steps_of(tmp_path / "whole", rank) for rank in range(RANKS)]
    assert ranks == [steps_of(tmp_path / "broken", rank) for rank in range(RANKS)]
    assert len({len(steps) for steps, _ in ranks}) == 1
    assert len({weight for _, weight in ranks}) == 1
    seen = Counter(id for steps, _ in ranks for own in steps.values() for id in own)
    assert seen == dict.fromkeys(ids, 2)  # epochs
