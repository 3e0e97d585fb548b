"""Feed a training loop of your own from shards: batches by tokens, frames as arrays, and which words are learnt.

python examples/own_loader.py ws/shards/cot/... --max-tokens 65536
"""

import argparse

from torch.utils.data import DataLoader

import dmforge as dm
from dmforge.curation.shards.examples import Example
from dmforge.generators.footage import show
from dmforge.generators.rendition_footage import footage_of


def lay_out(turns: list[tuple[Example, int]]) -> list[dict[str, object]]:
    """A batch: for each sample its pieces in order, with frames where a clip is shown. Runs in the loader's workers."""
    batch: list[dict[str, object]] = []
    for example, weight in turns:
        pieces = show(example.sample.transcript.pieces, footage_of(example, example.clips))
        batch.append({
            "id": example.sample.id,
            "weight": weight,  # 0 where a turn only keeps ranks in step
            "texts": [(shown.piece.text, shown.piece.is_trained) for shown in pieces if shown.clip is None],
            "clips": [(shown.clip.frames, shown.clip.stamps_s) for shown in pieces if shown.clip is not None],
        })  # fmt: skip
    return batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", help="a folder of shards, here or at an address")
    parser.add_argument("--max-tokens", type=int, default=65_536, help="of a batch over all ranks")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode")
    arguments = parser.parse_args()

    corpus = dm.Corpus(arguments.corpus)
    sampler = corpus.sampler(max_tokens=arguments.max_tokens, seed=0, rank=0, ranks=1)
    loader = DataLoader(corpus.dataset(), batch_sampler=sampler, num_workers=arguments.workers, collate_fn=lay_out)
    for step, batch in enumerate(loader):
        frames = sum(len(clip) for sample in batch for clip, _ in sample["clips"])
        learnt = sum(len(text) for sample in batch for text, is_trained in sample["texts"] if is_trained)
        print(f"step {step}: {len(batch)} samples, {frames} frames, {learnt} characters to learn")


if __name__ == "__main__":
    main()
