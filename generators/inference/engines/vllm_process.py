"""The process of a vLLM engine: if it dies, only the requests that it had at the moment are lost.

Only here vLLM is imported. A thread listens, so that the engine goes on while clips arrive, and so that the process ends with
the one that started it even while the engine stands still.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from dmforge.generators.inference.engines.clip_payload import ClipPayload
from dmforge.generators.inference.engines.messages import (
    DropAll,
    EngineFailed,
    EngineReady,
    Generated,
    GenerateWithClips,
    Heartbeat,
    ReloadWeights,
    StartEngine,
    WeightsReloaded,
)

BEAT_S = 1.0
"""Seconds between two heartbeats."""


class EngineCore:
    """vLLM, with the requests that it is working on."""

    def __init__(self, start: StartEngine) -> None:
        from vllm import EngineArgs  # pyright: ignore
        from vllm.v1.engine.llm_engine import LLMEngine  # pyright: ignore

        self.engine: Any = LLMEngine.from_engine_args(EngineArgs(**start.arguments))
        self._clips: dict[str, ClipPayload] = {}
        self._in_flight: set[str] = set()

    @property
    def is_busy(self) -> bool:
        return bool(self._in_flight)

    def take(self, message: GenerateWithClips | DropAll | ReloadWeights) -> None:
        if isinstance(message, DropAll):
            self.engine.abort_request(list(self._in_flight))
            self._in_flight.clear()
            self._clips.clear()
        elif isinstance(message, ReloadWeights):
            self.renew()
        else:
            self._add(message)

    def renew(self) -> None:
        """Load the weights again, and drop what the old ones made: the vision tower's output, keys and values. Pixels that were
        cut into patches are anyone's, and stay."""
        self.engine.collective_rpc("reload_weights")
        self.engine.apply_model(_pack_again)
        self.engine.reset_encoder_cache()
        if not self.engine.reset_prefix_cache():
            raise RuntimeError("the prefix cache can't be reset: rows are at work with keys and values of the old weights")

    def step(self) -> dict[int, Generated]:
        """One pass through the model: results of the requests that ended with it, by request id."""
        generated_by_request: dict[int, Generated] = {}
        for request_output in self.engine.step():
            if request_output.finished:
                self._in_flight.discard(request_output.request_id)
                generated_by_request[int(request_output.request_id)] = _generated(request_output)
        return generated_by_request

    def _add(self, message: GenerateWithClips) -> None:
        from vllm import SamplingParams, TokensPrompt  # pyright: ignore
        from vllm.sampling_params import RequestOutputKind  # pyright: ignore

        self._clips |= {clip.name: clip for clip in message.new_clips}
        request_clips = [self._clips[clip_name] for clip_name in message.clip_names]
        tokens_prompt: Any = TokensPrompt(prompt_token_ids=list(message.request.ids))
        if request_clips:
            tokens_prompt["multi_modal_data"] = {"video": [(clip.frames, clip.metadata) for clip in request_clips]}
            tokens_prompt["multi_modal_uuids"] = {"video": list(message.clip_names)}
        (rendered_prompt,) = self.engine.renderer.render_cmpl([tokens_prompt])
        sampling_params = SamplingParams(**message.request.sampling(), output_kind=RequestOutputKind.FINAL_ONLY)
        request_id = str(message.request_id)
        self._in_flight.add(request_id)
        self.engine.add_request(request_id, rendered_prompt, sampling_params)


def _pack_again(model: Any) -> None:
    """Pack again what a CPU's kernels read in another order than it is loaded in. Elsewhere nothing is packed.

    vLLM 0.32 packs experts only once, so that new ones would be read in the wrong order; and a head that is tied to the
    embeddings gets new weights with them, but keeps what was packed of the old ones."""
    from vllm.model_executor.layers.fused_moe.unquantized_fused_moe_method import (  # pyright: ignore
        UnquantizedFusedMoEMethod,
    )
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead  # pyright: ignore
    from vllm.platforms import current_platform  # pyright: ignore

    for model_layer in model.modules():
        if isinstance(model_layer, ParallelLMHead):
            model_layer.quant_method.process_weights_after_loading(model_layer)
        quant_method: Any = getattr(model_layer, "quant_method", None)
        if current_platform.is_cpu() and isinstance(quant_method, UnquantizedFusedMoEMethod):
            quant_method.moe_kernel.fused_experts.process_weights_after_loading(model_layer)


def _generated(request_output: Any) -> Generated:
    (completion_output,) = request_output.outputs
    token_ids = tuple(completion_output.token_ids)
    log_probs = tuple(
        float(log_prob_by_token[token_id].logprob)
        for token_id, log_prob_by_token in zip(token_ids, completion_output.logprobs, strict=True)
    )
    return Generated(tuple(request_output.prompt_token_ids), token_ids, log_probs, request_output.num_cached_tokens or 0)


def serve(connection: Connection, core_class: type[EngineCore] = EngineCore) -> None:
    """Answer messages until the process that started this one hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; who started it decides
    start_engine: StartEngine = connection.recv()
    try:
        core = core_class(start_engine)
        inbox: queue.SimpleQueue[GenerateWithClips | DropAll | ReloadWeights] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
        connection.send(EngineReady())
        _work(connection, core, inbox)
    except Exception as error:  # whatever it is, the other side must learn why this process ends
        connection.send(EngineFailed(f"{type(error).__name__}: {error}"))
        raise


def _work(
    connection: Connection, core: EngineCore, inbox: queue.SimpleQueue[GenerateWithClips | DropAll | ReloadWeights]
) -> None:
    last_beat_s = 0.0
    while True:
        while not (core.is_busy and inbox.empty()):
            message = inbox.get()
            core.take(message)
            if isinstance(message, ReloadWeights):
                connection.send(WeightsReloaded())
        generated_by_request = core.step()
        if generated_by_request or time.monotonic() - last_beat_s > BEAT_S:
            connection.send(Heartbeat(generated_by_request))
            last_beat_s = time.monotonic()


def _listen(connection: Connection, inbox: queue.SimpleQueue[GenerateWithClips | DropAll | ReloadWeights]) -> None:
    while True:
        try:
            inbox.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)  # the other side is gone; the engine may be in the middle of a step


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
