"""Questions about videos as an environment for verifiers (PrimeIntellect), whose agents may call `crop_video`.

    pip install dmforge verifiers uv
    export PYTHONPATH=examples
    python -c "import asyncio, looks_with_verifiers as looks
    print([trace.reward for trace in asyncio.run(looks.roll('tasks.jsonl', 'NAME', 'http://127.0.0.1:8000/v1'))])"

A line of `tasks.jsonl` has `video` (a file), `question` and `answer`. verifiers 0.4 hands a tool's reply on as text and images,
so a look is images, each behind its stamp. It starts this module itself, as the server of the tool.
"""

import json
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path

import verifiers.v1 as vf
from mcp.types import ImageContent, TextContent

from dmforge.curation.video.jpeg import to_jpeg
from dmforge.generators.file_footage import FileFootage
from dmforge.generators.look_tool.clip_forms import stamps
from dmforge.generators.look_tool.crop_video import crop_video


class LookData(vf.TaskData):
    """A question about a video."""

    video: str
    answer: str


class Looks(vf.Toolset[vf.ToolsetConfig, vf.State]):
    """The tool of one rollout."""

    TOOL_PREFIX = None

    async def setup_task(self, task: vf.Task) -> None:
        self._footage = FileFootage(Path(task.video))

    @vf.tool
    def crop_video(self, start_time: float, end_time: float, fps: float) -> list[TextContent | ImageContent]:
        """Show a part of the video, from start_time to end_time in seconds, with so many frames per second."""
        clip = crop_video(self._footage, {"start_time": start_time, "end_time": end_time, "fps": fps})
        parts: list[TextContent | ImageContent] = []
        for stamp, jpeg in zip(stamps(clip), to_jpeg(clip.frames), strict=True):
            parts.append(TextContent(type="text", text=stamp))
            parts.append(ImageContent(type="image", data=b64encode(jpeg).decode(), mime_type="image/jpeg"))
        return parts


class LookTask(vf.Task[LookData, vf.State]):
    @classmethod
    def toolsets(cls, config: vf.TaskConfig) -> list[vf.Toolset]:
        return [Looks(vf.ToolsetConfig())]

    @vf.reward
    async def is_right(self, trace: vf.Trace) -> float:
        """1 where the last words have the answer in them."""
        return float(self.data.answer in (trace.last_reply or ""))


def tasks_of(path: Path) -> Iterable[LookTask]:
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        prompt = f"{row['question']} You see of the video what you look at with crop_video; it begins at 0 seconds."
        yield LookTask(LookData(prompt=prompt, video=row["video"], answer=row["answer"]))


async def roll(tasks: str, model: str, base_url: str, key_variable: str = "OPENAI_API_KEY") -> list[vf.Trace]:
    """A rollout of each task by a model behind an OpenAI-compatible endpoint."""
    client = vf.EvalClientConfig(base_url=base_url, api_key_var=key_variable)
    settings = vf.AgentConfig(harness={"id": "null"}, runtime=vf.SubprocessConfig(), model=model, client=client, max_turns=6)
    async with vf.make_agent(settings) as agent:
        return [await agent.run(task) for task in tasks_of(Path(tasks))]


if __name__ == "__main__":
    Looks.run()
