"""Shards in shuffled order, resumable: HF datasets, streaming."""

import sys
from pathlib import Path

from datasets import Video, load_dataset
from learning import Learner

learner = Learner(sys.argv[2])
tars = sorted(map(str, Path(sys.argv[1]).glob("*.tar")))
rows = load_dataset("webdataset", data_files={"train": tars}, split="train", streaming=True)
for column in ("coarse.mp4", "mp4"):
    rows = rows.cast_column(column, Video(decode=False))
rows = rows.shuffle(seed=1, buffer_size=1000)
state = learner.state()
if state:
    rows.load_state_dict(state)
for row in rows:
    learner.learn(row["__key__"], row["json"]["samples"][0]["question"], row["coarse.mp4"]["bytes"], row["mp4"]["bytes"])
    learner.keep(rows.state_dict)
learner.done()
