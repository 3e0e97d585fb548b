"""Shards in shuffled order, resumed by skipping: webdataset keeps no state, so the same order is gone through again."""

import json
import sys
from itertools import islice
from pathlib import Path

import webdataset as wds
from learning import Learner

learner = Learner(sys.argv[2])
tars = sorted(map(str, Path(sys.argv[1]).glob("*.tar")))
rows = wds.WebDataset(tars, shardshuffle=1000, detshuffle=True, seed=1).compose(wds.detshuffle(1000, seed=1))
count = (learner.state() or {"done": 0})["done"]
for row in islice(rows, count, None):
    learner.learn(row["__key__"], json.loads(row["json"])["samples"][0]["question"], row["coarse.mp4"], row["mp4"])
    count += 1
    learner.keep(lambda count=count: {"done": count})
learner.done()
