"""A Ray cluster that loses machines and gets others: a run on it must end with the very bytes of a run on one machine.

Three raylets: a head that does no work, and two workers of one core each. In the middle of the run one worker is killed and a
third is added; then the second is killed, so that only the one that came later is left to work; and much later that one is
killed, too, and a fourth has to finish. All of it is in a network namespace of its own: Ray listens on every address that a
machine has.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos import subjects, undisturbed
from tests.support.tables import show

NUMBERS = """
name = "numbers"
[stages.count]
tasks = {tasks}
crash_every = {crash_every}
work_ms = 20
batch_items = 20
[stages.score]
work_ms = 20
batch_items = 20
[stages.keep]
"""
STORE_BYTES = 100 << 20
HEAD: dict[str, object] = {
    "num_cpus": 0,
    "object_store_memory": STORE_BYTES,
    "include_dashboard": False,
    "_system_config": {
        "health_check_period_ms": 1000,
        "health_check_failure_threshold": 4,
        "health_check_initial_delay_ms": 1000,
    },
}
"""Ray takes a machine for dead after so many checks that fail: by default five, 3 s apart."""
LOOPBACK = "ip link set lo up; exec "
LONGEST_S = 540


class Numbers(subjects.Rehearsal):
    """A stage of killable processes and one of streams, of equal length."""

    def prepare(self, workspace: Path, url: str) -> None:
        workspace.mkdir(parents=True)
        recipe = NUMBERS.format(tasks=self.tasks, crash_every=self.tasks // 2)
        (workspace / "recipe.toml").write_text(recipe)


@dataclass
class Seen:
    """How it went."""

    alone_s: float
    seconds: float
    done_at: list[str]
    """What happened to the cluster, and how many commits there were then."""
    files: int


def apart() -> list[str] | None:
    """The command that gives a process a network of its own, if this machine lets us."""
    for command in (["unshare", "-n", "sh", "-c"], ["unshare", "-rn", "sh", "-c"]):
        if shutil.which("unshare") and not subprocess.run([*command, "ip link set lo up"], capture_output=True).returncode:
            return command
    return None


def measure(subject: subjects.Subject) -> Seen:
    """The run alone, and the same on a cluster that changes under it."""
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory(prefix="dmforge-ray-") as folder:
        alone, spread = Path(folder) / "alone", Path(folder) / "spread"
        began_s = time.monotonic()
        with subject.serving() as url:
            subject.prepare(alone, url)
            if undisturbed.run(alone, subject.environment(url)).wait():
                sys.exit("the run alone failed")
        alone_s, enough = time.monotonic() - began_s, _commits(alone)
        cluster: Any = Cluster(initialize_head=True, head_node_args=HEAD)
        try:
            workers = [_added(cluster), _added(cluster)]
            with subject.serving() as url:
                subject.prepare(spread, url)
                began_s = time.monotonic()
                process = _start(spread, subject.environment(url), cluster.address)
                seen: list[str] = []
                for share, adds in ((0.1, True), (0.2, False), (0.6, True)):
                    if _waited(process, spread, int(share * enough)):
                        cluster.remove_node(workers.pop(0), allow_graceful=False)
                        workers += [_added(cluster)] if adds else []
                        event = "one killed, one added" if adds else "one killed"
                        seen.append(f"{event} after {_commits(spread)} of {enough} commits, {time.monotonic() - began_s:.0f} s")
                if process.wait():
                    assert process.stderr is not None
                    sys.exit(f"the run on the cluster failed with {process.returncode}: {process.stderr.read()}")
                seconds = time.monotonic() - began_s
                # what killed workers have left lies there until the next run: it sweeps, and must find nothing to do
                if undisturbed.run(spread, subject.environment(url)).wait():
                    sys.exit("the run afterwards failed")
        finally:
            cluster.shutdown()
        expected, actual = undisturbed.outcome(alone), undisturbed.outcome(spread)
        if actual != expected:
            differing = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
            sys.exit(f"these differ: {differing[:5]}")
        return Seen(alone_s, seconds, seen, len(expected))


def _added(cluster: Any) -> Any:
    return cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)


def _start(workspace: Path, environment: dict[str, str], address: str) -> subprocess.Popen[str]:
    options = ("--executor", "ray", "--address", address)
    return subprocess.Popen(
        [*subjects.DMFORGE, "run", "-w", str(workspace), *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def _waited(process: subprocess.Popen[str], workspace: Path, commits: int) -> bool:
    """Until there are more commits, and a little; whether the run goes on still."""
    until_s = time.monotonic() + LONGEST_S
    while process.poll() is None and _commits(workspace) <= commits:
        if time.monotonic() > until_s:
            process.kill()
            sys.exit("the run on the cluster stands still")
        time.sleep(0.02)
    time.sleep(random.uniform(0, 0.2))
    return process.poll() is None


def _commits(workspace: Path) -> int:
    return len(list(workspace.glob("lake/commits/*/*.json")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--chain", type=int, metavar="VIDEOS", help="the whole chain on so many worlds, instead of numbers")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    if not arguments.inside:
        command = apart() or sys.exit("no network namespace can be made here")
        again = [sys.executable, "-m", "chaos.clusters", *sys.argv[1:], "--inside"]
        os.execvp(command[0], [*command, LOOPBACK + " ".join(again)])
    with tempfile.TemporaryDirectory(prefix="dmforge-worlds-") as folder:
        subject = subjects.WholeChain(arguments.chain, Path(folder)) if arguments.chain else Numbers(arguments.tasks)
        seen = measure(subject)
    rows: list[list[object]] = [["seconds on one machine", f"{seen.alone_s:.0f}"], ["on the cluster", f"{seen.seconds:.0f}"]]
    rows += [["what happened", event] for event in seen.done_at]
    rows += [["files in lake, media and shards, byte-identical", seen.files]]
    chosen = f"--chain {arguments.chain}" if arguments.chain else f"--tasks {arguments.tasks}"
    show("On Ray, machines coming and going, same bytes", f"python -m chaos.clusters {chosen}", ["what", ""], rows)


if __name__ == "__main__":
    main()
