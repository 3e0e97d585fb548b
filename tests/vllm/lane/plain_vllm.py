"""What examples/look_with_vllm.py thinks about the first samples of a corpus: plain_vllm.py CHECKPOINT CORPUS NUMBER."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[3] / "examples"), str(Path(__file__).parents[3])]

from look_with_vllm import Watcher  # noqa: E402

from dmforge.curation.shards.corpus import Corpus  # noqa: E402
from dmforge.curation.shards.examples import Example  # noqa: E402
from dmforge.generators.footage import ShownClip  # noqa: E402
from dmforge.generators.rendition_footage import footage_of  # noqa: E402
from dmforge.schemas.looks import Look, Window  # noqa: E402


def clip_of(shown: ShownClip) -> tuple[object, list[float]]:
    return shown.frames, [float(time_s) for time_s in shown.times_s]


def thought(watcher: Watcher, example: Example, corpus: Corpus) -> str:
    footage = footage_of(example, corpus.clips)

    def look(start_s: float, end_s: float, fps: float) -> tuple[object, list[float]]:
        return clip_of(footage.look(Look(Window(round(start_s * 100), round(end_s * 100)), Fraction(str(fps)))))

    pieces = example.sample.transcript.pieces
    question = "".join(piece.text or "" for piece in pieces if piece.author == "prompt")
    return watcher.think(question, clip_of(footage.coarse()), look)  # pyright: ignore


def main() -> None:
    checkpoint, place, number = sys.argv[1:]
    corpus = Corpus(place)
    watcher = Watcher(
        checkpoint, dtype="float32", max_model_len=1024, max_num_seqs=2, enforce_eager=True, kv_cache_memory_bytes=16_000_000
    )
    thoughts = [thought(watcher, example, corpus) for example in corpus.read(range(int(number)))]
    sys.stdout.write(f"\n{json.dumps(thoughts)}\n")


if __name__ == "__main__":
    main()
