"""The data card of a folder of shards: README.md for people and the Hub, croissant.json for machines. Without dates."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from dmforge.curation.audit.query import ask
from dmforge.curation.contract.collective import View
from dmforge.curation.io.atomic import writing
from dmforge.curation.shards.folders import Manifest
from dmforge.curation.shards.index import INDEX, SUFFIXES
from dmforge.curation.shards.write import ShardEntry
from dmforge.schemas.record_fields import UNKNOWN
from dmforge.schemas.visible import escaped_in_line

README, CROISSANT = "README.md", "croissant.json"
HUB_LICENCES = frozenset({
    "cc0-1.0", "cc-by-4.0", "cc-by-3.0", "cc-by-2.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0",
    "cc-by-nd-4.0", "mit", "apache-2.0", "bsd-3-clause", "odc-by", "odbl", UNKNOWN,
})  # fmt: skip
"""Licences that the Hub knows by this name; any other is called `other` there, with its name beside."""
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
CORPUS_DESCRIPTIONS = {
    "cot": "Trajectories in which a model looks again at a stretch of a video while it thinks, for supervised training.",
    "rl": "Questions about videos with the windows and densities that rewards are measured against, for reinforcement.",
}
DEFAULT_DESCRIPTION = "Samples about videos."
PARTIAL_NOTE = "**Partial: packed while earlier stages still had inputs to work on. A later selection will hold more.**"


@dataclass(slots=True)
class CardCounts:
    """Counts of videos and samples for the card, added up while they are packed."""

    kinds: Counter[str] = field(default_factory=Counter[str])
    teachers: Counter[str] = field(default_factory=Counter[str])
    windows: Counter[str] = field(default_factory=Counter[str])
    """Windows, by who chose them."""
    given_windows: int = 0
    """Windows that were given to the teacher."""
    sources: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """Videos, by source and licence."""
    longest_cs: int = 0

    def add(self, entry: ShardEntry) -> None:
        for shard_sample in entry.samples:
            self.kinds[shard_sample.kind] += 1
            self.teachers[shard_sample.teacher or "-"] += 1
            self.windows[shard_sample.window_source or shard_sample.target_source or "-"] += 1
            self.given_windows += shard_sample.window_source in ("gold", "gold_padded")
        self.sources[entry.video.source, entry.video.licence] += 1
        self.longest_cs = max(self.longest_cs, entry.video.duration_cs)

    @property
    def licences(self) -> list[str]:
        return sorted({source_licence for _, source_licence in self.sources} or {UNKNOWN})


@dataclass(frozen=True, slots=True)
class CardContents:
    """What the card is written from."""

    manifest: Manifest
    tally: CardCounts
    view: View
    """The stages before packing, for the funnel."""


def write_card(folder: Path, contents: CardContents) -> dict[str, str]:
    """Write both files; the sha256 of each, by name."""
    text_by_name = {README: _readme(contents), CROISSANT: json.dumps(_croissant(contents), indent=1, ensure_ascii=False) + "\n"}
    sha256_by_name: dict[str, str] = {}
    for file_name, file_text in text_by_name.items():
        with writing(folder / file_name) as file:
            file.write(file_text.encode())
        sha256_by_name[file_name] = hashlib.sha256(file_text.encode()).hexdigest()
    return sha256_by_name


def _readme(contents: CardContents) -> str:
    manifest, tally = contents.manifest, contents.tally
    readme_template = Template((Path(__file__).parent / "card.md").read_text("utf-8"))
    return readme_template.substitute(
        front_matter=_front_matter(contents),
        corpus=manifest.corpus,
        what=CORPUS_DESCRIPTIONS.get(manifest.corpus, DEFAULT_DESCRIPTION),
        samples=manifest.samples,
        videos=manifest.videos,
        shards=len(manifest.shards),
        selection=manifest.selection,
        partial=f"\n{PARTIAL_NOTE}\n" if manifest.partial else "",
        kinds=_count_table("kind of question", tally.kinds),
        teachers=_count_table("teacher", tally.teachers),
        windows=_count_table("who chose the window", tally.windows),
        funnel=_funnel(contents.view),
        sources=_sources(tally),
        limits="\n".join(f"- {limit_text}" for limit_text in _limits(tally)),
    )


def _front_matter(contents: CardContents) -> str:
    manifest, licence_counts = contents.manifest, contents.tally.licences
    licence_name = licence_counts[0].lower() if len(licence_counts) == 1 else ""
    other_licence_lines = ["license: other", f"license_name: {json.dumps(', '.join(licence_counts))}"]
    front_matter_lines = [f"license: {licence_name}"] if licence_name in HUB_LICENCES else other_licence_lines
    size_category = next((size_name for upper_bound, size_name in SIZES if manifest.samples < upper_bound), "n>10M")
    front_matter_lines += [
        f"pretty_name: {json.dumps(manifest.corpus)}",
        "task_categories:", "- video-text-to-text", "- visual-question-answering",
        "tags:", "- webdataset", "- video", "- dmforge",
        "size_categories:", f"- {size_category}",
        "configs:", "- config_name: default", "  data_files:", "  - split: train", "    path: train-*.tar",
    ]  # fmt: skip
    return "".join(f"{yaml_line}\n" for yaml_line in front_matter_lines)


def _funnel(view: View) -> str:
    funnel_answer = ask(view, "funnel")
    return _table(funnel_answer.columns, funnel_answer.rows)


def _sources(tally: CardCounts) -> str:
    source_rows = [[source, licence, video_count] for (source, licence), video_count in sorted(tally.sources.items())]
    return _table(["source", "licence", "videos"], source_rows)


def _limits(tally: CardCounts) -> list[str]:
    limit_texts = ["What teachers wrote was judged by the filters above and by no one else, unless the funnel names people."]
    unknown_videos = sum(video_count for (_, licence), video_count in tally.sources.items() if licence == UNKNOWN)
    if unknown_videos:
        limit_texts.append(f"The licence of {unknown_videos} videos is unknown.")
    if len(tally.teachers.keys() - {"-"}) == 1:
        limit_texts.append("All trajectories come from one teacher, and share its habits.")
    if tally.sources:
        limit_texts.append(f"No video is longer than {tally.longest_cs / 100:.2f} s: nothing is said about longer ones.")
    if tally.given_windows:
        limit_texts.append(f"The window of {tally.given_windows} trajectories was given to the teacher, not found by it.")
    return limit_texts


def _croissant(contents: CardContents) -> dict[str, Any]:
    """The card in ML Commons Croissant 1.0: the files, and the records that they hold."""
    manifest = contents.manifest
    file_objects = [
        {"@type": "cr:FileObject", "@id": shard.name, "name": shard.name, "contentUrl": shard.name, "sha256": shard.sha256,
         "contentSize": f"{shard.bytes} B", "encodingFormat": "application/x-tar"}
        for shard in manifest.shards
    ]  # fmt: skip
    index_object = {"@type": "cr:FileObject", "@id": INDEX, "name": INDEX, "contentUrl": INDEX, "sha256": manifest.files[INDEX],
             "encodingFormat": "application/x-parquet"}  # fmt: skip
    shard_references = [{"@id": shard.name} for shard in manifest.shards]
    member_sets = [
        {"@type": "cr:FileSet", "@id": member_suffix, "name": member_suffix, "containedIn": shard_references,
         "includes": f"*.{member_suffix}", "encodingFormat": "application/json" if member_suffix == "json" else "video/mp4"}
        for member_suffix in SUFFIXES
    ]  # fmt: skip
    return {
        "@context": CONTEXT, "@type": "sc:Dataset", "name": manifest.corpus, "conformsTo": "http://mlcommons.org/croissant/1.0",
        "description": CORPUS_DESCRIPTIONS.get(manifest.corpus, DEFAULT_DESCRIPTION), "version": f"1.0.0+{manifest.selection}",
        "license": contents.tally.licences, "distribution": [*file_objects, index_object, *member_sets],
        "recordSet": [{
            "@type": "cr:RecordSet", "@id": "videos", "name": "videos",
            "field": [_field("json", "json", "sc:Text"), _field("coarse", "coarse.mp4", "sc:VideoObject"),
                      _field("grid", "mp4", "sc:VideoObject")],
        }],
    }  # fmt: skip


def _field(name: str, member_name: str, data_type: str) -> dict[str, Any]:
    field_source = {"fileSet": {"@id": member_name}, "extract": {"fileProperty": "content"}}
    return {"@type": "cr:Field", "@id": f"videos/{name}", "name": name, "dataType": data_type, "source": field_source}


CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/", "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/", "conformsTo": "dct:conformsTo", "citeAs": "cr:citeAs", "column": "cr:column",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field",
    "fileObject": "cr:fileObject", "fileProperty": "cr:fileProperty", "fileSet": "cr:fileSet", "format": "cr:format",
    "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5",
    "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet", "references": "cr:references",
    "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace", "separator": "cr:separator", "source": "cr:source",
    "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip


def _count_table(column_title: str, samples_by_value: Counter[str]) -> str:
    sorted_counts = sorted(samples_by_value.items(), key=lambda value_and_count: (-value_and_count[1], value_and_count[0]))
    return _table([column_title, "samples"], [[counted_value, sample_count] for counted_value, sample_count in sorted_counts])


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    table_lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell_value) for cell_value in table_line) + " |" for table_line in table_lines)


def _cell(value: object) -> str:
    """A value as a table cell, escaped: names that people gave can't break the table."""
    cell_text = "" if value is None else escaped_in_line(" ".join(str(value).split()))
    return cell_text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
