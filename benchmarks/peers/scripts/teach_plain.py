"""Tasks asked of a teacher in two calls, resumable: asyncio and the openai SDK."""

import asyncio
import base64
import io
import json
import sys
from functools import lru_cache
from pathlib import Path

import av
from openai import AsyncOpenAI

WORLDS, PROMPTS, OUT = map(Path, sys.argv[1:4])
client, gate = AsyncOpenAI(base_url=sys.argv[4], api_key="none", max_retries=6), asyncio.Semaphore(8)


@lru_cache(8)
def frames(name):
    with av.open(str(WORLDS / "videos" / name)) as video:
        return [frame.to_image() for frame in video.decode(video=0)], float(video.duration / av.time_base)


def clip_parts(pictures, times):
    parts = []
    for at in range(0, len(times), 2):
        pair = (times[at : at + 2] * 2)[:2]
        parts.append({"type": "text", "text": f"<{sum(pair) / 2:.1f} seconds>"})
        for time in pair:
            pictures[min(int(time * 12 + 1e-6), len(pictures) - 1)].save(data := io.BytesIO(), "JPEG", quality=90)
            url = "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
            parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


async def ask(name, fields, parts):
    schema = {"type": "object", "properties": {field: {"type": kind} for field, kind in fields.items()}}
    schema |= {"required": list(fields), "additionalProperties": False}
    for seed in range(3):
        reply = await client.chat.completions.create(
            model="oracle", seed=seed, temperature=0.7, max_completion_tokens=256,
            messages=[{"role": "system", "content": (PROMPTS / f"{name}.md").read_text()}, {"role": "user", "content": parts}],
            response_format={"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}},
        )  # fmt: skip
        try:
            payload = json.loads(reply.choices[0].message.content or "")
            return [payload[field] for field in fields]
        except (ValueError, KeyError):
            continue
    raise ValueError("no readable reply")


async def teach(number, task, out):
    async with gate:
        pictures, length = frames(task["video"])
        text = "\n".join([task["question"], *(f"{chr(65 + nth)}. {option}" for nth, option in enumerate(task["options"]))])
        count = int(min(max(length * 2, 4), 256)) // 2 * 2
        coarse = clip_parts(pictures, [nth * length / count for nth in range(count)])
        question = {"type": "text", "text": f"The video lasts {length:.2f} seconds.\n\n{text}"}
        try:
            kinds = {"thought": "string", "start_s": "number", "end_s": "number", "fps": "number"}
            thought, start, end, fps = await ask("look", kinds, [*coarse, question])
            closer = clip_parts(pictures, [start + nth / fps for nth in range(max(1, int((end - start) * fps)))])
            announced = f"You are shown {start:.2f} - {end:.2f} seconds at {fps:g} frames per second."
            again = {"type": "text", "text": f"{announced}\n\n{text}"}
            why, answer = await ask("answer", {"thought": "string", "answer": "string"}, [*closer, again])
            row = {"task": number, "thoughts": [thought, why], "look": [start, end, fps], "answer": answer}
        except ValueError as error:
            row = {"task": number, "error": str(error)}
        out.write(json.dumps(row) + "\n")
        out.flush()


async def main():
    tasks = [json.loads(line) for line in (WORLDS / "tasks.jsonl").open()]
    finished = {json.loads(line)["task"] for line in OUT.open()} if OUT.exists() else set()
    with OUT.open("a") as out:
        await asyncio.gather(*(teach(nth, task, out) for nth, task in enumerate(tasks) if nth not in finished))


asyncio.run(main())
