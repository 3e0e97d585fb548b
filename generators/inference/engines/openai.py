"""The engine behind a server: used only once it has shown that it continues rows exactly, with our stamps, tokens and draws."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from fractions import Fraction

import numpy as np

from dmforge.generators.footage import PromptPiece, ShownClip
from dmforge.generators.inference.engines.engine import FailedRow, Sampling
from dmforge.generators.inference.engines.engine_settings import ServerSettings
from dmforge.generators.inference.engines.messages import Generate, Generated, Order
from dmforge.generators.inference.engines.remote_rows import GenerationTotals, RemoteConversation
from dmforge.generators.inference.engines.server import START, Server
from dmforge.generators.student.load_student import load_vocabulary
from dmforge.generators.student.token_layout import TokenLayout
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.schemas.errors import DmforgeError, InputError, Transient
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.sizes import CELL
from dmforge.schemas.transcript import COARSE, Piece


class Post:
    """Sends requests to a server, a few at once."""

    def __init__(self, server: Server, max_in_flight: int) -> None:
        self._server, self._max_in_flight = server, max_in_flight
        self._threads = ThreadPoolExecutor(max_in_flight, thread_name_prefix="post")
        self._waiting: list[tuple[Order, int, Generate]] = []
        self._in_flight: dict[Future[Generated | FailedRow], int] = {}

    def send(self, row_index: int, order: Order, request: Generate) -> None:
        heapq.heappush(self._waiting, (order, row_index, request))

    def receive(self) -> dict[int, Generated | FailedRow]:
        while self._waiting and len(self._in_flight) < self._max_in_flight:
            _, row_index, request = heapq.heappop(self._waiting)
            self._in_flight[self._threads.submit(self._server.ask, request)] = row_index
        finished = wait(self._in_flight, return_when=FIRST_COMPLETED).done
        return {self._in_flight.pop(future): future.result() for future in finished}

    def clear(self) -> None:
        self._waiting = []
        for future in self._in_flight:
            future.cancel()
        self._in_flight = {}

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)


class ServerEngine:
    """A checkpoint behind an address."""

    def __init__(self, vocabulary: Vocabulary, server: Server, max_in_flight: int) -> None:
        self.layout = TokenLayout(vocabulary)
        self._server, self._post = server, Post(server, max_in_flight)
        self.tallies = GenerationTotals()

    def converse(self, rows: Sequence[Sampling]) -> RemoteConversation:
        return RemoteConversation(self.layout, self._post, rows, self._server.room, self.tallies)

    def close(self) -> None:
        """Close the connections."""
        self._post.close()
        self._server.close()

    def try_out(self) -> None:
        """Send two clips whose times no sampling of frames would give; refuse a server whose model isn't shown them so."""
        post = Post(self._server, 1)
        trial = RemoteConversation(self.layout, post, [Sampling(max_tokens=1)], self._server.room, GenerationTotals())
        try:
            (result,) = trial.step({0: _trial_pieces()}, ()).values()
        except (InputError, Transient):
            raise
        except DmforgeError as error:
            raise InputError(error.message, where=self._server.where, hint=START) from None
        finally:
            post.close()
        if isinstance(result, FailedRow):
            raise InputError(
                f"the server can't read frames with times of their own: {result.detail}", where=self._server.where, hint=START
            )


def _trial_pieces() -> tuple[PromptPiece, ...]:
    frames = np.zeros((3, CELL, CELL, 3), np.uint8)
    coarse = ShownClip(frames, (Fraction(0), Fraction(7, 12), Fraction(100, 3)))
    look = Look(Window(0, 1000), Fraction(1))
    clip = ShownClip(frames[:2], (Fraction(5, 12), Fraction(31, 12)))
    return (
        PromptPiece(COARSE, coarse),
        PromptPiece(Piece("prompt", "?")),
        PromptPiece(Piece("runtime", "<think><span>0.00 - 10.00</span><fps>1</fps>")),
        PromptPiece(Piece("runtime", look=look), clip),
    )


def open_server(settings: ServerSettings, checkpoint: str) -> ServerEngine:
    """Connect to the server, and try it out before anything else."""
    vocabulary = load_vocabulary(checkpoint)
    engine = ServerEngine(vocabulary, Server(settings), settings.rows)
    try:
        engine.try_out()
    except BaseException:
        engine.close()
        raise
    return engine
