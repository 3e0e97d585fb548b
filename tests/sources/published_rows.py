"""Rows in the shapes that sets of the field are published in, in words of our own."""

from __future__ import annotations

import json
from typing import Any

from dmforge.curation.sources.published_turns import NO_DENSITY, UNREADABLE
from tests.sources.fixture import Fixture, w

LAMP = "What colour is the lamp?\nOptions:\nA. red\nB. blue"
THOUGHT = "<think>The lamp may be on there.</think>\n"
PICTURE = {"type": "image_url", "image_url": {"url": "f/1.jpg"}}
DONE = "<think>It is blue.</think>\n<answer>B</answer>"


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def video(path: str) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": path}}


def called(arguments: Any, name: str = "crop_video") -> str:
    return f"{THOUGHT}<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def clipped(arguments: Any) -> str:
    return called(arguments, "get_video_clip_frame")


def longvt(start: float, end: float) -> dict[str, Any]:
    """A row of LongVT: what the tool returns are pictures."""
    how = "Think first, call **crop_video** if needed, then answer. Format strictly. The Video path for this video is: d/1.mp4"
    asked = f"{LAMP} {how}"
    call = called({"video_path": "d/1.mp4", "start_time": start, "end_time": end})
    return {
        "id": "rft_1",
        "messages": [
            said("system", [text("Look closely.")]), said("user", [video("file:///far/d/1.mp4"), text(asked)]),
            said("assistant", [text(call)]), said("tool", [PICTURE, text("Done.")]), said("assistant", [text(DONE)]),
        ],
    }  # fmt: skip


def videotemp(arguments: Any, **more: Any) -> dict[str, Any]:
    shown = said("user", "<video>\nTool execution successful.")
    return {
        "messages": [
            said("system", "Look."), said("user", f"<video>{LAMP}"), said("assistant", clipped(arguments)), shown,
            said("assistant", DONE),
        ],
        "videos": ["d/1.mp4", "cropped_video/1.mp4"], "timestamp": [[30, 40.5]], **more,
    }  # fmt: skip


ZOOMED = {
    "messages": [
        said("user", f"<video>{LAMP}"),
        said("assistant", THOUGHT + '<video_zoom> {"segment": [4.0, 6.5], "fps": 2} </video_zoom>'),
        said("user", "The frames of the clip are shown below."), said("assistant", DONE),
    ],
    "videos": ["d/1.mp4"],
}  # fmt: skip
VIDEOTEMP_RL = [
    {"messages": [said("system", "Look."), said("user", f"<video>{LAMP}")], "videos": ["d/1.mp4"], "timestamp": [[30, 40]],
     "solution": "B", "data_type": "qa"},
    {"messages": [said("system", "Look."), said("user", "<video>When is it on?")], "videos": ["d/1.mp4"],
     "timestamp": [[30, 40], [50, 60]], "solution": "", "data_type": "grounding"},
]  # fmt: skip
VERL_RL: dict[str, Any] = {
    "data_source": "longvt", "prompt": [said("system", "Look."), said("user", "<video>Why? Think first.")],
    "videos": [{"video": "file:///far/d/1.mp4", "fps": 1}], "ability": "qa",
    "reward_model": {"style": "model", "ground_truth": "It rains."},
    "extra_info": {"index": 3, "question": "Why?", "answer": "It rains.", "video_segment": [3.0, 9.5]},
}  # fmt: skip
PARAVT_RL = {**VERL_RL, "extra_info": json.dumps({"answer": "It rains.", "question_type": "oe"})}
EVA_RL = {
    "videos": ["1.mp4"], "prompt": [said("user", "Which year?\n(A) 1999\n(B) 2003")],
    "reward_model": {"style": "rule", "ground_truth": "B", "reward_fn": "video_crop"}, "uid": 7,
}  # fmt: skip
SEEKER_RL: list[dict[str, Any]] = [
    {"doc_id": 1, "data_source": "clue_single_w_tool", "video": "d/1", "question": "Which?", "options": ["A. red", "B. blue"],
     "answer": {"answer": "B", "clue": [{"timestamp": [3, 9.5]}], "rounds": 1}},
    {"doc_id": 2, "data_source": "temporal_grounding", "video": "d/1", "problem": "it runs",
     "solution": {"clue": [{"timestamp": [1, 2]}]}},
    {"doc_id": 3, "data_source": "temporal_grounding", "video": "d/1", "problem": "it stops", "solution": {"clue": []}},
]  # fmt: skip
STGR: list[dict[str, Any]] = [
    {"task": "temporal QA", "question": "When does it fall?", "answer": "From <t>3.5</t>s to <t>9</t>s",
     "video_path": "a/1.mp4", "reasoning_process": "It falls at <t>3.5</t>s.", "source": "tvg",
     "key_frames": [{"time": 3.5, "path": "k/1.jpg", "idx": 1}],
     "key_items": {"1": {"cup": [[1, 2, 30, 40]]}}, "image_size": [640, 360]},
    {"task": "temporal QA (MCQ)", "question": "Which falls?\nA. cup\nB. pan", "source": "tvg", "video_path": "a/1.mp4",
     "answer": "From <t>3.5</t>s to <t>9</t>s.\nCorrect Option: B"},
    {"task": "General video QA MCQ", "question": "Which?\nA. cup\nB. pan", "answer": "A", "video_path": "a/1.mp4"},
    {"task": "temporal-spatial free-form QA", "question": "Who?", "answer": "From 10 to 12 people.", "video_path": "a/1.mp4"},
    {"task": "visual QA", "question": "What?", "answer": "<obj>cup</obj><box>[1,2,3,4]</box>", "image_path": "g/1.jpg"},
]  # fmt: skip
VITAL_ASKS = (
    "\nBased on the content of the video, answer the following question: Why?\nIn the <answer> </answer> tag, first specify "
    "the time period.\nFormat your response as follows:\n<think>...</think>\n<answer>From [start_time] to [end_time]</answer>\n"
)
MTVR: list[dict[str, Any]] = [
    {"id": 1, "video": "act/v_1.mp4", "text": VITAL_ASKS, "solution": "From 3.00 to 9.50, to rest a while.", "duration": 20.0,
     "data_source": "rextime"},
    {"id": 2, "video": "act/v_1.mp4", "text": "Find it.", "duration": 20.0,
     "solution": "<think>It is late.</think>\n<answer>From 3.00 to 9.50</answer>"},
    {"id": 3, "video": "act/v_1.mp4", "text": "Which?\nA. red\nB. blue", "duration": 20.0, "tool_params": "(3.0, 9.5)",
     "solution": [clipped({"start_time": 3.0, "end_time": 9.5}), DONE]},
    {"id": 4, "image": "i/1.jpg", "text": "What?", "solution": "<think>.</think><answer>it</answer>", "duration": 0},
]  # fmt: skip
TIMELENS = [
    {"source": "hirest", "video_path": "hirest/1.mp4", "duration": 60.0, "events": [
        {"query": "it runs", "span": [[1.5, 4.0]]}, {"query": "it  stops.", "span": [[9, 12], [5, 6]]},
        {"query": "no", "span": []}]},
]  # fmt: skip
ONETHINKER: list[dict[str, Any]] = [
    {"problem_id": 1, "problem": "<video>Which?", "data_type": "video", "problem_type": "multiple choice",
     "options": ["A. red", "B. blue"], "data_source": "NeXT-QA", "answer": "<answer>B</answer>", "videos": ["./q/1.mp4"]},
    {"problem_id": 2, "problem": "<video>When does it fall?", "data_type": "video", "problem_type": "temporal grounding",
     "options": [], "data_source": "HiREST", "answer": '<answer>{"time": [3.5, 9]}</answer>', "videos": ["q/1.mp4"]},
    {"problem_id": 3, "problem": "<video>Track it.", "data_type": "video", "problem_type": "tracking", "options": [],
     "data_source": "GOT", "answer": '<answer>{"boxes": {}}</answer>', "videos": ["q/1.mp4"]},
    {"problem_id": 4, "problem": "<image>What?", "data_type": "image", "problem_type": "math", "options": [],
     "data_source": "ARES", "answer": "<answer>4</answer>", "images": ["q/1.jpg"]},
]  # fmt: skip
OMNI: list[dict[str, Any]] = [
    {"video": "videos/1.mp4", "question_type": "MCQ_Long", "question": "Why?", "options": ["A. rain", "B. snow"], "answer": "A",
     "fps": 25.0, "duration_seconds": 30.0, "has_audio": True},
    {"video": "videos/1.mp4", "question_type": "TR", "question": "When?", "options": [], "answer": "[[1.4, 20.06]]"},
    {"video": "videos/1.mp4", "question_type": "TR", "question": "When again?", "options": [], "answer": "never"},
    {"video": "videos/1.mp4", "question_type": "NUM", "question": "How many?", "options": None, "answer": "4"},
]  # fmt: skip


def omni_step(step: int, action: dict[str, Any], earlier: list[str], *, done: bool) -> dict[str, Any]:
    history = [said("system", [text("Rules.")]), said("user", [text("Question: Why?")])]
    for output in earlier:
        history += [said("assistant", [text(output)]), said("user", [text("Frames 0.00s-30.00s (num=10).")])]
    return {
        "question_id": "q", "traj_id": "t", "step": step, "raw_input": history,
        "output": json.dumps({"think": "Hm.", "action": action}),
        "step_reward": 0.0, "done": str(done), "extra_info": {**OMNI[0], "mode": "sft"}, "episode_reward": 1.0,
    }  # fmt: skip


FRAMES = {"type": "get_frames", "start": 0.0, "end": 30.0, "num": 10}
OMNI_FIRST = omni_step(1, FRAMES, [], done=False)
OMNI_STEPS = [OMNI_FIRST, omni_step(2, {"type": "answer", "content": "A"}, [OMNI_FIRST["output"]], done=True)]
CGBENCH: dict[str, Any] = {
    "video_uid": "abc", "question": "Which?", "choices": ["p", "q", "r"], "right_answer": "C", "answer": "r",
    "clue_intervals": [[50, 60], [2, 9]], "duration": 100, "width": 4,
}  # fmt: skip
CAPTIONS = ["<think>Where?</think><tool>get_caption((1, 2))</tool>", "<think>There.</think><answer>C</answer>"]
ASKED_LAMP = ("d/1.mp4", "mcq", "What colour is the lamp?", "B", ())
GROUNDED_LAMP = ("d/1.mp4", "grounded_mcq", "What colour is the lamp?", "B", w((30, 40.5)))
DESCRIBED = {"video": "c/1.mp4", "description": "it runs", "timestamps": [1.5, 4.0], "duration": 30.0}
PUBLISHED = (
    Fixture(
        "messages",
        [{"id": "1", "messages": [said("user", [video("d/1.mp4"), text("Why?")]), said("assistant", "It rains.")]},
         {"id": "2", "messages": [said("user", [PICTURE, text("Who?")]), said("assistant", "He.")]},
         {"id": "3", "messages": json.dumps([said("user", [video("d/1.mp4"), text("Where?")]), said("assistant", "Here.")])},
         {"id": "4", "messages": [said("user", [video("d/1.mp4"), text("When?")])]},
         {"messages": [said("user", [video("d/1.mp4"), text("When?")])], "gold": "1.00 - 2.00", "kind": "grounding"}],
        ("d/1.mp4", "open", "Why?", "It rains.", ()), 3, {"not a video": 1, "nobody answers": 1},
    ),
    Fixture(
        "longvt", [longvt(3.0, 9.5), longvt(3.0, 200.0), longvt(9.0, 3.0)],
        ("/far/d/1.mp4", "mcq", "What colour is the lamp?", "B", ()), 3, {}, {NO_DENSITY: 1, UNREADABLE: 1},
        looks_like="messages",
    ),
    Fixture(
        "swift",
        [{"messages": [said("user", f"<video>{LAMP}")], "videos": ["d/1.mp4"], "solution": "B", "level": 2},
         {"messages": [said("user", "<video><video>Which?")], "videos": ["d/1.mp4", "d/2.mp4"], "solution": "B"}],
        ASKED_LAMP, 1, {"several videos": 1},
    ),
    Fixture(
        "videotemp_o3",
        [videotemp([{"start_time": 30, "end_time": 40.5}, {"start_time": 50, "end_time": 52}]),
         videotemp([{"start_time": 30, "end_time": 90}]), videotemp([{"start_time": "30", "end_time": 40}]), *VIDEOTEMP_RL],
        GROUNDED_LAMP, 5, {}, {NO_DENSITY: 1, UNREADABLE: 1},
    ),
    Fixture(
        "verl", [VERL_RL, PARAVT_RL, EVA_RL, {**EVA_RL, "videos": []}],
        ("/far/d/1.mp4", "open", "Why?", "It rains.", w((3, 9.5))), 3, {"not a video": 1},
    ),
    Fixture(
        "seeker", SEEKER_RL, ("d/1", "grounded_mcq", "Which?", "B", w((3, 9.5))), 2, {"no window": 1},
    ),
    Fixture(
        "stgr", STGR, ("a/1.mp4", "grounding", "When does it fall?", "3.50 - 9.00", w((3.5, 9))), 4, {"not a video": 1},
    ),
    Fixture(
        "mtvr", MTVR, ("act/v_1.mp4", "open", "Why?", "to rest a while.", w((3, 9.5))), 3, {"not a video": 1},
    ),
    Fixture(
        "timelens", "".join(json.dumps(row) + "\n" for row in [*TIMELENS, {"video_path": "2.mp4", "events": []}]),
        ("hirest/1.mp4", "grounding", "it runs", "1.50 - 4.00", w((1.5, 4))), 2, {"no window": 1, "no events": 1},
        {"stripped": 1, "sorted": 1}, suffix=".jsonl",
    ),
    Fixture(
        "timelens_rollouts",
        [{"video_path": "f/1", "duration": 60.0, "sample_fps": 2, "query": "it runs", "span": [[1, 4], [6, 7]],
          "rollouts": ["[[1, 3]]"]}],
        ("f/1", "grounding", "it runs", "1.00 - 4.00, 6.00 - 7.00", w((1, 4), (6, 7))), 1,
    ),
    Fixture(
        "longvideo_reason",
        [{"problem": LAMP, "data_type": "video", "videos": "longvila_videos/1.mp4", "answer": "<answer>B</answer>"}],
        ("longvila_videos/1.mp4", "mcq", "What colour is the lamp?", "B", ()), 1,
    ),
    Fixture(
        "onethinker", ONETHINKER, ("./q/1.mp4", "mcq", "Which?", "B", ()), 2, {"asks for boxes or masks": 1, "not a video": 1},
    ),
    Fixture(
        "easyr1",
        [{"problem": f"<video>{LAMP}", "answer": "B", "videos": ["d/1.mp4"]}, {"problem": "?", "answer": "B", "videos": []}],
        ASKED_LAMP, 1, {"not a video": 1},
    ),
    Fixture(
        "videozoomer",
        [{"doc_id": 1, "data_source": "mc", "problem": f"<image>{LAMP}", "solution": "B", "videos": ["d/1.mp4"]}],
        ASKED_LAMP, 1,
    ),
    Fixture(
        "videoauto_r1",
        [DESCRIBED,
         {"video": "n/1.mp4", "question": "Which?", "options": ["A. red", "B. blue"], "answer": "B", "timestamps": [[1, 2]]},
         {**DESCRIBED, "timestamps": "[1, 2]"}],
        ("c/1.mp4", "grounding", "it runs", "1.50 - 4.00", w((1.5, 4))), 2, {"no window": 1},
    ),
    Fixture(
        "cgbench_train", [CGBENCH, {**CGBENCH, "question": "Who?", "pred": "C", "output": CAPTIONS}],
        ("abc", "grounded_mcq", "Which?", "r", w((2, 9), (50, 60))), 2, {}, {"sorted": 2, UNREADABLE: 1},
    ),
    Fixture(
        "omniagent", "".join(json.dumps(row) + "\n" for row in OMNI), ("videos/1.mp4", "mcq", "Why?", "A", ()), 3,
        {"no window": 1}, suffix=".jsonl",
    ),
    Fixture(
        "omniagent_steps", "".join(json.dumps(row) + "\n" for row in OMNI_STEPS), ("videos/1.mp4", "mcq", "Why?", "A", ()), 1,
        {"a step before the last one of its trajectory": 1}, {UNREADABLE: 1}, suffix=".jsonl",
    ),
)  # fmt: skip
