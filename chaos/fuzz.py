"""Do parsers refuse whatever is wrong in the words of this house, at once, and in little memory?

    python -m chaos.fuzz --seconds 300 --seed 0

The time is shared out evenly. Each parser is given valid examples, then what is left of them after accidents. A finding is an
error that is no refusal, an input that takes more than five seconds, or one that takes the process past its memory. Inputs that
fail are kept, and the command that shows each again is printed. Exit status 1 if there are any.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from chaos.foreign_parsers import Parser, parsers
from chaos.mutations import spoilt
from tests.support.tables import show

SLOW_S = 5
"""An input is a few kilobytes."""
MEMORY = 3 << 30
"""Bytes that the process may hold: what it imports, and what a parser may use."""
KINDS = 5
"""Findings of a parser that are told: of one kind, the first."""


@dataclass(frozen=True)
class Finding:
    """An input that was not refused as it should be."""

    parser: str
    kind: str
    data: bytes


class Slow(BaseException):
    """It takes too long: no parser may take this for an error of its own."""


def tried(parser: Parser, data: bytes, folder: Path) -> Finding | None:
    """What a parser makes of an input."""
    try:
        with _within(SLOW_S):
            parser.read(data, folder)
    except parser.allowed:
        return None
    except Slow:
        return Finding(parser.name, f"takes more than {SLOW_S} s", data)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Finding(parser.name, f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}", data)
    return None


def fuzzed(parser: Parser, seed: int, seconds: float, folder: Path) -> tuple[int, dict[str, Finding]]:
    """How many inputs were tried in that time, and the first finding of each kind. Examples are read without a refusal."""
    findings: dict[str, Finding] = {}
    for example in parser.examples:
        try:
            parser.read(example, folder)
        except Exception as error:
            findings["example"] = Finding(parser.name, f"a valid example is refused: {error}", example)
    draw, until, number = random.Random(f"{seed} {parser.name}"), time.monotonic() + seconds, 0
    while time.monotonic() < until and len(findings) < KINDS:
        number += 1
        data = spoilt(draw.choice(parser.examples), draw)
        finding = tried(parser, data, folder)
        if finding is not None:
            findings.setdefault(finding.kind, finding)
    return number, findings


@contextlib.contextmanager
def _within(seconds: int) -> Generator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Slow

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    argument_parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    argument_parser.add_argument("--seconds", type=float, default=300, help="for all parsers together")
    argument_parser.add_argument("--seed", type=int, default=0)
    argument_parser.add_argument("--only", default="", help="parsers whose name holds this")
    argument_parser.add_argument("--input", type=Path, help="one input, for the parsers that --only names")
    argument_parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="where inputs that fail are kept")
    arguments = argument_parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "work")
        folder.mkdir()
        chosen = [parser for parser in parsers(Path(place)) if arguments.only in parser.name]
        if arguments.input is not None:
            findings = [finding for parser in chosen if (finding := tried(parser, arguments.input.read_bytes(), folder))]
        else:
            rows: list[list[object]] = []
            findings = []
            for parser in chosen:
                number, by_kind = fuzzed(parser, arguments.seed, arguments.seconds / len(chosen), folder)
                findings += by_kind.values()
                rows.append([parser.name, number, len(by_kind)])
            command = f"python -m chaos.fuzz --seconds {arguments.seconds:g} --seed {arguments.seed}"
            show("Spoilt examples", command, ["parser", "inputs", "kinds of findings"], rows)
    for number, finding in enumerate(findings):
        print(f"\n{finding.parser}: {finding.kind}\n  {finding.data[:200]!r}")
        if arguments.input is None:
            arguments.keep.mkdir(exist_ok=True)
            path = arguments.keep / f"{number:03d}.bin"
            path.write_bytes(finding.data)
            print(f"  python -m chaos.fuzz --only '{finding.parser}' --input {path}")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
