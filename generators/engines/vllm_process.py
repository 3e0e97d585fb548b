"""The process of a vLLM engine: it may die, and takes nothing with it but what was on its way.

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

from dmforge.generators.engines.legs import Beat, Broken, Errand, Forget, Gone, Ready, Renew, Renewed, Start
from dmforge.generators.engines.parcels import Parcel

BEAT_S = 1.0
"""How often it says that it goes on."""


class Core:
    """vLLM, and the legs that are on their way in it."""

    def __init__(self, start: Start) -> None:
        from vllm import EngineArgs  # pyright: ignore
        from vllm.v1.engine.llm_engine import LLMEngine  # pyright: ignore

        self.engine: Any = LLMEngine.from_engine_args(EngineArgs(**start.arguments))
        self._clips: dict[str, Parcel] = {}
        self._on_way: set[str] = set()

    @property
    def is_busy(self) -> bool:
        return bool(self._on_way)

    def take(self, message: Errand | Forget | Renew) -> None:
        if isinstance(message, Forget):
            self.engine.abort_request(list(self._on_way))
            self._on_way.clear()
            self._clips.clear()
        elif isinstance(message, Renew):
            self.renew()
        else:
            self._add(message)

    def renew(self) -> None:
        """What the vision tower made of clips, and keys and values, are the old weights'. Pixels that were cut into patches are
        anyone's, and stay."""
        self.engine.collective_rpc("reload_weights")
        self.engine.apply_model(_pack_heads)
        self.engine.reset_encoder_cache()
        if not self.engine.reset_prefix_cache():
            raise RuntimeError("rows are at work whose keys and values are of other weights")

    def step(self) -> dict[int, Gone]:
        """One pass through the model: the legs that ended with it."""
        done: dict[int, Gone] = {}
        for output in self.engine.step():
            if output.finished:
                self._on_way.discard(output.request_id)
                done[int(output.request_id)] = _gone(output)
        return done

    def _add(self, errand: Errand) -> None:
        from vllm import SamplingParams, TokensPrompt  # pyright: ignore
        from vllm.sampling_params import RequestOutputKind  # pyright: ignore

        self._clips |= {clip.name: clip for clip in errand.brought}
        clips = [self._clips[name] for name in errand.names]
        prompt: Any = TokensPrompt(prompt_token_ids=list(errand.leg.ids))
        if clips:
            prompt["multi_modal_data"] = {"video": [(clip.frames, clip.metadata) for clip in clips]}
            prompt["multi_modal_uuids"] = {"video": list(errand.names)}
        (rendered,) = self.engine.renderer.render_cmpl([prompt])
        params = SamplingParams(**errand.leg.sampling(), output_kind=RequestOutputKind.FINAL_ONLY)
        ticket = str(errand.ticket)
        self._on_way.add(ticket)
        self.engine.add_request(ticket, rendered, params)


def _pack_heads(model: Any) -> None:
    """A head that is tied to the embeddings gets new weights with them, but vLLM 0.32 leaves what a CPU's kernels had packed of
    the old ones. Elsewhere nothing is packed."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead  # pyright: ignore

    for layer in model.modules():
        if isinstance(layer, ParallelLMHead):
            layer.quant_method.process_weights_after_loading(layer)


def _gone(output: Any) -> Gone:
    (written,) = output.outputs
    ids = tuple(written.token_ids)
    log_probs = tuple(float(told[token].logprob) for token, told in zip(ids, written.logprobs, strict=True))
    return Gone(tuple(output.prompt_token_ids), ids, log_probs, output.num_cached_tokens or 0)


def serve(connection: Connection, kind: type[Core] = Core) -> None:
    """Until whoever started it hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; who started it decides
    start: Start = connection.recv()
    try:
        core = kind(start)
        told: queue.SimpleQueue[Errand | Forget | Renew] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(connection, told), daemon=True).start()
        connection.send(Ready())
        _work(connection, core, told)
    except Exception as error:  # whatever it is, the other side must learn why this process ends
        connection.send(Broken(f"{type(error).__name__}: {error}"))
        raise


def _work(connection: Connection, core: Core, told: queue.SimpleQueue[Errand | Forget | Renew]) -> None:
    said_s = 0.0
    while True:
        while not (core.is_busy and told.empty()):
            message = told.get()
            core.take(message)
            if isinstance(message, Renew):
                connection.send(Renewed())
        done = core.step()
        if done or time.monotonic() - said_s > BEAT_S:
            connection.send(Beat(done))
            said_s = time.monotonic()


def _listen(connection: Connection, told: queue.SimpleQueue[Errand | Forget | Renew]) -> None:
    while True:
        try:
            told.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)  # nobody is there any more; the engine may be in the middle of something


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
