"""The page in a real browser: what a person does there, and what it does with hostile titles."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from embedded import HOSTILE, hostile

pytest.importorskip("playwright", reason="needs playwright")
pytest.importorskip("uvicorn", reason="needs the extra [web]")
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from movie_embed import Recommender
from movie_embed.embeddings.layout import save_layout
from movie_embed.web.app import create_app
from movie_embed.web.map import map_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
SHOWN = HOSTILE.removesuffix(" (1999)")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose titles are hostile, with its map, and the map as a file."""
    run = tmp_path_factory.mktemp("page") / "run"
    hostile().save(run)
    points = save_layout(run, hostile(), seed=0)
    (run / "map.html").write_text(map_page(hostile(), points), "utf-8")
    return run


@pytest.fixture(scope="module")
def address(run: Path) -> Iterator[str]:
    """Where the page is served."""
    app = create_app(Recommender.load(run), run)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A tab in which nothing may go wrong."""
    page, wrong = browser.new_page(), []
    page.set_default_timeout(10_000)
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    yield page
    page.close()
    assert not wrong


def titles(page: Any) -> list[str]:
    return page.locator("#list .title").all_inner_texts()


def test_search_rate_and_the_list_follows(page: Any, address: str) -> None:
    page.goto(address)
    expect(page.locator("#heading")).to_have_text("Popular and well liked")
    box = page.get_by_role("combobox", name="Search a movie")
    box.fill("alie")
    expect(page.locator("#found li")).to_have_count(2)
    box.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") == "found-1"
    box.press("Enter")
    expect(page.locator("#heading")).to_have_text("Like Alien (1979)")
    expect(page.locator("#list .movie")).to_have_count(21)
    page.locator("#list .movie").first.get_by_role("button", name="4 of 5 stars").press("Enter")
    expect(page.locator("#count")).to_have_text("1")
    page.get_by_role("button", name="Back to yours").click()
    expect(page.locator("#heading")).to_have_text("For you")
    before = titles(page)
    page.locator("#list .movie").first.get_by_role("button", name="1 of 5 stars").press("Enter")
    expect(page.locator("#count")).to_have_text("2")
    expect(page.locator("#list .title").first).not_to_have_text(before[0])
    expect(page.locator("#list .why").first).to_contain_text("because of")


def test_the_address_holds_the_state_and_back_goes_back(page: Any, address: str) -> None:
    page.goto(f"{address}/?r=20:4&genre=Comedy&from=1960&to=1990&min=100&varied=0.3")
    expect(page.locator("#heading")).to_have_text("For you")
    expect(page.locator("#filtered")).to_have_text("4 set")
    years = [int(facts[:4]) for facts in page.locator("#list .facts").all_inner_texts()]
    assert years
    assert all(1960 <= year <= 1990 for year in years)
    shared = titles(page)
    page.locator("#filters summary").click()
    page.get_by_role("button", name="Drama").click()
    expect(page).to_have_url(re.compile("genre=Drama"))
    page.get_by_role("button", name="No filters").click()
    expect(page.locator("#filtered")).to_have_text("")
    page.go_back()
    page.go_back()
    expect(page.locator("#filtered")).to_have_text("4 set")
    expect(page.locator("#list .title").first).to_have_text(shared[0])
    page.goto(
        f"{address}/?r=20:99,%25:3,x&genre=%3Cb%3E&from=x&min=-3&order=no"
    )  # no state of ours
    expect(page.locator("#heading")).to_have_text("Popular and well liked")
    assert page.locator("#failure").is_hidden()


def test_a_movie_of_the_map_is_picked_and_its_neighbours_shown(page: Any, address: str) -> None:
    page.goto(address)
    expect(page.locator("#list .movie")).to_have_count(20)
    x, y = page.evaluate("movieMap.toScreen(movieMap.row.get('500'))")
    page.locator("#map").click(position={"x": x, "y": y})
    expect(page.locator("#heading")).to_contain_text("Like Movie, The 500")
    assert page.evaluate("movieMap.marks.near.length") == 20
    page.evaluate("movieMap.flight = null")
    before = page.evaluate("movieMap.view.zoom")
    page.get_by_role("button", name="Zoom in").click()
    page.locator("#map").press("ArrowLeft")
    assert page.evaluate("movieMap.view.zoom") > before


def test_an_export_is_read_and_the_list_saved(page: Any, address: str) -> None:
    page.goto(address)
    content = b"Name,Year,Rating\nAlien,1979,4\nNowhere <b>,1990,3\n"
    given = {"name": "ratings.csv", "mimeType": "text/csv", "buffer": content}
    expect(page.locator("#list .movie")).to_have_count(20)
    page.set_input_files("#file", given)
    expect(page.locator("#notes")).to_contain_text("1 ratings read")
    expect(page.locator("#notes")).to_contain_text("Nowhere <b>")
    expect(page.locator("#rated .title")).to_have_text(["Alien"])
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    text = Path(saved.value.path()).read_text()
    assert text == "movie_id,title,year,rating\n20,Alien,1979,4\n"
    with page.expect_download() as saved:
        page.get_by_role("button", name="List as CSV").click()
    assert Path(saved.value.path()).read_text().count("\n") == 21


def test_markup_in_a_title_is_text(page: Any, address: str, run: Path) -> None:
    page.goto(f"{address}/?like=10&r=10:5")
    expect(page.locator("#list .title").first).to_have_text(SHOWN)
    page.get_by_role("combobox").fill("img src")
    expect(page.locator("#found li")).to_contain_text(SHOWN)
    assert page.locator("main img").count() == 0
    page.goto((run / "map.html").as_uri())  # without a server
    assert page.evaluate("movieMap.titles[0]") == SHOWN
    page.get_by_label("Find a movie").fill("aliens")
    assert page.evaluate("movieMap.marks.focus") == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(page: Any, address: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{address}/?r=20:4,30:2")
    expect(page.locator("#heading")).to_have_text("For you")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    for summary in page.locator("summary").all():
        summary.click()
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    told = [(each["id"], [n["html"][:120] for n in each["nodes"][:3]]) for each in serious]
    assert not told


def test_the_description_of_the_api_needs_no_network(page: Any, address: str) -> None:
    page.goto(f"{address}/docs")
    expect(page.get_by_text("/api/similar").first).to_be_visible()
