"""A map of questions by meaning: their vectors laid flat along the two directions in which they differ most.

Those are the first two principal components: no other flat picture keeps more of the distances, it is the same each time, and
numpy has it in a second. It is worked out when somebody first asks for it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dmforge.curation.browse.row_columns import Mask
from dmforge.curation.browse.row_index import Integers, RowIndex
from dmforge.curation.browse.row_query import MAP_SIDE, MapArea
from dmforge.curation.lake.views import LakeView, interruptible
from dmforge.schemas.ids import ID_BYTES

Floats = npt.NDArray[np.float32]
MAX_POINTS = 20_000
"""About how many questions are on the map. Of more those with the first ids are, and ids are digests: a fair draw."""
_DRAWN = """
SELECT b.task, v.values FROM {table} v JOIN browsed_tasks b ON b.id = v.task
WHERE v.model = $model AND v.task < $end ORDER BY b.task
"""


@dataclass(frozen=True, slots=True)
class QuestionMap:
    """Questions with their places."""

    tasks: Integers
    """Of each point the number of its task, rising."""
    places: npt.NDArray[np.int16]
    """Of each point how far right and how far up, from 0 to `MAP_SIDE`."""
    measured: int
    """How many questions have vectors: more than are on the map, if they are very many."""
    kept_variance: float
    """How much of what tells the vectors apart can be seen on the map."""

    def within(self, area: MapArea) -> Mask:
        """The points in a rectangle, its edges included."""
        right, up = self.places[:, 0], self.places[:, 1]
        return (right >= area.left) & (right <= area.right) & (up >= area.low) & (up <= area.high)


class MapReader:
    """Reads the map of a view's questions once, when it is first asked for; several threads may ask."""

    def __init__(self, view: LakeView, table: str, index: RowIndex, max_points: int = MAX_POINTS) -> None:
        self._view, self._table, self._index, self._max_points = view, table, index, max_points
        self._lock, self._has_read, self._map = threading.Lock(), False, None

    def read(self) -> QuestionMap | None:
        """The map; None where no question has a vector."""
        with self._lock:
            if not self._has_read:
                self._map: QuestionMap | None = self._drawn()
                self._has_read = True
            return self._map

    def _drawn(self) -> QuestionMap | None:
        if self._table not in self._view.selects():
            return None
        with interruptible():
            cursor = self._view.cursor(self._table)
            models_sql = f"SELECT model, count(*) FROM {self._table} GROUP BY model ORDER BY 2 DESC, 1 LIMIT 1"
            models: list[tuple[str, int]] = cursor.execute(models_sql).fetchall()
            if not models:
                return None
            ((model, measured),) = models
            cursor.register("browsed_tasks", _numbered(self._index))
            end = _end_of_share(min(1.0, self._max_points / measured))
            drawn = cursor.sql(_DRAWN.format(table=self._table), params={"model": model, "end": end}).to_arrow_table()
        if not len(drawn):
            return None
        numbers = np.asarray(pc.list_flatten(drawn.column("values").combine_chunks()))
        vectors = numbers.reshape(len(drawn), -1).astype(np.float32)
        places, kept_variance = lay_flat(vectors)
        return QuestionMap(np.asarray(drawn.column("task")).astype(np.int32), places, measured, kept_variance)


def lay_flat(vectors: Floats) -> tuple[npt.NDArray[np.int16], float]:
    """The places of vectors on a square map, and the share of their variance that it keeps."""
    centred = vectors - vectors.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    plane = directions[:, ::-1][:, :2]
    # a direction and its opposite are as good: the one whose largest number is positive, so that the map is always the same
    largest = np.abs(plane).argmax(axis=0)
    flat = (centred @ plane) * np.where(np.take_along_axis(plane, largest[None], axis=0) < 0, -1, 1)
    middle, span = (flat.max(axis=0) + flat.min(axis=0)) / 2, max(float(np.ptp(flat, axis=0).max()), 1e-6)
    total = float(np.clip(variances, 0, None).sum())
    kept_variance = float(np.clip(variances[-2:], 0, None).sum()) / total if total > 0 else 1.0
    # one scale for both directions: distances are what the map is about
    places = np.rint(MAP_SIDE * ((flat - middle) / span + 0.5)).clip(0, MAP_SIDE).astype(np.int16)
    return places, kept_variance


def _end_of_share(share: float) -> bytes:
    """The id before which so large a share of all ids lies."""
    if share >= 1.0:
        return b"\xff" * (ID_BYTES + 1)
    return int(share * 2**64).to_bytes(8, "big") + bytes(ID_BYTES - 8)


def _numbered(index: RowIndex) -> pa.Table:
    """Every task that rows are about, with its number."""
    ids = [task_id.tobytes() for task_id in index.of_tasks.ids]
    return pa.table({"id": pa.array(ids, pa.binary()), "task": pa.array(range(len(ids)), pa.int32())})
