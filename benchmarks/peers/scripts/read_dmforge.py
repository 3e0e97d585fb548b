"""Shards in shuffled order, resumable: dmforge."""

import sys

from learning import Learner

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.sampler import BatchSampler, CorpusDataset

learner = Learner(sys.argv[2])
corpora = [Corpus(sys.argv[1])]
sampler, examples = BatchSampler(corpora, seed=1, max_tokens=1 << 40, max_samples=20), CorpusDataset(corpora)
state = learner.state()
if state:
    sampler.resume(state)
for step, batch in enumerate(sampler, state["step"] + 1 if state else 1):
    for example, _ in examples.__getitems__(batch):
        learner.learn(example.packed.key, example.sample.question, example.coarse, example.grid)
    learner.keep(lambda step=step: sampler.state(step))
learner.done()
