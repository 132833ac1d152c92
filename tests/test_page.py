"""The page in a real browser: what a person does there, and what it does with hostile titles."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from embedded import HOSTILE, MOVIES, hostile

pytest.importorskip("playwright", reason="needs playwright")
pytest.importorskip("uvicorn", reason="needs the extra [web]")
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from movie_embed import Recommender
from movie_embed.config import ServeConfig
from movie_embed.data.movies import MovieTable
from movie_embed.embeddings.ease import Ease
from movie_embed.embeddings.layout import save_layout
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.web.app import create_app
from movie_embed.web.map import map_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
SHOWN = HOSTILE.removesuffix(" (1999)")
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def made() -> SavedEmbeddings:
    """Movies with hostile titles, ids on other sites, a second head, and more and fewer ratings."""
    embeddings, rng = hostile(), np.random.default_rng(0)
    movies, size = embeddings.movies, len(embeddings.movies)
    pairs = np.triu(rng.standard_normal((MOVIES, MOVIES)), 1)
    ease = Ease(
        np.arange(MOVIES, dtype=np.int32),
        (0.05 * (pairs + pairs.T)).astype(np.float16),
        np.full(MOVIES, 0.1, np.float32),
        np.linspace(0.5, 0, size).astype(np.float32),
    )
    counts = np.append(rng.permutation(MOVIES) * 10 + 100, movies.rating_counts[MOVIES:])
    links = np.stack([np.arange(size) + 1, np.arange(size) + 500], axis=1)
    table = dataclasses.replace(movies, links=links, rating_counts=counts)
    return dataclasses.replace(embeddings, ease=ease, movies=table)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its map, and the map as a file."""
    run = tmp_path_factory.mktemp("page") / "run"
    made().save(run)
    points = save_layout(run, made(), seed=0)
    (run / "map.html").write_text(map_page(made(), points), "utf-8")
    return run


def renumbered() -> SavedEmbeddings:
    """The same movies under other ids, without the one that is movie 20, on a scale to 10."""
    made = hostile()
    table: MovieTable = made.movies
    ids = np.roll(table.ids, 1)
    titles = ["Nothing (1901)" if title == "Alien (1979)" else title for title in table.titles]
    other = dataclasses.replace(table, ids=ids, titles=titles)
    return dataclasses.replace(made, movies=other, rating_range=(1.0, 10.0))


@pytest.fixture(scope="module")
def serve() -> Iterator[Any]:
    """A function that serves an application, and returns its address."""
    running = []

    def start(app: Any, **settings: Any) -> str:
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", **settings))
        thread = Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        while not server.started:
            thread.join(0.02)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield start
    for server, _ in running:
        server.should_exit = True
    for _, thread in running:
        thread.join()


@pytest.fixture(scope="module")
def address(run: Path, serve: Any) -> str:
    """Where the page is served."""
    return serve(create_app(Recommender.load(run)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A function that opens a tab in which nothing may go wrong, in a context of its own."""
    contexts, wrong = [], []

    def opened(context: Any = None, **settings: Any) -> Any:
        if context is None:
            contexts.append(browser.new_context(**settings))
        page = (context or contexts[-1]).new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture
def page(tab: Any) -> Any:
    return tab()


def titles(page: Any) -> list[str]:
    return page.locator("#list .title").all_inner_texts()


def stars(page: Any, row: int = 0, of: str = "#list") -> Any:
    return page.locator(f"{of} .movie").nth(row).get_by_role("slider")


def rated(page: Any, count: int) -> None:
    expect(page.locator("#count")).to_have_text(str(count))
    settled(page)


def settled(page: Any) -> None:
    """Wait until the list has followed what was done."""
    page.wait_for_timeout(200)  # the steps of a slider are one question
    expect(page.locator("#list")).to_have_attribute("aria-busy", "false")


def mapped(page: Any) -> None:
    expect(page.locator("#map-tools")).to_be_visible()


def focused(page: Any) -> str:
    return page.evaluate(
        "[document.activeElement.closest('.movie')?.dataset.id, document.activeElement.className]"
        ".join(' ')"
    )


# --- the address, and ratings that are kept


def test_search_rate_and_the_list_follows(page: Any, address: str) -> None:
    page.goto(address)
    expect(page.locator("#heading")).to_have_text("Popular and well liked")
    box = page.get_by_role("combobox", name="Search a movie")
    box.fill("alie")
    expect(page.locator("#found li")).to_have_count(2)
    second = page.locator("#found li").nth(1).inner_text().partition("1")[0].strip()
    box.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") == "found-1"
    box.press("Enter")
    expect(page.locator("#heading")).to_contain_text(f"Like {second} (19")
    expect(page.locator("#list .movie")).to_have_count(20)
    stars(page, of="#self").press("4")
    rated(page, 1)
    page.get_by_role("button", name="Back to yours").click()
    expect(page.locator("#heading")).to_have_text("For you")
    settled(page)
    before = titles(page)
    stars(page).press("1")
    rated(page, 2)
    assert set(titles(page)) != set(before)
    expect(page.locator("#list .why").nth(1)).to_contain_text("because of")


def test_the_address_holds_the_state_and_back_goes_back(page: Any, address: str) -> None:
    page.goto(f"{address}/#r=20:4&genre=Comedy&from=1960&to=1990&min=100&varied=0.3")
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
    rated(page, 1)


def test_a_link_with_what_is_unknown_shows_the_rest_and_says_so(page: Any, address: str) -> None:
    page.goto(f"{address}/#r=20:4,11:3,30:99&like=nope&genre=%3Cb%3E&from=x&min=-3&order=no&at=1")
    expect(page.locator("#heading")).to_have_text("For you")
    rated(page, 1)
    for told in ("rating 30:99", "genre=<b>", "from=x", "min=-3", "2 movies", "11", "nope"):
        expect(page.locator("#told")).to_contain_text(told)
    page.goto("about:blank")
    page.goto(f"{address}/?r=30:2&like=20")  # as addresses were before
    expect(page.locator("#heading")).to_have_text("Like Alien (1979)")
    rated(page, 1)


def test_ratings_are_kept_and_a_link_does_not_take_their_place(tab: Any, address: str) -> None:
    page = tab()
    page.goto(address)
    stars(page).press("5")
    rated(page, 1)
    mine = page.locator("#list .title").first.inner_text()
    page.goto("about:blank")
    page.goto(address)  # no state in the address
    rated(page, 1)
    expect(page.locator("#borrowed")).to_be_hidden()
    page.reload()
    rated(page, 1)
    expect(page.locator("#borrowed")).to_be_hidden()
    page.goto("about:blank")
    page.goto(f"{address}/#r=20:4,30:5")
    rated(page, 2)
    expect(page.locator("#borrowed")).to_be_visible()
    stars(page).press("3")  # changes the link's, not what is kept
    rated(page, 3)
    page.reload()
    rated(page, 3)
    page.get_by_role("button", name="Back to mine").click()
    rated(page, 1)
    page.locator("#mine summary").click()
    expect(page.locator("#rated .title")).to_have_text([mine])
    page.goto("about:blank")
    page.goto(f"{address}/#r=20:4")
    page.get_by_role("button", name="Make them mine").click()
    expect(page.locator("#borrowed")).to_be_hidden()
    other = tab(page.context)
    other.goto(address)
    rated(other, 1)
    other.locator("#mine summary").click()
    expect(other.locator("#rated .title")).to_have_text(["Alien"])
    stars(other, of="#rated").press("Delete")
    rated(other, 0)
    rated(page, 0)  # the other tab follows


def test_another_run_finds_the_ratings_by_title(tab: Any, address: str, serve: Any) -> None:
    page = tab()
    page.goto(f"{address}/#r=20:4,30:5")
    page.get_by_role("button", name="Make them mine").click()
    kept = page.evaluate("localStorage.movie_embed")
    second = serve(create_app(Recommender(renumbered())))
    other = tab()
    other.add_init_script(f"localStorage.movie_embed ??= {json.dumps(kept)}")
    other.goto(second)
    rated(other, 1)
    expect(other.locator("#told")).to_contain_text("1 movie that you rated or marked is not in")
    other.locator("#mine summary").click()
    expect(other.locator("#rated .title")).to_have_text(["Aliens"])
    assert stars(other, of="#rated").get_attribute("aria-valuenow") == "10"
    other.get_by_role("button", name="Remove all").click()
    other.get_by_role("button", name="Remove them").click()
    rated(other, 0)
    people = json.loads(other.evaluate("localStorage.movie_embed"))["people"]
    assert [entry[1] for entry in people[0]] == ["Alien"]  # kept for the run that has it


def test_what_was_done_is_undone_and_remove_all_asks(page: Any, address: str) -> None:
    page.goto(address)
    for press in ("ArrowRight", "ArrowRight", "ArrowRight"):
        stars(page).press(press)
    stars(page, 1).press("5")
    rated(page, 2)
    page.locator("#mine summary").click()
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#question")).to_have_text("Remove 2 ratings?")
    page.get_by_role("button", name="Keep them").click()
    rated(page, 2)
    page.get_by_role("button", name="Remove all").click()
    page.get_by_role("button", name="Remove them").click()
    rated(page, 0)
    undo = page.locator("#undo")
    undo.click()
    rated(page, 2)
    undo.click()
    rated(page, 1)
    assert stars(page, of="#rated").get_attribute("aria-valuenow") == "1.5"
    undo.click()  # the steps of a slider are one
    rated(page, 0)
    expect(undo).to_be_hidden()


# --- lists, focus and stars


def test_focus_stays_and_a_rated_movie_too_until_the_next_question(page: Any, address: str) -> None:
    page.goto(f"{address}/#r=20:4")
    rated(page, 1)
    before = titles(page)
    page.evaluate("for (const row of document.querySelectorAll('#list .movie')) row.mine = true")
    top = stars(page, 4).bounding_box()["y"]
    stars(page, 4).focus()
    here = focused(page)
    page.keyboard.press("3")
    rated(page, 2)
    assert focused(page) == here
    assert titles(page)[4] == before[4]
    same = page.evaluate(
        "[...document.querySelectorAll('#list .movie')].filter(r => r.mine).length"
    )
    assert same == len(set(before) & set(titles(page))) > 3  # rows are the same elements
    assert abs(stars(page, 4).bounding_box()["y"] - top) < 2
    page.locator("#filters summary").click()
    page.get_by_role("button", name="Comedy").click()
    expect(page.locator("#filtered")).to_have_text("1 set")
    settled(page)
    assert before[4] not in titles(page)


def test_a_row_in_use_stays_in_its_place_while_others_grow(page: Any, address: str) -> None:
    page.goto(address)
    settled(page)
    slider = stars(page, 6)
    slider.focus()
    top = slider.bounding_box()["y"]
    assert not page.locator("#list .why").all_inner_texts()[0]
    slider.press("5")
    rated(page, 1)
    assert any(page.locator("#list .why").all_inner_texts()[:6])  # lines above that were not there
    assert abs(stars(page, 6).bounding_box()["y"] - top) < 2


def test_stars_are_a_slider_with_half_steps(page: Any, address: str) -> None:
    page.goto(address)
    slider = stars(page)
    assert slider.get_attribute("aria-valuetext") == "not rated"
    for key, value in (
        ("ArrowRight", "0.5"), ("ArrowUp", "1"), ("4", "4"), ("ArrowLeft", "3.5"), ("End", "5"),
        ("ArrowRight", "5"), ("Home", "0.5"), ("PageUp", "1.5"), ("0", "0"),
    ):  # fmt: skip
        slider.press(key)
        expect(slider).to_have_attribute("aria-valuenow", value)
    box = slider.bounding_box()
    assert box["height"] >= 24
    assert box["width"] / 5 >= 24
    slider.click(position={"x": 3.2 * box["width"] / 5, "y": 12})
    expect(slider).to_have_attribute("aria-valuetext", "3.5 of 5 stars")
    slider.click(position={"x": 3.2 * box["width"] / 5, "y": 12})  # the same again takes it back
    expect(slider).to_have_attribute("aria-valuetext", "not rated")
    small = page.evaluate(
        "[...document.querySelectorAll('.side :is(button, .stars)')].map((e) => [e.className ||"
        " e.id || e.dataset.mark, e.getBoundingClientRect()]).filter(([, box]) => box.width &&"
        " Math.min(box.width, box.height) < 24).map(([name]) => name)"
    )
    assert set(small) <= {"link"}  # in a sentence


def test_hover_fills_the_stars_up_to_the_pointer(page: Any, address: str) -> None:
    page.goto(address)
    expect(page.locator("#list .movie")).to_have_count(20)
    slider = stars(page)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    empty = slider.screenshot()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 12)
    clip = "getComputedStyle(document.querySelector('#list .lit')).clipPath"
    assert page.evaluate(clip) == "inset(0px 30% 0px 0px)"
    assert slider.screenshot() != empty
    page.mouse.move(5, 5)
    assert slider.screenshot() == empty


def test_forced_colours_tell_ratings_apart(page: Any, address: str) -> None:
    page.emulate_media(forced_colors="active")
    page.goto(address)
    pictures = []
    for presses in (["2"], ["4", "ArrowRight"], ["2"]):
        for key in presses:
            stars(page).press(key)
        settled(page)
        picture = Image.open(io.BytesIO(stars(page).screenshot())).convert("L")
        pictures.append(np.asarray(picture) < 128)
    assert (pictures[0] == pictures[2]).all()
    assert pictures[1].sum() > 1.3 * pictures[0].sum()  # filled, beside outlines


def test_a_followed_title_scrolls_to_its_heading(tab: Any, address: str) -> None:
    for page in (tab(viewport={"width": 1000, "height": 600}), tab(**PHONE)):
        page.goto(address)
        row = page.locator("#list .movie").nth(15)
        title = row.locator(".title").inner_text()
        row.locator(".title").click()
        expect(page.locator("#heading")).to_contain_text(f"Like {title}")
        expect(page.locator("#heading")).to_be_in_viewport()
        assert page.evaluate("document.activeElement.id") == "heading"


def test_busy_and_nothing_found_are_told(page: Any, address: str) -> None:
    page.goto(f"{address}/#r=20:4")
    rated(page, 1)
    held = []
    page.route("**/api/recommendations", lambda route: held.append(route))
    page.locator("#filters summary").click()
    page.get_by_role("button", name="Comedy").click()
    expect(page.locator("#busy")).to_be_visible()
    expect(page.locator("#list")).to_have_attribute("aria-busy", "true")
    held.pop().continue_()
    expect(page.locator("#busy")).to_be_hidden()
    page.unroute("**/api/recommendations")
    page.get_by_label("to year").fill("1900")
    page.get_by_label("to year").press("Enter")
    expect(page.locator("#about")).to_have_text("Nothing found: loosen the filters.")
    expect(page.locator("#status")).to_have_text("For you: nothing found")
    page.get_by_role("combobox", name="Search a movie").fill("qqqqqqqq")
    expect(page.locator("#found")).to_have_text("No movie found")


def test_many_ratings_come_in_one_request_at_a_reload_too(page: Any, address: str) -> None:
    asked = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(address)))
    rest = range(40, 10 * MOVIES + 1, 10)
    page.goto(f"{address}/#r={','.join(f'{movie}:{movie % 9 / 2 + 0.5}' for movie in rest)}")
    rated(page, len(rest))
    page.get_by_role("button", name="Make them mine").click()
    settled(page)
    asked.clear()
    page.reload()
    rated(page, len(rest))
    mapped(page)
    api = [url for url in asked if "/api/" in url]
    assert sorted(api) == ["/api/health", "/api/map", "/api/movies", "/api/recommendations"]
    assert api.index("/api/map") > api.index("/api/recommendations")  # the list does not wait


def test_few_stops_for_the_tab_key(page: Any, address: str) -> None:
    page.goto(address)
    expect(page.locator("#list .movie")).to_have_count(20)
    stops = "[...document.querySelectorAll('#list *')].filter((e) => e.tabIndex >= 0).length"
    assert page.evaluate(stops) == 3 * 20
    marks = page.locator("#list .marks").first.get_by_role("button")
    marks.first.focus()
    page.keyboard.press("ArrowRight")
    expect(marks.nth(1)).to_be_focused()
    assert page.evaluate(stops) == 3 * 20


# --- the map


def test_a_movie_of_the_map_is_picked_and_its_neighbours_shown(page: Any, address: str) -> None:
    page.goto(address)
    mapped(page)
    x, y = page.evaluate("movieMap.toScreen(movieMap.row.get('500'))")
    page.locator("#map").click(position={"x": x, "y": y})
    expect(page.locator("#heading")).to_contain_text("Like Movie, The 500")
    assert page.evaluate("movieMap.marks.near.length") == 20
    page.evaluate("movieMap.flight = null")
    before = page.evaluate("movieMap.view.zoom")
    page.get_by_role("button", name="Zoom in").click()
    page.locator("#map").press("ArrowLeft")
    assert page.evaluate("movieMap.view.zoom") > before


def test_the_map_names_its_parts_and_has_a_legend_on_a_phone_too(tab: Any, address: str) -> None:
    page = tab(**PHONE)
    page.goto(address)
    mapped(page)
    expect(page.locator("#legend span")).to_have_text(["Comedy", "Drama"])
    expect(page.locator("#legend span").last).to_be_visible()
    shapes = page.evaluate("[...document.querySelectorAll('#legend path')].map((p) => p.outerHTML)")
    assert len(shapes) == 2
    far, near = page.evaluate(
        "(() => { const at = { x: 0, y: 0 }, pen = movieMap.above.getContext('2d');"
        " movieMap.columns.regions = [{ ...at, name: 'Wide', level: 0 },"
        " { ...at, name: 'Near', level: 1 }]; let drawn = [];"
        " pen.fillText = (text) => drawn.push(text); movieMap.paint(); const far = drawn;"
        " drawn = []; movieMap.zoomBy(2.5); movieMap.paint(); return [far, drawn]; })()"
    )
    names = {"Wide", "Near"}
    assert (names & set(far), names & set(near)) == ({"Wide"}, {"Near"})


def test_the_address_holds_the_maps_view(page: Any, address: str) -> None:
    page.goto(f"{address}/#at=0.2,-0.1,3")
    mapped(page)
    assert page.evaluate("movieMap.view") == {"x": 0.2, "y": -0.1, "zoom": 3}
    page.get_by_role("button", name="Zoom in").click()
    expect(page).to_have_url(re.compile(r"at=0\.2,-0\.1,4\.5"))
    page.reload()
    mapped(page)
    assert page.evaluate("movieMap.view.zoom") == 4.5
    page.get_by_role("button", name="Whole map").click()
    expect(page).not_to_have_url(re.compile("at="))
    page.wait_for_timeout(800)
    assert page.evaluate("movieMap.view") == pytest.approx({"x": 0, "y": 0, "zoom": 0.9})


def swipe(page: Any, up: int) -> None:
    """Swipe over the middle of the map."""
    box = page.locator("#map").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    send = page.context.new_cdp_session(page).send
    for part in range(9):
        at = {"x": x, "y": y - up * part / 8}
        kind = "touchMove" if part else "touchStart"
        send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [at]})
        page.wait_for_timeout(16)
    send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(300)


def test_a_swipe_scrolls_the_page_unless_the_map_was_tapped(tab: Any, address: str) -> None:
    page = tab(**PHONE)
    page.goto(address)
    mapped(page)
    swipe(page, 120)
    assert page.evaluate("scrollY") > 50
    assert page.evaluate("movieMap.view.y") == 0
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("#map").bounding_box()
    page.touchscreen.tap(box["x"] + 3, box["y"] + 3)  # where no movie is
    swipe(page, 120)
    assert page.evaluate("scrollY") == 0
    assert page.evaluate("movieMap.view.y") < -0.1
    page.locator("#about").tap()
    swipe(page, 120)
    assert page.evaluate("scrollY") > 50


def test_a_list_may_be_of_a_part_of_the_map(page: Any, address: str) -> None:
    page.goto(f"{address}/#r=20:4&at=0.3,0.3,3")
    mapped(page)
    settled(page)
    whole = titles(page)
    page.get_by_role("button", name="Only here").click()
    expect(page).to_have_url(re.compile("region="))
    settled(page)

    def inside() -> list[bool]:
        return page.evaluate(
            "[...document.querySelectorAll('#list .movie')].map((row) => movieMap.isWithin("
            "movieMap.row.get(row.dataset.id), movieMap.marks.region))"
        )

    assert titles(page) != whole
    assert len(inside()) >= 3
    assert all(inside())
    part = titles(page)
    page.reload()
    mapped(page)
    settled(page)
    assert titles(page) == part
    page.get_by_role("button", name="Only a part of the map").click()
    settled(page)
    assert titles(page) == whole


# --- what film lovers come back for


def test_movies_are_hidden_and_put_on_the_watchlist(page: Any, address: str) -> None:
    page.goto(f"{address}/#r=20:4")
    page.get_by_role("button", name="Make them mine").click()
    settled(page)
    before = titles(page)
    row = page.locator("#list .movie").nth(2)
    row.get_by_role("button", name="Seen").click()
    settled(page)
    assert before[2] not in titles(page)
    assert titles(page)[2] == before[3]
    assert focused(page).startswith(page.locator("#list .movie").nth(2).get_attribute("data-id"))
    page.locator("#list .movie").nth(0).get_by_role("button", name="Not for me").click()
    watch = page.locator("#list .movie").nth(0).get_by_role("button", name="Watchlist")
    wanted = page.locator("#list .title").nth(0).inner_text()
    watch.click()
    expect(watch).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#hidden-count")).to_have_text("2")
    page.reload()
    settled(page)
    assert not {before[0], before[2]} & set(titles(page))
    assert len(titles(page)) == 20  # others have come in their places
    expect(page.locator("#hidden-count")).to_have_text("2")
    page.locator("summary", has_text="Watchlist").click()
    expect(page.locator("#watched .title")).to_have_text([wanted])
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save for Letterboxd", exact=True).click()
    header, line = Path(saved.value.path()).read_text("utf-8-sig").splitlines()
    assert header == "movie_id,imdbID,tmdbID,Title,Year"  # of these Letterboxd reads the last four
    assert re.fullmatch(rf'\d+,tt\d{{7}},\d+,"?{wanted}"?,\d{{4}}', line)
    stars(page, of="#watched").press("4")  # who rates a movie has seen it
    expect(page.locator("#watch-count")).to_have_text("0")
    page.locator("#undo").click()
    expect(page.locator("#watch-count")).to_have_text("1")


def test_a_start_for_those_who_rate_nothing_yet(page: Any, address: str) -> None:
    page.goto(address)
    start = page.locator("#starters .movie")
    expect(start).to_have_count(12)
    first = page.locator("#starters .title").all_inner_texts()
    assert len(set(first)) == 12
    for row, key in ((0, "5"), (3, "2"), (7, "4")):
        stars(page, row, "#starters").press(key)
    rated(page, 3)
    assert page.locator("#starters .title").all_inner_texts() == first  # they stay
    expect(page.locator("#heading")).to_have_text("For you")
    page.get_by_role("button", name="Done").click()
    expect(page.locator("#start")).to_be_hidden()
    page.reload()
    rated(page, 3)
    expect(page.locator("#start")).to_be_hidden()


def test_a_list_for_two(page: Any, address: str) -> None:
    page.goto(f"{address}/#r=20:5,30:4")
    page.get_by_role("button", name="Make them mine").click()
    rated(page, 2)
    alone = titles(page)
    page.locator("#mine summary").click()
    page.get_by_role("button", name="Add a second person").click()
    given = {"name": "hers.csv", "mimeType": "text/csv", "buffer": b"movieId,rating\n50,5\n60,1\n"}
    page.set_input_files("#file", given)
    page.get_by_role("button", name="Add to my ratings").click()
    rated(page, 2)
    expect(page.locator("#heading")).to_have_text("For you two")
    assert titles(page) != alone
    with page.expect_request("**/api/recommendations") as asked:
        page.get_by_label("Choose movies").select_option("least")
    body = asked.value.post_data_json
    assert (body["ratings"], body["together"]) == (
        [{"20": 5, "30": 4}, {"50": 5, "60": 1}],
        "least",
    )
    expect(page).to_have_url(re.compile("r2=50:5,60:1"))
    page.reload()
    expect(page.locator("#heading")).to_have_text("For you two")
    page.locator("#mine summary").click()
    page.get_by_label("Second person").check()
    assert stars(page, of="#rated").get_attribute("aria-valuenow") == "1"
    page.get_by_role("button", name="Remove the second person").click()
    page.get_by_role("button", name="Remove them").click()
    expect(page.locator("#heading")).to_have_text("For you")
    settled(page)
    assert titles(page) == alone


def test_a_movies_card(page: Any, address: str) -> None:
    page.goto(f"{address}/#r=30:5&like=20")
    card = page.get_by_role("region", name="The movie")
    expect(card).to_contain_text("1979")
    expect(card.get_by_role("img", name=re.compile(r"^Ratings by stars: 0\.5: 0, 2: 1, 5: 0$")))
    expect(card.locator("figcaption")).to_have_text(re.compile(r"ratings, mean 2\.00"))
    why = card.locator("#about-movie .why")
    expect(why).to_have_text(re.compile(r"^For you: \d\.\d.★ predicted"))
    links = {link.inner_text(): link.get_attribute("href") for link in card.locator("a").all()}
    assert links == {
        "IMDb ↗": "https://www.imdb.com/title/tt0000002/",
        "TMDB ↗": "https://www.themoviedb.org/movie/501",
    }


def test_posters_are_those_of_ones_own_address(page: Any, run: Path, serve: Any) -> None:
    asked = []

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(
            content_type="image/svg+xml", body="<svg xmlns='http://www.w3.org/2000/svg'/>"
        )

    page.route("https://posters.example/**", answer)
    config = ServeConfig(poster="https://posters.example/{imdb_id}/{tmdb_id}.svg")
    page.goto(f"{serve(create_app(Recommender.load(run), config))}/#like=20")
    expect(page.locator("#about-movie img")).to_be_visible()
    assert asked == ["https://posters.example/tt0000002/501.svg"]


def test_lists_move_to_less_known_movies(page: Any, address: str) -> None:
    page.goto(f"{address}/#r=20:4&genre=Comedy&order=choice")
    mapped(page)
    counts = "movieMap.marks.recommended.map((row) => movieMap.columns.ratings[row])"
    page.locator("#filters summary").click()
    slider = page.get_by_label("From well known to less known")
    means = []
    for key in ("Home", "End"):
        slider.press(key)
        settled(page)
        means.append(np.mean(page.evaluate(counts)))
    assert means[0] > means[1]
    expect(page).to_have_url(re.compile("order=choice.*|known=-1"))
    expect(page.locator("#filtered")).to_have_text("2 set")
    page.get_by_label("Order").select_option("stars")
    expect(slider).to_be_hidden()  # stars know nothing of it


def test_a_histogram_of_years_filters(page: Any, address: str) -> None:
    page.goto(f"{address}/#r=20:4")
    mapped(page)
    page.locator("#filters summary").click()
    bars = page.locator("#years i")
    expect(bars).to_have_count(13)  # 1950 to 2010
    bars.nth(2).click()
    expect(page.get_by_label("From year")).to_have_value("1960")
    expect(page.get_by_label("to year")).to_have_value("1964")
    settled(page)
    years = {int(facts[:4]) for facts in page.locator("#list .facts").all_inner_texts()}
    assert years
    assert years <= set(range(1960, 1965))
    bars.nth(2).click()  # the same again
    expect(page.get_by_label("From year")).to_have_value("")
    bars.nth(6).drag_to(bars.nth(4))
    expect(page.get_by_label("From year")).to_have_value("1970")
    expect(page.get_by_label("to year")).to_have_value("1984")
    expect(page.locator("#years .in")).to_have_count(3)


# --- files and titles


def test_an_import_is_checked_and_corrected_first(page: Any, address: str) -> None:
    page.goto(f"{address}/#r=50:3")
    page.get_by_role("button", name="Make them mine").click()
    rated(page, 1)
    content = b"Name,Year,Rating\nAlien,1979,4\nAlein,,2\nNothing <b>,1990,4\nAliens,1986,1\n"
    given = {"name": "ratings.csv", "mimeType": "text/csv", "buffer": content}
    page.set_input_files("#file", given)
    page.get_by_role("button", name="Cancel").click()
    rated(page, 1)
    page.set_input_files("#file", given)
    lines = page.locator("#lines tr")
    expect(lines).to_have_count(4)
    expect(page.locator("#check-count")).to_have_text("2 movies found, 2 lines left out.")
    wrong = page.locator("#lines tr", has_text="Nothing <b>")
    expect(wrong).to_contain_text("left out")
    wrong.get_by_role("button", name="Change").click()
    box = page.get_by_role("combobox", name="The movie of line")
    box.fill("movie 500")
    expect(page.locator("#taken li").first).to_contain_text("Movie, The 500")
    box.press("Enter")
    expect(wrong).to_contain_text("chosen by you")
    expect(wrong.get_by_role("slider")).to_have_attribute("aria-valuenow", "4")  # as other fours
    aliens = page.locator("#lines tr", has_text="Aliens")
    aliens.get_by_role("button", name="Change").click()
    page.get_by_role("button", name="Leave out").press("Enter")  # suggestions may lie over it
    expect(aliens).to_contain_text("left out by you")
    page.get_by_role("button", name="Replace my ratings").click()
    expect(page).to_have_url(re.compile("#r=500:4,20:4$"))  # not 30, and no longer 50
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    header, _, line = Path(saved.value.path()).read_text("utf-8-sig").splitlines()
    assert header == "movie_id,imdbID,tmdbID,Title,Year,Rating"
    assert line == "20,tt0000002,501,Alien,1979,4"
    with page.expect_download() as saved:
        page.get_by_role("button", name="List as CSV").click()
    assert Path(saved.value.path()).read_text().count("\n") == 21
    page.locator("#undo").click()
    rated(page, 1)


def test_pasted_titles_are_looked_up_and_corrected(page: Any, address: str) -> None:
    page.goto(address)
    expect(page.locator("#list .movie")).to_have_count(20)

    def paste(text: str) -> None:
        page.get_by_role("button", name="paste titles").click()
        page.get_by_role("textbox", name="Titles, one a line").fill(text)
        page.get_by_role("button", name="Look them up").click()

    paste("Alien (1979)\nNothing at all\nAliens")
    expect(page.locator("#check-count")).to_have_text("2 movies found, 1 line left out.")
    page.locator("#lines tr").first.get_by_role("button", name="Change").click()
    box = page.get_by_role("combobox", name="The movie of line")
    expect(page.locator("#taken")).to_have_text("No movie found")
    box.press("Escape")  # closes nothing but the suggestions
    expect(page.locator("#taken")).to_be_hidden()
    box.fill("movie 500")
    page.locator("#taken li").first.click()
    expect(page.locator("#check-count")).to_have_text("3 movies found.")
    page.get_by_role("button", name="To the watchlist").click()
    expect(page.locator("#watch-count")).to_have_text("3")
    paste("Alien (1979)\nAliens")
    expect(page.locator("#check-count")).to_have_text("2 movies found.")
    page.locator("#rate-all").press("4")
    rated(page, 2)
    expect(page.locator("#watch-count")).to_have_text("1")
    paste("Aliens\nMovie, The 600")
    expect(page.locator("#check-count")).to_have_text("2 movies found.")
    page.get_by_role("button", name="Hide as seen").click()
    expect(page.locator("#hidden-count")).to_have_text("2")


def test_what_a_spreadsheet_would_run_is_harmless(page: Any, address: str) -> None:
    page.goto(address)
    with page.expect_download() as saved:
        page.evaluate(
            "import('./static/files.js').then(({ download }) => download('x.csv', ['a'],"
            " [['=1+1'], ['@x'], ['-a'], ['+a'], [-1], ['a=b']]))"
        )
    assert Path(saved.value.path()).read_text("utf-8") == "\ufeffa\n'=1+1\n'@x\n'-a\n'+a\n-1\na=b\n"


def test_it_works_behind_a_path(page: Any, run: Path, serve: Any) -> None:
    app = create_app(Recommender.load(run), ServeConfig(root_path="/movies"))

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        """Do as a proxy that serves the page at /movies."""
        if scope["type"] == "http":
            assert scope["path"].startswith("/movies/")
            scope = {**scope, "path": scope["path"].removeprefix("/movies")}
        await app(scope, receive, send)

    page.goto(f"{serve(behind)}/movies/#r=20:4&like=30")
    expect(page.locator("#heading")).to_have_text("Like Aliens (1986)")
    mapped(page)
    page.get_by_role("button", name="Back to yours").click()
    expect(page).to_have_url(re.compile("/movies/#r=20:4"))
    page.get_by_role("link", name="API").click()
    expect(page).to_have_url(re.compile("/movies/docs"))


def test_markup_in_a_title_is_text(page: Any, address: str, run: Path) -> None:
    page.goto(f"{address}/#like=10&r=10:5")
    expect(page.locator("#heading")).to_contain_text(SHOWN)
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
    page.goto(f"{address}/#r=20:4,30:2")
    expect(page.locator("#heading")).to_have_text("For you")
    mapped(page)
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
