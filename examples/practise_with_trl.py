"""Practise looking with TRL's GRPOTrainer, on tasks that dmforge packed: each rollout has a video, and may call `crop_video`.

    pip install trl torchvision
    python examples/practise_with_trl.py trained/sft/checkpoint-2000 ws/shards/rl/current

TRL 1.16 takes images alone from a tool, so overview and looks are images, each behind its stamp. As an image a frame costs
twice the tokens that it costs in a video, where two share them. Frames are those that our own trainers show, pixel by pixel.
"""

import argparse

import datasets
from trl import GRPOConfig, GRPOTrainer

import dmforge as dm
from dmforge.generators.look_tool.clip_forms import image_parts
from dmforge.generators.look_tool.crop_video import crop_video
from dmforge.generators.rendition_footage import footage_of


class Viewer:
    """What TRL calls an environment: one rollout, with the video that it is about."""

    corpus: dm.Corpus
    overview_frames = 16

    def reset(self, number: int, **row: object) -> list[dict]:
        """Open the video of a task. TRL puts the overview behind the question."""
        self._footage = footage_of(self.corpus[number], self.corpus.clips)
        overview = image_parts(self._footage.coarse())
        step = -(-len(overview) // (2 * self.overview_frames))  # in pairs: a stamp, an image
        return [part for pair in range(0, len(overview) // 2, step) for part in overview[2 * pair : 2 * pair + 2]]

    def crop_video(self, start_time: float, end_time: float, fps: float) -> list[dict]:
        """Show a part of the video again, with more frames.

        Args:
            start_time: Where the part begins, in seconds with at most two decimals.
            end_time: Where the part ends, in seconds with at most two decimals.
            fps: Frames per second: a number like 2 or 0.5.

        Returns:
            The frames, each behind its time.
        """
        return image_parts(crop_video(self._footage, {"start_time": start_time, "end_time": end_time, "fps": fps}))


def tasks_of(corpus: dm.Corpus) -> datasets.Dataset:
    """A row for each task: its question, its number, and what would be right."""
    rows = [
        {"prompt": [{"role": "user", "content": example.sample.question}], "number": number, "gold": example.sample.gold}
        for number, example in enumerate(corpus)
    ]
    return datasets.Dataset.from_list(rows)


def is_right(completions: list[list[dict]], gold: list[str], **columns: object) -> list[float]:
    """1 where the last turn ends with the right answer."""
    answers = [str(completion[-1].get("content")) for completion in completions]
    return [float(f"<answer>{right}</answer>" in answer) for answer, right in zip(answers, gold, strict=True)]


def trainer_for(checkpoint: str, corpus: dm.Corpus, settings: GRPOConfig) -> GRPOTrainer:
    viewer = type("Viewer", (Viewer,), {"corpus": corpus})
    return GRPOTrainer(checkpoint, is_right, settings, train_dataset=tasks_of(corpus), environment_factory=viewer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("corpus", help="a folder of shards of tasks")
    parser.add_argument("--out", default="practised")
    arguments = parser.parse_args()
    settings = GRPOConfig(arguments.out, max_completion_length=8192, max_tool_calling_iterations=2)
    trainer_for(arguments.checkpoint, dm.Corpus(arguments.corpus), settings).train()


if __name__ == "__main__":
    main()
