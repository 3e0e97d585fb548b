"""Export to a Hugging Face dataset folder: Parquet that `datasets` writes and reads, a card, and the videos."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dmforge.curation.io.atomic import placing, write_bytes
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import LOOK_FIELDS, ShardSample, as_json, has_limits
from dmforge.curation.shards.examples import PackedVideo
from dmforge.schemas.errors import InputError

DATA = "data/train-00000-of-00001.parquet"


def to_hf(corpus: Corpus, folder: Path) -> int:
    """Write a row a sample. Windows and options are lists here, since Parquet has a schema; a transcript stays its pieces."""
    try:
        import datasets  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise InputError("this needs `datasets`", where="--to hf", hint="pip install 'dmforge[hub]'") from None
    datasets.disable_progress_bars()
    with_limits = any(has_limits(sample) for packed_video in corpus.videos() for sample in packed_video.samples)
    dataset_rows = list(_rows(corpus, folder, with_limits))
    text_type, number_type = datasets.Value("string"), datasets.Value("float64")
    piece_fields = ("author", "kind", "text", *LOOK_FIELDS[: None if with_limits else 2])
    piece_types = dict.fromkeys(piece_fields, text_type)
    column_features: Any = dict.fromkeys(dataset_rows[0], text_type) if dataset_rows else {}
    column_features |= {
        "duration_s": number_type,
        "options": datasets.List(text_type),
        "windows": datasets.List(datasets.List(number_type)),
        "pieces": datasets.List(piece_types),
    }
    dataset: Any = datasets.Dataset.from_list(dataset_rows, features=datasets.Features(column_features))
    with placing(folder / DATA) as temporary_path:
        dataset.to_parquet(str(temporary_path))
    write_bytes(folder / "README.md", _card(corpus).encode())
    return len(dataset_rows)


def _rows(corpus: Corpus, folder: Path, with_limits: bool) -> Iterator[dict[str, Any]]:
    for packed_video in corpus.videos():
        for suffix, rendition_bytes in (("mp4", packed_video.grid), ("coarse.mp4", packed_video.coarse)):
            write_bytes(folder / f"videos/{packed_video.key}.{suffix}", rendition_bytes)
        for sample in packed_video.samples:
            yield _row(packed_video, as_json(sample, with_limits=with_limits), sample)


def _row(packed_video: PackedVideo, sample_values: dict[str, Any], sample: ShardSample) -> dict[str, Any]:
    shard_video = packed_video.video
    return {
        **sample_values,
        "options": list(sample.options),
        "windows": [[float(window.start_s), float(window.end_s)] for window in sample.windows],
        "video": shard_video.video,
        "video_file": f"videos/{packed_video.key}.mp4",
        "coarse_file": f"videos/{packed_video.key}.coarse.mp4",
        "duration_s": shard_video.duration_cs / 100,
        "source": shard_video.source,
        "licence": shard_video.licence,
        "namespace": shard_video.namespace,
        "source_id": shard_video.source_id,
    }


def _card(corpus: Corpus) -> str:
    manifest = corpus.manifest
    return f"""---
pretty_name: {json.dumps(manifest.corpus)}
configs:
- config_name: default
  data_files:
  - split: train
    path: {DATA}
---

# {manifest.corpus}

{manifest.samples} samples about {manifest.videos} videos, exported from the selection `{manifest.selection}`: its card says
where they come from, under which licences, and how they were judged. `source` and `licence` stand on each row.
"""
