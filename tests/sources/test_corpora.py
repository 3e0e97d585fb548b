"""Annotations and videos in a workspace: names, provenance, contamination, splits, and DynFrame's files there and back."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.report.cards import CardSubject, cards
from dmforge.curation.sources.annotation_format import Question, RefusedQuestion
from dmforge.curation.sources.annotations import read_question
from dmforge.curation.sources.formats import didemo
from dmforge.curation.sources.task_checks import CheckedTask, check
from dmforge.curation.sources.video_names import VideoFinder, VideoName, parse
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.selection.task_sampling import clustered
from dmforge.generators.synthetic.worlds.imagine import knobs_of
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.recipe import read_recipe
from dmforge.schemas.ids import base32
from dmforge.schemas.looks import Look, Window
from tests.support.barcodes import Case, write
from tests.support.made_once import made_once

TIMES = tuple(Fraction(number, 25) for number in range(150))


def dmforge(*words: object, code: int = 0) -> Any:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.stderr.replace("\n", " ")


def workspace(folder: Path, *stages: str) -> Path:
    """One with these stages behind the first two; of a stage that is told something, its whole table."""
    place = folder / "ws"
    (place / "inputs").mkdir(parents=True)
    tables = (stage if "\n" in stage else f"[stages.{stage}]\n" for stage in ("ingest", "import", *stages))
    (place / "recipe.toml").write_text('name = "test"\n[clips]\ncoarse_frames = 16\n' + "".join(tables))
    return place


def rows(place: Path, sql: str) -> list[tuple[Any, ...]]:
    stages = read_recipe(place / "recipe.toml").stages
    return LakeView(Lake(WorkspaceFolder(place)), stages).connection.execute(sql).fetchall()


# names


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("v_QOlSCBRmfWY", VideoName("QOlSCBRmfWY")),
        ("data/videos/ActivityNet/v_QOlSCBRmfWY.mp4", VideoName("QOlSCBRmfWY")),
        ("./x/ytb_7nRmsEw7nsE.webm", VideoName("7nRmsEw7nsE")),
        ("j7rJstUseKg_360.0_510.0", VideoName("j7rJstUseKg", (360.0, 510.0))),
        ("4jujhM5qhEc_00:00:39:000_00:01:24:700.mp4", VideoName("4jujhM5qhEc", (39.0, 84.7))),
        ("_6hnl_BrFvs_60.0_210.0", VideoName("_6hnl_BrFvs", (60.0, 210.0))),
        ("movie101_66.mp4", VideoName("movie101_66")),
        ("s17-d69.avi", VideoName("s17-d69")),
        ("34@N01_6060447507_dc1a90b8ef.mov", VideoName("34@N01_6060447507_dc1a90b8ef")),
        ("a.b.c", VideoName("a.b.c")),
    ],
)
def test_names_without_what_files_add(name: str, found: VideoName) -> None:
    assert parse(name) == found


def test_a_part_of_a_video_is_not_the_video() -> None:
    finder = VideoFinder((path, path) for path in ("d/v_abc.mp4", "d/abc_10.0_20.0.mp4", "e/abc_20_30.mp4"))
    assert finder.find("abc") == ["d/v_abc.mp4"]
    assert finder.find("x/abc_10_20.mkv") == ["d/abc_10.0_20.0.mp4"]
    assert finder.find("abc_30_40") == []


# videos beside annotations


def test_videos_are_found_in_folders_and_only_those_that_are_meant(tmp_path: Path) -> None:
    place, videos = workspace(tmp_path), tmp_path / "videos/deep"
    videos.mkdir(parents=True)
    for number, name in enumerate(("v_abc", "unasked")):
        write(Case(name, times_s=TIMES, first=number), videos)
    told = [{"video": "x/abc.mp4", "duration": 6.5, "timestamp": [1.0, 6.4], "sentence": "s", "qid": "q"},
            {"video": "x/abc.mp4", "duration": 6.0, "timestamp": [1.0, 8.0], "sentence": "s", "qid": "q"},
            {"video": "none.mp4", "duration": 6.0, "timestamp": [1.0, 2.0], "sentence": "s", "qid": "q"}]  # fmt: skip
    file = tmp_path / "train.json"
    file.write_text(json.dumps(told))
    words = ("import", "time_r1", file, "--videos", tmp_path / "videos", "--split", "train", "--licence", "CC-BY-4.0")
    dry = dmforge(*words, "--dry-run", "--json")
    assert dry["rejected"] == {"missing file": 1, "window outside the video": 1}
    told = dmforge(*words, "-w", place, "--json")
    assert (told["tasks"], told["flagged"]) == (1, {"clamped end": 1})
    assert told["rejected"] == {"missing file": 1, "window outside the video": 1}
    assert rows(place, "SELECT source_id, namespace, licence FROM videos") == [("v_abc", "youtube", "CC-BY-4.0")]
    found = rows(place, "SELECT source, licence, terms, split, flags, origin, answer FROM tasks")
    assert found == [("time_r1", "CC-BY-4.0", "unknown", "train", "clamped end", "train.json:1", "1.00 - 6.00")]
    # what was missing is there now: the same file, once more
    write(Case("none", times_s=TIMES, first=300), videos)
    assert dmforge(*words, "-w", place, "--json")["rejected"] == {"window outside the video": 1}
    assert rows(place, "SELECT count(*) FROM tasks") == [(2,)]


def test_what_is_missing_is_listed_for_whoever_fetches_it(tmp_path: Path) -> None:
    place, videos, listed = workspace(tmp_path), tmp_path / "videos", tmp_path / "missing.jsonl"
    videos.mkdir()
    write(Case("here", times_s=TIMES), videos)
    names = ["here", "v_abc", "x/abc.mp4", "abc_10.0_20.0", "lost", "lost", "lost"]
    file = tmp_path / "tasks.jsonl"
    questions = [
        {"video": name, "kind": "open", "question": f"What {number}?", "answer": "it"} for number, name in enumerate(names)
    ]
    file.write_text("".join(json.dumps(question) + "\n" for question in questions))
    words = ("import", "jsonl", file, "--videos", videos, "--namespace", "youtube", "--missing", listed)
    expected = [
        {"namespace": "youtube", "id": "lost", "names": ["lost"], "questions": 3},
        {"namespace": "youtube", "id": "abc", "names": ["v_abc", "x/abc.mp4"], "questions": 2},
        {"namespace": "youtube", "id": "abc", "start_s": 10.0, "end_s": 20.0, "names": ["abc_10.0_20.0"], "questions": 1},
    ]
    for further_words in (("--dry-run",), ("-w", place)):
        listed.unlink(missing_ok=True)
        dmforge(*words, *further_words, "--json")
        assert list(map(json.loads, listed.read_text().splitlines())) == expected
    for number, name in enumerate(("abc", "lost")):
        write(Case(name, times_s=TIMES, first=100 * number), videos)
    assert dmforge(*words, "-w", place, "--json")["tasks"] == 6
    assert list(map(json.loads, listed.read_text().splitlines())) == expected[2:]
    refused = dmforge("import", "jsonl", file, "-w", place, "--missing", place / "lake" / "x.jsonl", code=2)
    assert "belongs to a workspace" in refused


def test_a_licence_that_is_said_later_counts_and_renders_nothing_again(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    path = write(Case("one"), tmp_path)
    dmforge("ingest", path, "-w", place)
    media = {file: file.stat().st_mtime_ns for file in (place / "media").rglob("*.mp4")}
    assert dmforge("ingest", path, "--licence", "CC0-1.0", "-w", place, "--json") == {
        "ingested": 0,
        "known": 1,
        "quarantined": 0,
    }
    assert rows(place, "SELECT licence, source FROM provenances") == [("CC0-1.0", "unknown")]
    assert rows(place, "SELECT licence FROM videos") == [("CC0-1.0",)]
    assert {file: file.stat().st_mtime_ns for file in (place / "media").rglob("*.mp4")} == media


def test_annotations_said_to_be_otherwise_are_corrected(tmp_path: Path) -> None:
    place, file = workspace(tmp_path), tmp_path / "tasks.jsonl"
    file.write_text(json.dumps({"video": "one", "kind": "open", "question": "What?", "answer": "it"}))
    dmforge("ingest", write(Case("one"), tmp_path), "-w", place)
    for licence in ("MIT", "CC0-1.0"):
        dmforge("import", "jsonl", file, "--licence", licence, "-w", place)
        assert rows(place, "SELECT licence FROM tasks") == [(licence,)]


def test_of_the_same_questions_those_that_stand_first_stay(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    dmforge("ingest", write(Case("one"), tmp_path), "-w", place)
    questions = [{"video": "one", "kind": "open", "question": f"What {number}?", "answer": "it"} for number in range(12)]
    for source in ("mine", "other", "third"):
        file = tmp_path / f"{source}.jsonl"
        file.write_text("".join(json.dumps({**question, "fps": len(source)}) + "\n" for question in questions))
        counts = dmforge("import", "jsonl", file, "--source", source, "--licence", source, "-w", place, "--json")
        assert (counts["tasks"], counts["identical"]) == ((12, 0) if source == "mine" else (0, 12))
        assert rows(place, "SELECT DISTINCT source, licence FROM tasks") == [("mine", "mine")]
    # the file that stands first is still corrected by importing it again
    dmforge("import", "jsonl", tmp_path / "mine.jsonl", "--source", "mine", "--licence", "CC0-1.0", "-w", place)
    assert rows(place, "SELECT DISTINCT source, licence FROM tasks") == [("mine", "CC0-1.0")]


def test_a_last_segment_ends_with_its_video() -> None:
    (question,) = didemo.questions({"video": "a", "description": "it falls", "times": [[1, 1]], "num_segments": 6}, {})
    assert isinstance(question, Question)
    read = read_question(json.dumps({**asdict(question), "extras": {}}))
    checked = check(read, 780) if isinstance(read, Question) else None
    assert isinstance(checked, CheckedTask)
    assert (checked.windows, checked.flags) == ((Window(500, 780),), ("clamped end",))
    for refused in (check(question, 490), check(replace(question, segment_s=0.0), 780)):
        assert isinstance(refused, RefusedQuestion)
        assert refused.reason == "window outside the video"


def test_why_a_video_cant_be_used_stands_in_the_line_of_its_questions(tmp_path: Path) -> None:
    place, file = workspace(tmp_path), tmp_path / "tasks.jsonl"
    recipe = place / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("coarse_frames = 16", "coarse_frames = 16\ncoarse_tokens = 2"))
    file.write_text(json.dumps({"video": "one", "kind": "open", "question": "What?", "answer": "it"}))
    dmforge("ingest", write(Case("one", times_s=TIMES), tmp_path), "-w", place, code=1)
    printed = CliRunner().invoke(cli.app, ["import", "jsonl", str(file), "-w", str(place)]).stdout
    assert "its video can't be used, as in tasks.jsonl:1: one (" in printed
    assert "more than the budget of 2 visual tokens" in printed
    assert "\\n" not in printed


def test_how_many_looks_a_task_needs_is_kept_beside_its_density_and_changes_no_id(tmp_path: Path) -> None:
    place, file = workspace(tmp_path), tmp_path / "tasks.jsonl"
    row = {"video": "one", "kind": "open", "question": "What?", "answer": "it", "windows": [[1, 2]], "fps": 2}
    dmforge("ingest", write(Case("one"), tmp_path), "-w", place)
    ids = []
    for told in ({**row, "needed_looks": 0}, row):
        file.write_text(json.dumps(told))
        dmforge("import", "jsonl", file, "-w", place)
        ids += rows(place, "SELECT id FROM tasks ORDER BY extras DESC LIMIT 1")
    ((extras,),) = rows(place, "SELECT extras FROM tasks")
    assert json.loads(extras) == {"needed_looks": 0, "fps": 2.0}
    assert ids[0] == ids[1]


def test_a_benchmarks_video_is_never_a_task(tmp_path: Path) -> None:
    place, file = workspace(tmp_path), tmp_path / "tasks.jsonl"
    file.write_text(json.dumps({"video": "one", "kind": "open", "question": "What?", "answer": "it"}))
    dmforge("ingest", write(Case("one"), tmp_path), "--benchmark", "-w", place)
    told = dmforge("import", "jsonl", file, "-w", place, code=1)
    assert "nothing was made of these files: each question in them was rejected or quarantined" in told
    assert rows(place, "SELECT reason FROM outcomes WHERE stage = 'import'") == [("its video is a benchmark's",)]


def test_tasks_wait_for_a_video_that_may_still_come(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    path = write(Case("one"), tmp_path)
    hidden = path.with_suffix(".hidden")
    file = tmp_path / "tasks.jsonl"
    file.write_text(json.dumps({"video": "one", "kind": "open", "question": "What?", "answer": "it"}))
    dmforge("ingest", path, "-w", place)
    for commit in (place / "lake/commits/ingest").iterdir():
        commit.unlink()
    path.rename(hidden)
    told = dmforge("import", "jsonl", file, "-w", place, code=1)
    assert "waits for earlier stages" in told
    hidden.rename(path)
    dmforge("run", "-w", place)
    assert rows(place, "SELECT count(*) FROM tasks") == [(1,)]


# contamination and splits


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = WorldSettings(videos=8, width=128, height=128, knobs=knobs_of(5))
    return made_once(tmp_path_factory, "corpora", lambda folder: make_worlds(folder, settings)) / "videos"


def trimmed(source: Path, path: Path) -> Path:
    """The same video, encoded again, smaller, without its first second."""
    import av

    with av.open(str(source)) as container, av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=12, options={"crf": "30"})
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        for number, frame in enumerate(container.decode(video=0)):
            if number >= 12:
                picture = frame.reformat(96, 96, "yuv420p")
                picture.pts, picture.time_base = number - 12, Fraction(1, 12)
                out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


@pytest.mark.slow
def test_what_a_benchmark_has_is_found_by_id_and_by_looks(worlds: Path, tmp_path: Path) -> None:
    place = workspace(tmp_path, "benchmarks", "contamination")
    videos, kept = tmp_path / "videos", tmp_path / "kept"
    videos.mkdir()
    kept.mkdir()
    files = sorted(worlds.iterdir())
    names = ("v_listed", "ytb_alsolisted", "free", "elsewhere", "prefixlisted", "copied")
    for source, name in zip(files, names, strict=False):
        (videos / f"{name}.mp4").write_bytes(source.read_bytes())
    trimmed(files[5], kept / "benchmarks own.mp4")
    dmforge("ingest", videos, "--namespace", "youtube", "-w", place)
    dmforge("ingest", kept, "--benchmark", "-w", place)
    lists = tmp_path / "ids.txt"
    lists.write_text("listed\nalsolisted\nlisted\n")
    assert dmforge("import", "ids", lists, "--namespace", "youtube", "--source", "some", "-w", place, "--json")["tasks"] == 2
    other = tmp_path / "others.txt"
    other.write_text("elsewhere\n")
    dmforge("import", "ids", other, "--namespace", "vimeo", "-w", place)
    questions = tmp_path / "videomme.json"
    text = "what does the man in the red coat do after he opens the door"
    questions.write_text(json.dumps([
        {"videoID": "abc", "question_id": "1-1", "question": text, "options": ["A. p", "B. q", "C. r", "D. s"], "answer": "C"}
    ]))  # fmt: skip
    dmforge("import", "videomme", questions, "-w", place)
    tasks = tmp_path / "tasks.jsonl"
    asked = (f"Say: {text}?", "What is it?")
    tasks.write_text("".join(
        json.dumps({"video": "free", "kind": "open", "question": one, "answer": "it"}) + "\n" for one in asked
    ))  # fmt: skip
    dmforge("import", "jsonl", tasks, "-w", place)
    dmforge("run", "-w", place)
    sql = "SELECT p.source_id, v.reason FROM verdicts v JOIN provenances p ON v.subject = p.video WHERE score = 0 ORDER BY 1"
    assert rows(place, sql) == [
        ("benchmarks own", "is a benchmark's"),
        ("copied", "looks like a benchmark's video"),
        ("v_listed", "its id is listed"),
        ("ytb_alsolisted", "its id is listed"),
    ]
    words = dict(rows(place, "SELECT t.question, v.score FROM verdicts v JOIN tasks t ON v.subject = t.id"))
    assert words[asked[1]] == 1
    assert 0 < words[asked[0]] < 0.5


def test_what_no_stage_would_read_is_not_taken_in(tmp_path: Path) -> None:
    place, lists = workspace(tmp_path), tmp_path / "ids.txt"
    lists.write_text("abc\n")
    told = dmforge("import", "ids", lists, "-w", place, code=2)
    assert "[stages.benchmarks]" in told
    assert not list((place / "inputs").iterdir())


@pytest.mark.slow
def test_no_cluster_of_copies_is_on_both_sides(worlds: Path, tmp_path: Path) -> None:
    place = workspace(tmp_path, '[stages.draw]\nheld_out = 0.5\nquotas = {"*/open" = 6}\n')
    videos, copies = tmp_path / "videos", {}
    videos.mkdir()
    for source in sorted(worlds.iterdir()):
        (videos / source.name).write_bytes(source.read_bytes())
        copies[source.stem] = trimmed(source, videos / f"copy of {source.name}").stem
    dmforge("ingest", videos, "-w", place)
    tasks = tmp_path / "tasks.jsonl"
    named = [*copies, *copies.values()]
    tasks.write_text("".join(
        json.dumps({"video": name, "kind": "open", "question": f"What in {name}?", "answer": "it"}) + "\n" for name in named
    ))  # fmt: skip
    dmforge("import", "jsonl", tasks, "-w", place)
    dmforge("run", "-w", place)
    sql = "SELECT p.source_id, d.split FROM drawn d JOIN provenances p ON d.video = p.video"
    split = dict(rows(place, sql))
    assert set(split.values()) == {"train", "held_out"}
    assert sum(value == "train" for value in split.values()) == 6
    for one, copy in copies.items():
        if one in split and copy in split:
            assert split[one] == split[copy]
        assert "held_out" not in {split.get(one), split.get(copy)} or split.get(one) == split.get(copy)
    assert rows(place, "SELECT count(*) FROM outcomes WHERE reason = 'over its quota'")[0][0] == 16 - len(split)


def test_clusters_are_called_by_their_least_member() -> None:
    ids = [bytes([number]) for number in range(6)]
    found = clustered(set(ids), [(ids[4], ids[2]), (ids[2], ids[5]), (ids[0], ids[1])])
    assert [found[id][0] for id in ids] == [0, 0, 2, 3, 2, 2]


def test_a_gate_keeps_tasks_from_later_stages(worlds: Path, tmp_path: Path) -> None:
    place = workspace(tmp_path, '[stages.draw]\nquotas = {"*/*" = 3}\n', "select_rl")
    dmforge("ingest", worlds, "-w", place)
    dmforge("import", "jsonl", worlds.parent / "tasks.jsonl", "-w", place)
    dmforge("run", "-w", place)
    assert rows(place, "SELECT count(*) FROM outcomes WHERE stage = 'select_rl'") == [(3,)]
    assert rows(place, "SELECT count(*) FROM tasks")[0][0] > 3  # who looks at tasks sees all of them


# DynFrame's own files


def conversations() -> list[dict[str, Any]]:
    said = [
        ("2", "Let me see.  <span>0.83 - 5.86</span><fps>2</fps><video>\n It is\n- so.</think><answer>0.83 - 5.86"),
        ("3", "A<span>1.00 - 3.00</span><fps>3</fps><video>\nB</think><answer>1.00 - 3.00"),
    ]
    return [
        {
            "index": number, "video": [f"data/videos/ActivityNet/v_clip{number}.mp4"],
            "conversations": [
                {"from": "human", "value": f"<video>\nGive you a textual query: It runs {number}.\nWhen?\nIn seconds."},
                {"from": "gpt", "value": f"<think>{text}</answer>"},
            ],
            "gemini_suggested_fps": int(fps), "original_fps": 2,
        }
        for number, (fps, text) in enumerate(said)
    ]  # fmt: skip


def prompts() -> list[dict[str, Any]]:
    return [
        {"prompt": f"<video>\nGive you a textual query: a person sits {number}\nWhen does it occur?\nIn seconds.",
         "video": f"data/videos/charades_sta/CLIP{number}.mp4", "answer": f"0.00 - {number + 2}.10", "fps": number + 2,
         "gt_span_start": 0.0, "gt_span_end": number + 2.1}
        for number in range(3)
    ]  # fmt: skip


def there_and_back(tmp_path: Path, cot: list[dict[str, Any]], rl: list[dict[str, Any]], lengths_s: dict[str, float]) -> Path:
    """Both files into a workspace with stand-ins for their videos, and out again."""
    place = workspace(tmp_path, "rules", "[stages.select_cot.min_score]\ngrammar = 1.0\n", "select_rl", "pack")
    videos = tmp_path / "videos"
    videos.mkdir()
    for number, (name, length_s) in enumerate(lengths_s.items()):
        times = tuple(Fraction(tick, 2) for tick in range(int(length_s * 2) + 4))
        write(Case(Path(name).stem, width=64, height=64, times_s=times, first=1000 * number), videos)
    (tmp_path / "cot.json").write_text(json.dumps(cot))
    (tmp_path / "rl.jsonl").write_text("".join(json.dumps(line) + "\n" for line in rl))
    for file, wanted in (("cot.json", cot), ("rl.jsonl", rl)):
        told = dmforge("import", "dynframe", tmp_path / file, "--videos", videos, "-w", place, "--json")
        assert (told["tasks"], told["rejected"]) == (len(wanted), {})
    dmforge("run", "-w", place)
    for corpus in ("cot", "rl"):
        dmforge("export", corpus, "--to", "dynframe", "--out", tmp_path / "out" / corpus, "-w", place)
    return tmp_path / "out"


def assert_equal(out: Path, cot: list[dict[str, Any]], rl: list[dict[str, Any]]) -> None:
    def by_name(rows: list[Any]) -> list[Any]:
        return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))

    assert by_name(json.loads((out / "cot/cot.json").read_text())) == by_name(cot)
    assert by_name([json.loads(line) for line in (out / "rl/rl.jsonl").read_text().splitlines()]) == by_name(rl)


def test_a_dynframe_export_is_found_in_the_workspace_that_it_came_from(tmp_path: Path) -> None:
    place, file = workspace(tmp_path), tmp_path / "exam.jsonl"
    dmforge("ingest", write(Case("one", times_s=TIMES), tmp_path), "-w", place)
    ((video,),) = rows(place, "SELECT id FROM videos")
    file.write_text(json.dumps({**prompts()[0], "video": f"videos/{base32(video)}.mp4"}))
    assert dmforge("import", "dynframe", file, "-w", place, "--json")["rejected"] == {}


def test_dynframes_files_there_and_back(tmp_path: Path) -> None:
    cot, rl = conversations(), prompts()
    lengths = {row["video"][0]: 6.0 for row in cot} | {row["video"]: 6.0 for row in rl}
    assert_equal(there_and_back(tmp_path, cot, rl, lengths), cot, rl)


@pytest.mark.parametrize("max_looks", [1, 2])
def test_a_question_that_needs_two_places_aims_at_both_from_its_file_to_an_export(max_looks: int, tmp_path: Path) -> None:
    place, videos = workspace(tmp_path, f"[looks]\nmax_looks = {max_looks}\n", "select_rl", "pack"), tmp_path / "videos"
    videos.mkdir()
    write(Case("a", width=64, height=64, times_s=tuple(Fraction(tick, 2) for tick in range(24))), videos)
    asked = {"video": "a.mp4", "kind": "open", "question": "Which is first?", "answer": "red", "fps": 4}
    lines = [
        {**asked, "windows": [[6.0, 8.0], [1.0, 3.0]], "needs": "all"},
        {**asked, "windows": [[6.0, 8.0]], "question": "?"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    dmforge("import", "jsonl", tmp_path / "a.jsonl", "--videos", videos, "-w", place)
    dmforge("run", "-w", place)
    assert dmforge("select", "rl", "--dry-run", "-w", place, "--json")["kept"] == 2
    dmforge("export", "rl", "--to", "trl", "--out", tmp_path / "out", "-w", place)
    found = [json.loads(line) for line in (tmp_path / "out/train.jsonl").read_text().splitlines()]
    found.sort(key=lambda row: len(row["windows"]))
    if max_looks == 1:
        assert [(row["target_window"], row["target_fps"]) for row in found] == [([6.0, 8.0], 4.0), ([1.0, 3.0], 4.0)]
        return
    assert [(row["target_window"], row["target_fps"]) for row in found] == [
        ([[6.0, 8.0]], [4.0]), ([[1.0, 3.0], [6.0, 8.0]], [4.0, 4.0]),
    ]  # fmt: skip
    assert dmforge("lint", tmp_path / "out/train.jsonl", "--json")["defects"] == []
    ((task_id,),) = rows(place, "SELECT task FROM samples WHERE len(further_targets) > 0")
    stages = read_recipe(place / "recipe.toml").stages
    connection = LakeView(Lake(WorkspaceFolder(place)), stages).connection.cursor()
    (card,) = cards(connection, [CardSubject(task_id, "task", True, "rl")], None, {})
    both = (Look(Window(100, 300), Fraction(4)), Look(Window(600, 800), Fraction(4)))
    assert card.looks == tuple(piece.look for piece in card.pieces) == both
    assert [mark.words for mark in card.marks if mark.role == "look"] == [
        "look 1.00 - 3.00 at 4 fps", "look 6.00 - 8.00 at 4 fps",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.real_data
def test_dynframes_released_files_there_and_back(tmp_path: Path, real_data: Path) -> None:
    cot = json.loads((real_data / "annotations/dynframe/actnet_fps.json").read_text())
    rl = [json.loads(line) for line in (real_data / "annotations/dynframe/charades_fps_grpo.jsonl").read_text().splitlines()]
    lengths = {row["video"][0]: 180.0 for row in cot} | {row["video"]: 40.0 for row in rl}
    assert_equal(there_and_back(tmp_path, cot, rl, lengths), cot, rl)
