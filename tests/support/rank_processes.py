"""Several processes of one command that find each other as those of torchrun do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def begin_ranks(module: str, words: Sequence[str], ranks: int = 1) -> list[subprocess.Popen[bytes]]:
    """The processes, all of them at work: `python -m module words`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    if ranks > 1:
        shared |= {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    own = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {} for rank in range(ranks)]
    command, pipe = [sys.executable, "-m", module, *words], subprocess.PIPE
    return [subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, env=shared | more) for more in own]
