"""The engine behind a server: used only once it has shown that it continues rows exactly, with our stamps, tokens and draws."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from fractions import Fraction

import numpy as np

from dmforge.generators.engines.contract import Failed, Sampling
from dmforge.generators.engines.legs import Gone, Leg, Order
from dmforge.generators.engines.served import ServedConversation, Tallies
from dmforge.generators.engines.server import START, Server
from dmforge.generators.engines.settings import ServerSettings
from dmforge.generators.footage import Clip, Shown
from dmforge.generators.student.layout import Layout
from dmforge.generators.student.load import load_vocabulary
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
        self._waiting: list[tuple[Order, int, Leg]] = []
        self._in_flight: dict[Future[Gone | Failed], int] = {}

    def send(self, row_index: int, order: Order, request: Leg) -> None:
        heapq.heappush(self._waiting, (order, row_index, request))

    def receive(self) -> dict[int, Gone | Failed]:
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
        self.layout = Layout(vocabulary)
        self._server, self._post = server, Post(server, max_in_flight)
        self.tallies = Tallies()

    def converse(self, rows: Sequence[Sampling]) -> ServedConversation:
        return ServedConversation(self.layout, self._post, rows, self._server.room, self.tallies)

    def close(self) -> None:
        """Close the connections."""
        self._post.close()
        self._server.close()

    def try_out(self) -> None:
        """Send two clips whose times no sampling of frames would give; refuse a server whose model isn't shown them so."""
        post = Post(self._server, 1)
        trial = ServedConversation(self.layout, post, [Sampling(most_tokens=1)], self._server.room, Tallies())
        try:
            (result,) = trial.go_on({0: _trial_pieces()}, ()).values()
        except (InputError, Transient):
            raise
        except DmforgeError as error:
            raise InputError(error.message, where=self._server.where, mend=START) from None
        finally:
            post.close()
        if isinstance(result, Failed):
            raise InputError(
                f"the server can't read frames with times of their own: {result.detail}", where=self._server.where, mend=START
            )


def _trial_pieces() -> tuple[Shown, ...]:
    frames = np.zeros((3, CELL, CELL, 3), np.uint8)
    coarse = Clip(frames, (Fraction(0), Fraction(7, 12), Fraction(100, 3)))
    look = Look(Window(0, 1000), Fraction(1))
    clip = Clip(frames[:2], (Fraction(5, 12), Fraction(31, 12)))
    return (
        Shown(COARSE, coarse),
        Shown(Piece("prompt", "?")),
        Shown(Piece("runtime", "<think><span>0.00 - 10.00</span><fps>1</fps>")),
        Shown(Piece("runtime", look=look), clip),
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
