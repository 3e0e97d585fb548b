"""A request to roll out a sample of a shard: its prompt, with the frames of its video's renditions."""

from __future__ import annotations

from dmforge.curation.shards.examples import Example
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.rollout import RolloutRequest, prompt_of
from dmforge.generators.rendition_footage import footage_of


def sample_request(example: Example, sampling: Sampling) -> RolloutRequest:
    """The request for what a policy writes about a sample; what stands in the shard behind the prompt is left out."""
    footage = footage_of(example, example.clips)
    prompt_pieces = [piece for piece in example.sample.transcript.pieces if piece.author == "prompt"]
    return RolloutRequest(prompt_of(prompt_pieces, footage), footage, sampling)
