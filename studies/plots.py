"""Curves with their intervals, drawn as SVG by hand: no library for a few lines and some text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, TOP, GAP = 210, 120, 56, 58, 34
INK, PALE = "#333333", "#d8d8d8"
COLOURS = ("#333333", "#c77700", "#0b6fb8", "#2c8a4b")
DASHES = ("", "5 3", "1 3")


@dataclass(frozen=True, slots=True)
class Band:
    """A curve: (x, value, low, high) of each of its points."""

    name: str
    points: tuple[tuple[int, float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """Some curves in one frame, from 0 to `top`."""

    title: str
    measure: str
    top: float
    bands: tuple[Band, ...]


def draw(rows: Sequence[Sequence[Panel]], told_apart: str = "holistic") -> str:
    """A grid of panels: those of a row have one measure, those of a column one title. `told_apart` by what the curves are."""
    columns = max(map(len, rows))
    width, height = LEFT + columns * (WIDTH + GAP), TOP + len(rows) * (HEIGHT + GAP)
    names = list(dict.fromkeys(band.name for row in rows for panel in row for band in panel.bands))
    styles = _styles(names)
    width = max(width, LEFT + 60 + sum(map(_legend_width, names)))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *_legend(styles, told_apart),
    ]
    for down, row in enumerate(rows):
        for across, panel in enumerate(row):
            x, y = LEFT + across * (WIDTH + GAP), TOP + down * (HEIGHT + GAP)
            parts += [
                f'<g transform="translate({x} {y})">',
                *_panel(panel, styles, is_first=across == 0, is_top=down == 0),
                "</g>",
            ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _styles(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour for each name up to its comma, and dashes for those that share one."""
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(name.partition(",")[0], []).append(name)
    return {
        name: (COLOURS[index % len(COLOURS)], DASHES[family.index(name) % len(DASHES)])
        for index, family in enumerate(families.values())
        for name in family
    }


def _legend_width(name: str) -> int:
    return 60 + 7 * len(name)


def _legend(styles: dict[str, tuple[str, str]], told_apart: str) -> list[str]:
    parts, x = [_text(LEFT, 20, told_apart, anchor="start")], LEFT + 60
    for name, (colour, dashes) in styles.items():
        parts.append(f'<path d="M{x} 16h24" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>')
        parts.append(_text(x + 30, 20, name, anchor="start"))
        x += _legend_width(name)
    return parts


def _panel(panel: Panel, styles: dict[str, tuple[str, str]], *, is_first: bool, is_top: bool) -> list[str]:
    last = max((x for band in panel.bands for x, *_ in band.points), default=1) or 1

    def place(x: float, value: float) -> str:
        return f"{x / last * WIDTH:.1f},{HEIGHT * (1 - min(value, panel.top) / panel.top):.1f}"

    parts: list[str] = []
    for part in (0.0, 0.5, 1.0):
        y = HEIGHT * (1 - part)
        parts.append(f'<path d="M0 {y}h{WIDTH}" stroke="{PALE}"/>')
        parts.append(_text(-6, y + 4, f"{panel.top * part:g}", anchor="end"))
    for x in sorted({x for band in panel.bands for x, *_ in band.points}):
        parts.append(_text(x / last * WIDTH, HEIGHT + 15, str(x)))
    for band in panel.bands:
        colour, dashes = styles[band.name]
        lower, upper = ([place(x, value) for x, value in bounds] for bounds in _bounds(band))
        parts.append(f'<path d="M{" ".join([*lower, *reversed(upper)])}Z" fill="{colour}" fill-opacity=".12"/>')
        middle = " ".join(place(x, value) for x, value, *_ in band.points)
        parts.append(f'<path d="M{middle}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>')
    if is_top:
        parts.append(_text(WIDTH / 2, -14, panel.title, weight="bold"))
    if is_first:
        parts.append(f'<g transform="translate(-40 {HEIGHT / 2}) rotate(-90)">{_text(0, 0, panel.measure)}</g>')
    return parts


def _bounds(band: Band) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    return [(x, low) for x, _, low, _ in band.points], [(x, high) for x, *_, high in band.points]


def _text(x: float, y: float, words: str, *, anchor: str = "middle", weight: str = "normal") -> str:
    attributes = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{INK}"'
    return f"<text {attributes}>{escape(words)}</text>"
