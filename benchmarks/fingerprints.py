"""Are copies found, and only copies? Planted ones of textured worlds against worlds that are different, and real clips.

A copy is one of: re-encoded hard, resized, brightened, trimmed by up to a fifth at either end. What is compared are
fingerprints as `ingest` makes them.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

from dmforge.curation.video.fingerprint import are_copies, copies
from dmforge.curation.video.unusable import UnusableVideo
from tests.support.copies import fingerprint, worlds
from tests.support.tables import show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--real", type=Path, help="a folder of clips, no two of which are copies")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmforge-fingerprints-") as place:
        originals, pairs_by_kind = worlds(arguments.worlds, Path(place))
        real: list[tuple[int, ...]] = []
        for path in sorted(arguments.real.iterdir()) if arguments.real else []:
            try:
                real.append(fingerprint(path, Path(place)))
            except UnusableVideo:
                continue
    rows: list[list[str]] = []
    for kind, pairs in pairs_by_kind.items():
        prints = {f"{number} {side}".encode(): hashes for number, pair in enumerate(pairs) for side, hashes in enumerate(pair)}
        among_all = sum(key.split()[0] == other_key.split()[0] for key, other_key in copies(prints))
        rows.append([f"copies found, {kind}", f"{among_all} of {len(pairs)}"])
    for name, prints in (("different worlds", originals), ("real clips", real)):
        pairs = [are_copies(*pair) for pair in itertools.combinations(prints, 2)]
        rows.append([f"{name}: pairs called copies", f"{sum(pairs)} of {len(pairs)}"])
    show("Fingerprints", f"python -m benchmarks.fingerprints --worlds {arguments.worlds}", ["what", "number"], rows)


if __name__ == "__main__":
    main()
