"""The map of questions: what means alike lies together, a part of it is a filter, and keys and words do what the mouse does."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import cast
from urllib.parse import urlencode

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from rich.console import Console

from dmforge.commands.audit import extra_tables
from dmforge.commands.near_question_tables import VECTORS
from dmforge.commands.standing import readers_view
from dmforge.curation.browse.question_map import MapReader, QuestionMap, lay_flat
from dmforge.curation.browse.read_index import read_index
from dmforge.curation.browse.row_index import RowIndex
from dmforge.curation.browse.row_query import MAP_SIDE, MapArea, RowQuery
from dmforge.curation.browse.row_selection import RowSelection
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.readers_view import ReadersView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.embed import Embed, SentenceModel
from dmforge.recipe import read_recipe
from dmforge.schemas.errors import InputError
from tests.report.test_browse import browsing, said
from tests.report.test_browse_in_a_browser import ALIVE, CONTRAST, opened, shown
from tests.report.test_page import OUTSIDE
from tests.report.test_review import Serving, until

LENGTH = 384
WIDE = 1400


class FirstWords(SentenceModel):
    """In the place of the sentence model, whose package not everyone has: questions that begin alike are alike."""

    def __init__(self) -> None:
        pass

    def vectors(self, texts: list[str]) -> list[tuple[int, ...]]:
        return [tuple(map(int, self._vector(text))) for text in texts]

    def _vector(self, text: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        seeds = (int.from_bytes(sha256(part.encode("utf-8", "replace")).digest()[:4]) for part in (text[:8], text))
        alike, own = (np.random.default_rng(seed).normal(size=LENGTH) for seed in seeds)
        vector = alike + 0.3 * own
        return np.rint(127 * vector / np.linalg.norm(vector))


class MadeVectors(Embed):
    """The stage `embed` with that model."""

    def check(self, workspace: WorkspaceFolder) -> None:
        pass

    def open(self, workspace: WorkspaceFolder) -> None:
        self._model = FirstWords()


@pytest.fixture(scope="module")
def mapped(built: WorkspaceFolder, tmp_path_factory: pytest.TempPathFactory) -> WorkspaceFolder:
    """The workspace with a vector for each question."""
    workspace = WorkspaceFolder(Path(shutil.copytree(built.root, tmp_path_factory.mktemp("mapped") / "ws")))
    workspace.recipe.write_text(workspace.recipe.read_text() + "[stages.embed]\n")
    stages = read_recipe(workspace.recipe).stages
    embed = cast("AnyStage", MadeVectors(stages[-1].config))
    with workspace.held("test"):
        driver = Driver(Lake(workspace), (*stages[:-1], embed), LocalExecutor(), Console(quiet=True))
        (report,) = driver.run([embed])
    assert report.tally.made > 20
    return workspace


@pytest.fixture(scope="module")
def server(mapped: WorkspaceFolder) -> Iterator[Serving]:
    with browsing(mapped) as serving:
        yield serving


def read(workspace: WorkspaceFolder) -> tuple[RowIndex, ReadersView]:
    recipe = read_recipe(workspace.recipe)
    view = readers_view(Lake(workspace), recipe)
    names, tables = [stage.name for stage in recipe.stages], extra_tables(workspace, recipe)
    return read_index(view, names, {}, tables, lambda step, done, total: None), view


def test_the_map_keeps_what_two_directions_can() -> None:
    draw = np.random.default_rng(1)
    kinds = draw.integers(0, 3, 400)
    vectors = (draw.normal(size=(3, LENGTH))[kinds] + 0.2 * draw.normal(size=(400, LENGTH))).astype(np.float32)
    places, kept_variance = lay_flat(vectors)
    again, _ = lay_flat(vectors)
    assert (places == again).all()
    assert (places.min(), places.max()) == (0, MAP_SIDE)
    singular = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False) ** 2
    assert kept_variance == pytest.approx(singular[:2].sum() / singular.sum(), rel=1e-3)
    middles = np.array([places[kinds == kind].mean(axis=0) for kind in range(3)])
    nearest = np.linalg.norm(places[:, None] - middles[None], axis=2).argmin(axis=1)
    assert (nearest == kinds).all()


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.ones((3, 4)), np.eye(2)])
def test_few_or_equal_vectors_have_places_too(vectors: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    places, kept_variance = lay_flat(vectors.astype(np.float32))
    assert places.shape == (len(vectors), 2)
    assert ((places >= 0) & (places <= MAP_SIDE)).all()
    assert 0 <= kept_variance <= 1.000001


def test_an_area_holds_its_edges() -> None:
    places = np.array([[10, 20], [11, 20], [30, 40], [31, 40], [30, 41]], np.int16)
    question_map = QuestionMap(np.arange(5, dtype=np.int32), places, 5, 1.0)
    assert question_map.within(MapArea(10, 20, 30, 40)).tolist() == [True, True, True, False, False]


@pytest.mark.parametrize("area", ["1,2,3", "1,2,3,x", "0,0,0,1001", "-1,0,0,0", "", "1,2,3,4,5"])
def test_what_is_no_part_of_the_map_is_refused(area: str) -> None:
    with pytest.raises(InputError, match="is no part of the map"):
        RowQuery.read(urlencode({"map": area}))


def test_of_very_many_questions_a_fair_share_is_drawn(mapped: WorkspaceFolder) -> None:
    index, view = read(mapped)
    every = MapReader(view, VECTORS, index).read()
    few = MapReader(view, VECTORS, index, max_points=12).read()
    assert every is not None
    assert few is not None
    assert len(every.tasks) == every.measured == few.measured == len(index.of_tasks.ids)
    assert 0 < len(few.tasks) < len(every.tasks)
    assert few.tasks.tolist() == list(range(len(few.tasks)))  # those with the first ids


def test_a_part_of_the_map_is_a_filter_among_others(mapped: WorkspaceFolder) -> None:
    index, view = read(mapped)
    reader = MapReader(view, VECTORS, index)
    question_map, selection = reader.read(), RowSelection(index, reader)
    assert question_map is not None
    half = MapArea(0, 0, MAP_SIDE // 2, MAP_SIDE)
    tasks = {int(task) for task, (right, _) in zip(question_map.tasks, question_map.places, strict=True) if right <= half.right}
    rows = [row for row in range(len(index)) if int(index.tasks[row]) in tasks]
    assert 0 < len(rows) < len(index)
    query = RowQuery.read(f"map={','.join(map(str, half))}")
    assert selection.page(query, 0).total == len(rows)
    for column in ("kind", "state"):
        counted = {name.name: name.rows for name in selection.counts(query, column).names}
        assert counted == Counter(index.facets[column].name(row) for row in rows)
    # the map itself shows what all other filters leave, so that one can choose another part of it
    kind = index.facets["kind"].names[-1]
    of_kind = {int(index.tasks[row]) for row in range(len(index)) if index.facets["kind"].name(row) == kind}
    points = selection.map_points(question_map, RowQuery.read(urlencode({"map": "0,0,1,1", "kind": kind})), "kind")
    assert points.names == ((kind, len(of_kind)),)
    assert {int(task) for task in question_map.tasks[points.codes >= 0]} == of_kind
    assert sum(region.questions for region in points.regions) == len(of_kind)
    assert not points.further_regions


def test_what_is_taken_down_is_not_on_the_map(mapped: WorkspaceFolder) -> None:
    index, view = read(mapped)
    reader = MapReader(view, VECTORS, index)
    question_map, selection = reader.read(), RowSelection(index, reader)
    assert question_map is not None
    forgotten = index.video(0)
    left = [task for task in question_map.tasks.tolist() if index.video_ids[index.of_tasks.videos[task]].tobytes() != forgotten]
    selection.hide(frozenset({forgotten}))
    points = selection.map_points(question_map, RowQuery(), "kind")
    assert 0 < len(left) < len(question_map.tasks)
    assert len(points.places) == len(points.codes) == len(left)


def test_the_server_says_what_the_map_holds(server: Serving) -> None:
    answer = said(server, "/map?by=kind")
    assert len(answer["places"]) == len(answer["codes"]) == answer["measured"]
    assert sum(name["questions"] for name in answer["names"]) + answer["others"] == answer["measured"]
    region = answer["regions"][0]
    listed = said(server, "/rows?map=" + ",".join(map(str, region["area"])))
    left, low, right, high = region["area"]
    assert region["questions"] == sum(left <= x <= right and low <= y <= high for x, y in answer["places"])
    assert len({row["task"] for row in listed["rows"]}) == region["questions"] or listed["pages"] > 1
    assert server.ask("/map?by=nothing")[0] == 400
    assert server.ask("/rows?map=1,2")[0] == 400


def chosen_area(page: Page) -> list[int]:
    return [int(number) for number in page.evaluate("new URLSearchParams(location.search).get('map')").split(",")]


@pytest.mark.slow
def test_a_part_is_chosen_by_keys_by_mouse_and_by_words(browser: Browser, server: Serving, shots: Path) -> None:
    with opened(browser, server, WIDE) as page:
        total, press = int(page.inner_text("#shown")), page.keyboard.press
        press("p")
        page.wait_for_selector("#map-canvas:focus")
        press("ArrowRight")
        for _ in range(20):
            press("+")
        until(page, "document.querySelector('#map-status').textContent.includes('in the box')")
        page.screenshot(path=shots / "browse-map.png")
        press("Enter")
        page.wait_for_selector("#map", state="hidden")
        area = chosen_area(page)
        by_keys = said(server, "/rows?map=" + ",".join(map(str, area)))["total"]
        assert 0 < by_keys < total
        shown(page, by_keys)
        assert page.inner_text(".chip").startswith("map")
        page.go_back()
        shown(page, total)

        press("p")  # with the mouse: a box from corner to corner, then a click on a point
        page.wait_for_selector("#map-canvas:focus")
        box = page.locator("#map-canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 5, box["y"] + 5)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 5, box["y"] + box["height"] - 5, steps=4)
        page.mouse.up()
        page.wait_for_selector("#map", state="hidden")
        shown(page, total)
        assert chosen_area(page) == [0, 0, MAP_SIDE, MAP_SIDE]
        right, up = said(server, "/map")["places"][0]
        press("p")
        page.wait_for_selector("#map-canvas:focus")
        side = box["width"] - 16
        page.mouse.click(box["x"] + 8 + side * right / MAP_SIDE, box["y"] + 8 + side * (1 - up / MAP_SIDE))
        page.wait_for_selector("#map", state="hidden")
        left, low, right_edge, high = chosen_area(page)
        assert left <= right <= right_edge
        assert low <= up <= high

        press("p")  # and by words: the list of parts is buttons
        page.wait_for_selector("#map-regions button")
        region = page.locator("#map-regions button").first
        words = region.inner_text()
        region.focus()
        press("Enter")
        page.wait_for_selector("#map", state="hidden")
        listed = said(server, "/rows?map=" + ",".join(map(str, chosen_area(page))))
        shown(page, listed["total"])
        assert words.startswith(f"{said(server, '/map')['regions'][0]['questions']} questions")
        press("a")
        shown(page, total)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [500, WIDE])
def test_it_can_be_read_everywhere_and_runs_nothing(
    browser: Browser, server: Serving, shots: Path, width: int, scheme: str
) -> None:
    with opened(browser, server, width, scheme) as page:
        page.locator("#open-map").click()
        page.wait_for_selector("#map-regions button")
        page.select_option("#map-by", "source")
        until(page, "document.querySelector('#map-names').textContent.includes('onclick')")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OUTSIDE.replace(".scroll, svg", ".scroll, .columns, svg")) == []
        assert page.evaluate(CONTRAST) == []
        assert page.locator(ALIVE).count() == 0
        drawn = "document.querySelector('#map-canvas').getContext('2d').getImageData(0, 0, 400, 400).data.some((part) => part)"
        assert page.evaluate(drawn)
        page.screenshot(path=shots / f"browse-map-{width}-{scheme}.png")


@pytest.mark.slow
def test_without_vectors_the_page_says_how_to_get_a_map(browser: Browser, workspace: WorkspaceFolder) -> None:
    with browsing(workspace) as server, opened(browser, server, WIDE) as page:
        assert said(server, "/map") == {"measured": 0}
        status, text = server.ask("/rows?map=0,0,9,9")
        assert (status, b"[stages.embed]" in text) == (400, True)
        page.keyboard.press("p")
        page.wait_for_selector("#no-map:not([hidden])")
        assert "pip install 'dmforge[embed]'" in page.inner_text("#no-map")
        assert page.locator("#map-canvas").is_hidden()
