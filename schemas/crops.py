"""The crop of a look with a box: the pixels of a rendition that it shows, in whole cells, so that nothing is stretched."""

from __future__ import annotations

from dataclasses import dataclass

from dmforge.schemas.looks import PICTURE_SIDE, Box
from dmforge.schemas.sizes import CELL, Size


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of a picture in pixels, at even ones, since two pixels share a colour in a rendition."""

    left: int
    top: int
    width: int
    height: int
    picture: Size
    """The size of the picture that it is a part of."""

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    def content(self) -> list[int]:
        """What decides pixels, for a digest."""
        return [self.left, self.top, self.width, self.height]


def plan_crop(box: Box, picture: Size) -> Crop:
    """The least rectangle of whole cells that holds the box, with the box in its middle as far as the picture goes.

    Whole cells are what a model is shown of any frame: a rectangle that isn't would be stretched to them, by up to a third
    where it is small. So up to a cell more than the box is shown on each axis, and never less than the box.
    """
    left, width = _stretch(box.x1, box.x2, picture.width)
    top, height = _stretch(box.y1, box.y2, picture.height)
    return Crop(left, top, width, height, picture)


def _stretch(first: int, second: int, side_px: int) -> tuple[int, int]:
    """Where the rectangle begins on one axis, and how long it is, of a box from `first` to `second` per mille."""
    low_px = first * side_px // (2 * PICTURE_SIDE) * 2
    high_px = -(-second * side_px // (2 * PICTURE_SIDE)) * 2
    length_px = min(side_px, -(-(high_px - low_px) // CELL) * CELL)
    spare_px = length_px - (high_px - low_px)
    return max(0, min(low_px - spare_px // 4 * 2, side_px - length_px)), length_px
