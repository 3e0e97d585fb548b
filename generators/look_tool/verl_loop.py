"""An agent loop for verl in which a look is a video: frames in pairs under one stamp, as SFT and our own rollout show them.

verl 0.9.1's ToolAgentLoop raises where a tool returns a video, and is otherwise kept: this puts the clips of a turn into the
context and hands them on to the inference server and to the trainer, beside the video of the prompt. The server gets each clip
as one placeholder.
"""

from __future__ import annotations

import asyncio
from typing import Any

from verl.experimental.agent_loop.tool_agent_loop import AgentState, ToolAgentLoop  # pyright: ignore
from verl.utils.profiler import simple_timer  # pyright: ignore

from dmforge.generators.look_tool.unexpanded_clips import VideoTokens, unexpanded
from dmforge.schemas.errors import InputError
from dmforge.schemas.stamps import patches


class _PlaceholderServer:
    """An inference server that writes out clips itself."""

    def __init__(self, server: Any, processor: Any) -> None:
        self._server = server
        self._tokens = VideoTokens(processor.vision_start_token_id, processor.video_token_id, processor.vision_end_token_id)

    async def generate(self, request_id: str, *, prompt_ids: list[int], video_data: Any = None, **options: Any) -> Any:
        patch_counts = [patches(len(frames)) for frames, _ in video_data or ()]
        short_ids = unexpanded(prompt_ids, patch_counts, self._tokens)
        return await self._server.generate(request_id, prompt_ids=short_ids, video_data=video_data, **options)


class LookAgentLoop(ToolAgentLoop):  # pyright: ignore[reportUntypedBaseClass]
    """`- {name: tool_agent, _target_: dmforge.generators.look_tool.verl_loop.LookAgentLoop}` in the file that
    `rollout.agent.agent_loop_config_path` names puts it in the place of verl's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.rollout_config.name == "sglang":  # verl hands it features in the place of frames, of the prompt's videos alone
            hint = "roll out with vLLM, or with verl's own loop and CropVideoImages"
            raise InputError("SGLang would not be shown the clips of looks", where="rollout.name", hint=hint)
        self.server_manager = _PlaceholderServer(self.server_manager, self.processor)

    async def _handle_processing_tools_state(self, agent_data: Any) -> Any:
        calls = agent_data.tool_calls[: self.max_parallel_calls]
        with simple_timer("tool_calls", agent_data.metrics):
            replies = await asyncio.gather(*(self._call_tool(call, agent_data.tools_kwargs, agent_data) for call in calls))
        responses = [response for response, _, _ in replies]
        if any(response.image for response in responses):
            hint = "name CropVideoClip in the file of `multi_turn.tool_config_path`"
            raise InputError("a tool returned images, and this loop shows videos", where="multi_turn", hint=hint)
        agent_data.tool_rewards += [reward for _, reward, _ in replies if reward is not None]
        earlier_messages = list(agent_data.messages)
        agent_data.messages += [_message(call, response) for call, response in zip(calls, responses, strict=True)]
        clips = [clip for response in responses for clip in response.video or ()]
        self._assert_mm_supported(bool(clips))
        merged, response_mask, log_probs = await self.ct_merge_context_msg(
            earlier_messages,
            agent_data.messages,
            agent_data.prompt_ids,
            agent_data.response_mask,
            agent_data.response_logprobs or None,
            tools=getattr(agent_data, "_active_tool_schemas", self.tool_schemas),
        )
        if len(response_mask) >= self.response_length:  # as verl's own: what doesn't fit is not shown
            return AgentState.TERMINATED
        agent_data.prompt_ids, agent_data.response_mask = merged.token_ids, response_mask
        if agent_data.response_logprobs:
            agent_data.response_logprobs = log_probs or []
        if clips:
            agent_data.video_data = [*(agent_data.video_data or ()), *clips]
        agent_data.user_turns += 1
        return AgentState.GENERATING


def _message(call: Any, response: Any) -> dict[str, Any]:
    """The reply to a call: its clip, or why there is none."""
    content = [{"type": "video", "video": clip} for clip in response.video or ()]
    name = {} if call.tool_call_id is None else {"tool_call_id": call.tool_call_id}
    return {"role": "tool", "content": content or response.text or "", **name}
