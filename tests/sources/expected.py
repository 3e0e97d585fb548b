"""What the annotation files people published really hold, counted without the importers.

Each entry of `EXPECTED` is one import: the format, the files given to it, and how many questions must be kept, are the
same as an earlier one, carry a flag, or are rejected. As a format counts its questions, there are
`tasks + identical + sum(rejected.values())` of them; a flag counts once for each kept task that carries it.
`derived` is the Python program the figures came from: it uses no code of this project and, run in the folder with the
annotations, prints tasks, identical, flagged and rejected. Where a rule left room, a comment in it says what was decided.

The rules, in this order:
a. what the format itself refuses;
b. outer blanks go; in a grounding question inner runs of blanks become one: "stripped"; no question left: rejected;
c. windows become centiseconds; one that does not end after it begins rejects the question;
d. so does one that ends by 0, begins at the end of the video or later, or is over a second outside it at either side; by
   less: "clamped start", "clamped end";
e. windows out of order: "sorted"; equal windows are one;
f. the answer to a multiple choice must be one of the options, and only one of them;
g. a grounding question needs a window.
Two questions are the same if, after all that, video, kind, question, options, answer, windows and needs are. Of two that
are, the first is kept, and only its flags count.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Expected:
    """The figures of one import. `files` are relative to the folder with the annotations."""

    format: str
    files: tuple[str, ...]
    tasks: int
    identical: int
    flagged: dict[str, int]
    rejected: dict[str, int]
    derived: str


_RULES = r"""import csv, json, re
from collections import Counter
from itertools import zip_longest

kept, flagged, rejected, same = set(), Counter(), Counter(), 0


def reason(video, kind, question, windows, duration, options, answer, flags, needs):
    # rules b to g: says why the question is refused, or nothing once it is kept or met again
    global same
    found, raw = set(flags), [question, answer, *options]
    texts = [t.strip() for t in raw]
    if kind == "grounding":
        texts = [" ".join(t.split()) for t in raw]
    if texts != raw:
        found.add("stripped")
    if not texts[0]:
        return "no question"
    spans = [(round(float(a) * 100), round(float(b) * 100)) for a, b in windows]
    if any(a >= b for a, b in spans):
        return "window ends before it begins"
    if any(a < -100 or b <= 0 for a, b in spans):
        return "window outside the video"
    if any(a < 0 for a, _ in spans):
        found.add("clamped start")
    spans = [(max(a, 0), b) for a, b in spans]
    if duration is not None:
        end = round(float(duration) * 100)
        if any(a >= end or b > end + 100 for a, b in spans):
            return "window outside the video"
        if any(b > end for _, b in spans):
            found.add("clamped end")
        spans = [(a, min(b, end)) for a, b in spans]
    if spans != sorted(spans):  # seen before equal windows are made one: A, B, A is not in order
        found.add("sorted")
    spans = sorted(set(spans))
    if kind.endswith("mcq"):
        if texts[1] not in texts[2:]:
            return "answer not among the options"
        if texts[2:].count(texts[1]) > 1:
            return "two options are the right one"
    if kind == "grounding" and not spans:
        return "no window"
    key = (video, kind, tuple(texts), tuple(spans), needs)
    if key in kept:  # the flags that count are those of the first one
        same += 1
    else:
        kept.add(key)
        flagged.update(found)


def put(video, kind, question, windows=(), duration=None, options=(), answer="", flags=(), needs="", refused=""):
    # one question; `refused` is a refusal by the format itself (rule a)
    why = refused or reason(video, kind, question, windows, duration, options, answer, flags, needs)
    if why:
        rejected[why] += 1


def load(path):
    with open(path, encoding="utf-8", newline="") as file:
        if path.endswith(".csv"):
            return list(csv.DictReader(file))
        if path.endswith((".jsonl", ".txt")):
            lines = [line for line in file.read().split("\n") if line.strip()]
            return [json.loads(line) for line in lines] if path.endswith("l") else lines
        return json.load(file)
"""

_SHOW = """
print(len(kept), same, dict(sorted(flagged.items())), dict(sorted(rejected.items())))
"""


def _program(questions: str) -> str:
    """The whole program: the rules, what reads the questions of one format, and what shows the figures."""
    return _RULES + questions + _SHOW


EXPECTED: tuple[Expected, ...] = (
    Expected(
        format="charades_sta",
        files=("charades_sta/charades_sta_train.txt",),
        tasks=12404,
        identical=0,
        flagged={"stripped": 33},
        rejected={"window ends before it begins": 4},
        derived=_program(
            """
for line in load("charades_sta/charades_sta_train.txt"):
    head, sentence = line.split("##", 1)
    video, start, end = head.split()
    put(video, "grounding", sentence, [(start, end)])
"""
        ),
    ),
    Expected(
        format="charades_sta",
        files=("charades_sta/charades_sta_train.txt", "charades_sta/charades_durations_derived.csv"),
        tasks=11670,
        identical=0,
        flagged={"clamped end": 1068, "stripped": 33},
        rejected={"window ends before it begins": 4, "window outside the video": 734},
        derived=_program(
            """
length = {row["id"]: row["length"] for row in load("charades_sta/charades_durations_derived.csv")}
for line in load("charades_sta/charades_sta_train.txt"):
    head, sentence = line.split("##", 1)
    video, start, end = head.split()
    put(video, "grounding", sentence, [(start, end)], length.get(video))
"""
        ),
    ),
    Expected(
        format="charades_sta",
        files=("charades_sta/charades_sta_train.txt", "charades_sta/Charades_v1_train.csv"),
        tasks=12380,
        identical=0,
        flagged={"clamped end": 20, "stripped": 33},
        rejected={"window ends before it begins": 4, "window outside the video": 24},
        derived=_program(
            """
# 5,203 of the 5,338 videos are not in the companion: their windows have no duration to be held against
length = {row["id"]: row["length"] for row in load("charades_sta/Charades_v1_train.csv")}
for line in load("charades_sta/charades_sta_train.txt"):
    head, sentence = line.split("##", 1)
    video, start, end = head.split()
    put(video, "grounding", sentence, [(start, end)], length.get(video))
"""
        ),
    ),
    Expected(
        format="activitynet_captions",
        files=("activitynet_captions/train.json",),
        tasks=632,
        identical=0,
        flagged={"stripped": 425},
        rejected={"window ends before it begins": 4},
        derived=_program(
            """
for video, row in load("activitynet_captions/train.json").items():
    for span, sentence in zip_longest(row["timestamps"], row["sentences"]):
        refused = "no window" if span is None else "no question" if sentence is None else ""
        put(video, "grounding", sentence, [span], row["duration"], refused=refused)
"""
        ),
    ),
    Expected(
        format="qvhighlights",
        files=("qvhighlights/highlight_train_release.jsonl",),
        tasks=160,
        identical=0,
        flagged={"stripped": 1},
        rejected={},
        derived=_program(
            """
for row in load("qvhighlights/highlight_train_release.jsonl"):
    put(row["vid"], "grounding", row["query"], row["relevant_windows"], row["duration"])
"""
        ),
    ),
    Expected(
        format="didemo",
        files=("didemo/val_data.json",),
        tasks=210,
        identical=0,
        flagged={"sorted": 125},
        rejected={},
        derived=_program(
            """
# "sorted" is asked of the windows as the annotators gave them; asked after equal ones are one it is 80, not 125
for row in load("didemo/val_data.json"):
    put(row["video"], "grounding", row["description"], [(5 * a, 5 * (b + 1)) for a, b in row["times"]])
"""
        ),
    ),
    Expected(
        format="tacos",
        files=("tacos/train.json",),
        tasks=1004,
        identical=129,
        flagged={"clamped end": 6, "stripped": 2},
        rejected={},
        derived=_program(
            """
for video, row in load("tacos/train.json").items():
    for (a, b), sentence in zip(row["timestamps"], row["sentences"], strict=True):
        fps = row["fps"]
        put(video, "grounding", sentence, [(a / fps, b / fps)], row["num_frames"] / fps)
"""
        ),
    ),
    Expected(
        format="hirest",
        files=("hirest/all_data_train.json",),
        tasks=1074,
        identical=0,
        flagged={"stripped": 130},
        rejected={"no window": 87, "window ends before it begins": 4},
        derived=_program(
            """
for prompt, videos in load("hirest/all_data_train.json").items():
    for video, row in videos.items():
        refused = "no window" if not row["clip"] or row["bounds"] == [0, 0] else ""
        if not row["relevant"]:
            refused = "not relevant"
        put(video, "grounding", prompt, [row["bounds"]], row["v_duration"], refused=refused)
        for step in row["steps"]:
            put(video, "grounding", step["heading"], [step["absolute_bounds"]], row["v_duration"])
"""
        ),
    ),
    Expected(
        format="coin",
        files=("coin/coin_readme_example.json",),
        tasks=2,
        identical=0,
        flagged={},
        rejected={},
        derived=_program(
            """
for video, row in load("coin/coin_readme_example.json")["database"].items():
    for item in row["annotation"]:
        put(video, "grounding", item["label"], [item["segment"]], row["duration"])
"""
        ),
    ),
    Expected(
        format="vitt",
        files=("vitt/vitt_readme_example.json",),
        tasks=4,
        identical=0,
        flagged={},
        rejected={"no window": 1},
        derived=_program(
            """
for row in load("vitt/vitt_readme_example.json"):
    for item, after in zip_longest(row["annotations"], row["annotations"][1:]):
        if after is None:
            put(row["id"], "grounding", item["tag"], refused="no window")
        else:
            put(row["id"], "grounding", item["tag"], [(item["timestamp"] / 1000, after["timestamp"] / 1000)])
"""
        ),
    ),
    Expected(
        format="timeit",
        files=("timeit/instruct_action_9.0k_coin.json",),
        tasks=566,
        identical=0,
        flagged={"stripped": 2},
        rejected={},
        derived=_program(
            r"""
# every answer of this file is of the several-spans kind
for row in load("timeit/instruct_action_9.0k_coin.json"):
    for qa in row["QA"]:
        one = re.search(r"happens in ([\d.]+) - ([\d.]+) seconds\.", qa["a"])
        spans = re.findall(r"([\d.]+) - ([\d.]+) seconds, (.*?)\.(?=\s+[\d.]+ - [\d.]+ seconds,|\s*$)", qa["a"], re.S)
        if one:
            quoted = re.search(r"'(.*)'", qa["q"], re.S)  # greedy: from the first quote to the last
            put(row["video"], "grounding", quoted[1] if quoted else qa["q"], [one.groups()])
        for start, end, text in spans:
            put(row["video"], "grounding", text, [(start, end)])
        if not one and not spans:
            put(row["video"], "grounding", qa["q"], refused="no window")
"""
        ),
    ),
    Expected(
        format="timeit",
        files=("timeit/instruct_tvg_12.4k_charades.json",),
        tasks=150,
        identical=0,
        flagged={"stripped": 1},
        rejected={},
        derived=_program(
            r"""
# every answer of this file is of the one-window kind
for row in load("timeit/instruct_tvg_12.4k_charades.json"):
    for qa in row["QA"]:
        one = re.search(r"happens in ([\d.]+) - ([\d.]+) seconds\.", qa["a"])
        spans = re.findall(r"([\d.]+) - ([\d.]+) seconds, (.*?)\.(?=\s+[\d.]+ - [\d.]+ seconds,|\s*$)", qa["a"], re.S)
        if one:
            quoted = re.search(r"'(.*)'", qa["q"], re.S)  # greedy: from the first quote to the last
            put(row["video"], "grounding", quoted[1] if quoted else qa["q"], [one.groups()])
        for start, end, text in spans:
            put(row["video"], "grounding", text, [(start, end)])
        if not one and not spans:
            put(row["video"], "grounding", qa["q"], refused="no window")
"""
        ),
    ),
    Expected(
        format="nextqa",
        files=("nextqa/val.csv",),
        tasks=200,
        identical=0,
        flagged={},
        rejected={},
        derived=_program(
            """
for row in load("nextqa/val.csv"):
    options = [row[f"a{i}"] for i in range(5)]
    put(row["video"], "mcq", row["question"], options=options, answer=options[int(row["answer"])])
"""
        ),
    ),
    Expected(
        format="nextgqa",
        files=("nextgqa/val.csv", "nextgqa/gsub_val.json"),
        tasks=3358,
        identical=0,
        flagged={"clamped end": 3, "stripped": 3},
        rejected={},
        derived=_program(
            """
# a question without location is refused as "no window" before its options are looked at
ground = load("nextgqa/gsub_val.json")
for row in load("nextgqa/val.csv"):
    place = ground.get(row["video_id"], {"location": {}, "duration": None})
    windows = place["location"].get(row["qid"], [])
    put(row["video_id"], "grounded_mcq", row["question"], windows, place["duration"],
        [row[f"a{i}"] for i in range(5)], row["answer"], refused="" if windows else "no window")
"""
        ),
    ),
    Expected(
        format="star",
        files=("star/sample_question.json",),
        tasks=1,
        identical=0,
        flagged={},
        rejected={},
        derived=_program(
            """
rows = load("star/sample_question.json")
for row in rows if isinstance(rows, list) else [rows]:
    put(row["video_id"], "grounded_mcq", row["question"], [(row["start"], row["end"])],
        options=[item["choice"] for item in row["choices"]], answer=row["answer"])
"""
        ),
    ),
    Expected(
        format="rextime",
        files=("rextime/rextime_val.jsonl",),
        tasks=919,
        identical=0,
        flagged={"clamped end": 4, "options missing": 919},
        rejected={"window ends before it begins": 2},
        derived=_program(
            """
# the letter `ans` stands for an option that is not in the file: it is no part of the question
for row in load("rextime/rextime_val.jsonl"):
    put(row["vid"], "grounding", row["query"], row["relevant_windows"], row["duration"], flags=["options missing"])
"""
        ),
    ),
    Expected(
        format="video_r1",
        files=("video_r1/video_r1_260k_example_row.json",),
        tasks=1,
        identical=0,
        flagged={},
        rejected={},
        derived=_program(
            r"""
# a question of another problem_type would need a rule of its own; there is none in this file
for row in load("video_r1/video_r1_260k_example_row.json"):
    letters = [option.split(". ", 1)[0] for option in row["options"]]
    options = [option.split(". ", 1)[1] for option in row["options"]]
    letter = re.search(r"<answer>\s*(.*?)\s*</answer>", row["solution"])[1]
    answer = options[letters.index(letter)] if letter in letters else letter
    assert row["problem_type"] == "multiple choice"
    put(row["path"], "mcq", row["problem"], options=options, answer=answer,
        refused="" if row["data_type"] == "video" else "not a video")
"""
        ),
    ),
    Expected(
        format="video_r1",
        files=("video_r1/video_r1_cot_example_row.json",),
        tasks=1,
        identical=0,
        flagged={},
        rejected={},
        derived=_program(
            r"""
# a question of another problem_type would need a rule of its own; there is none in this file
for row in load("video_r1/video_r1_cot_example_row.json"):
    letters = [option.split(". ", 1)[0] for option in row["options"]]
    options = [option.split(". ", 1)[1] for option in row["options"]]
    letter = re.search(r"<answer>\s*(.*?)\s*</answer>", row["solution"])[1]
    answer = options[letters.index(letter)] if letter in letters else letter
    assert row["problem_type"] == "multiple choice"
    put(row["path"], "mcq", row["problem"], options=options, answer=answer,
        refused="" if row["data_type"] == "video" else "not a video")
"""
        ),
    ),
    Expected(
        format="sharegpt_video",
        files=("sharegpt_video/internvideo2_5_ft_data_example.jsonl",),
        tasks=80,
        identical=0,
        flagged={"image tag": 80, "stripped": 80},
        rejected={},
        derived=_program(
            """
# the newline that stood behind the tag is stripped too: flag "stripped" (here every question also ends in a blank)
for row in load("sharegpt_video/internvideo2_5_ft_data_example.jsonl"):
    talk = [turn["value"] for turn in row["conversations"]]
    assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"] * (len(talk) // 2)
    for question, answer in zip(talk[::2], talk[1::2]):
        put(row["video"], "open", re.sub("<(image|video)>", "", question), answer=answer,
            flags=["image tag"] if "<image>" in question else [])
"""
        ),
    ),
    Expected(
        format="llamafactory",
        files=("llamafactory/mllm_demo.json",),
        tasks=0,
        identical=0,
        flagged={},
        rejected={"not a video": 12},
        derived=_program(
            """
# the video of a row is its list `videos`; a tag with no blank beside it leaves nothing to strip
for row in load("llamafactory/mllm_demo.json"):
    talk = [turn["content"] for turn in row["messages"]]
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"] * (len(talk) // 2)
    sound = bool(row.get("audios"))
    for question, answer in zip(talk[::2], talk[1::2]):
        put(tuple(row.get("videos", ())), "open", re.sub("<(image|video|audio)>", "", question), answer=answer,
            flags=["has audio"] if sound else [], needs="audio" if sound else "",
            refused="" if row.get("videos") else "not a video")
"""
        ),
    ),
    Expected(
        format="llamafactory",
        files=("llamafactory/mllm_video_demo.json",),
        tasks=3,
        identical=0,
        flagged={},
        rejected={},
        derived=_program(
            """
# the video of a row is its list `videos`; a tag with no blank beside it leaves nothing to strip
for row in load("llamafactory/mllm_video_demo.json"):
    talk = [turn["content"] for turn in row["messages"]]
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"] * (len(talk) // 2)
    sound = bool(row.get("audios"))
    for question, answer in zip(talk[::2], talk[1::2]):
        put(tuple(row.get("videos", ())), "open", re.sub("<(image|video|audio)>", "", question), answer=answer,
            flags=["has audio"] if sound else [], needs="audio" if sound else "",
            refused="" if row.get("videos") else "not a video")
"""
        ),
    ),
    Expected(
        format="llamafactory",
        files=("llamafactory/mllm_video_audio_demo.json",),
        tasks=3,
        identical=0,
        flagged={"has audio": 3},
        rejected={},
        derived=_program(
            """
# the video of a row is its list `videos`; a tag with no blank beside it leaves nothing to strip
for row in load("llamafactory/mllm_video_audio_demo.json"):
    talk = [turn["content"] for turn in row["messages"]]
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"] * (len(talk) // 2)
    sound = bool(row.get("audios"))
    for question, answer in zip(talk[::2], talk[1::2]):
        put(tuple(row.get("videos", ())), "open", re.sub("<(image|video|audio)>", "", question), answer=answer,
            flags=["has audio"] if sound else [], needs="audio" if sound else "",
            refused="" if row.get("videos") else "not a video")
"""
        ),
    ),
    Expected(
        format="time_r1",
        files=("time_r1_xiaomi/train_2k5.json",),
        tasks=233,
        identical=0,
        flagged={},
        rejected={"window outside the video": 7},
        derived=_program(
            """
for row in load("time_r1_xiaomi/train_2k5.json"):
    put(row["video"], "grounding", row["sentence"], [row["timestamp"]], row["duration"])
"""
        ),
    ),
    Expected(
        format="dynframe",
        files=("dynframe/actnet_fps.json",),
        tasks=3,
        identical=0,
        flagged={},
        rejected={},
        derived=_program(
            r"""
for row in load("dynframe/actnet_fps.json"):
    human, gpt = (turn["value"] for turn in row["conversations"])
    text = re.search(r"textual query: (.*?) ?\n", human)[1]  # a final blank is no part of the text: no flag for it
    span = re.search(r"<answer>\s*([\d.]+) - ([\d.]+)\s*</answer>", gpt)
    put(tuple(row["video"]), "grounding", text, [span.groups()])
"""
        ),
    ),
    Expected(
        format="dynframe",
        files=("dynframe/charades_fps_grpo.jsonl",),
        tasks=3,
        identical=0,
        flagged={},
        rejected={},
        derived=_program(
            r"""
for row in load("dynframe/charades_fps_grpo.jsonl"):
    text = re.search(r"textual query: (.*?) ?\n", row["prompt"])[1]  # a final blank is no part of the text: no flag for it
    put(row["video"], "grounding", text, [(row["gt_span_start"], row["gt_span_end"])])
"""
        ),
    ),
)
