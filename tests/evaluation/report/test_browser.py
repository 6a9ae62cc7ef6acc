"""The report in headless Chromium: at a desk and on a phone, light and dark, and on paper."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from matplotlib.figure import Figure
from matplotlib.image import imread
from playwright.sync_api import sync_playwright


def answers(name: str) -> bool:
    """Whether there is such a browser, and no stand-in that asks to install one."""
    path = shutil.which(name)
    return path is not None and subprocess.run([path, "--version"], capture_output=True, timeout=30).returncode == 0


CHROMIUM = next(
    (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome") if answers(name)), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: nothing draws the report")

DESK, PHONE = 1280, 390
BOXES = """() => [...document.images].map(image => {
    const box = image.getBoundingClientRect();
    return [image.alt, image.naturalWidth, box.x + scrollX, box.y + scrollY, box.width, box.height];
})"""
# Axes, their text and grid are near grey; what is drawn is not.
COLOURFUL, DRAWN = 0.2, 20


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, page):
    """Opens the report; whatever is wrong with it, or asked for from outside, fails the test at its end."""
    tabs, wrong = [], []

    def opened(width: int, scheme: str = "light", address: str = page.as_uri()):
        tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url))
        tab.goto(address)
        tabs.append(tab)
        return tab

    yield opened
    for tab in tabs:
        tab.close()
    assert not wrong


def serious(tab) -> list[str]:
    """What axe finds that keeps somebody out."""
    found = Axe().run(tab).response["violations"]
    return [f"{item['id']}: {item['nodes'][0]['html']}" for item in found if item["impact"] in ("serious", "critical")]


def shot(tab, folder) -> np.ndarray:
    """(rows, columns, 3) the whole page, 0 to 1."""
    target = folder / "shot.png"
    tab.screenshot(path=target, full_page=True)
    return imread(target)[..., :3]


def drawn(picture: np.ndarray) -> int:
    """Pixels in colour."""
    return int((np.ptp(picture, axis=2) > COLOURFUL).sum())


def empty_plots(tab, folder) -> list[str]:
    """What the plots should show that show nothing, or lie outside the page."""
    picture, empty = shot(tab, folder), []
    for alt, natural, *box in tab.evaluate(BOXES):
        x, y, across, down = map(round, box)
        inside = natural > 0 and x >= 0 and x + across <= picture.shape[1]
        if not inside or drawn(picture[y : y + down, x : x + across]) <= DRAWN:
            empty.append(alt)
    return empty


def sideways(tab) -> int:
    return tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_the_comparison_of_large_sums_fits_a_desk_without_scrolling(opened):
    tab = opened(DESK)
    tab.evaluate(
        "document.querySelectorAll('#comparison .ci').forEach(e => e.textContent = '12,345,678 to 12,345,678')"
    )
    wide = "[...document.querySelectorAll('#comparison .scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
    assert tab.evaluate(wide) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_everybody_can_read_it_it_fits_and_every_plot_is_drawn(opened, tmp_path, width, scheme):
    tab = opened(width, scheme)
    assert serious(tab) == []
    assert sideways(tab) == 0
    assert len(tab.evaluate(BOXES)) > 12
    assert empty_plots(tab, tmp_path) == []


def test_on_paper_nothing_is_cut_off(opened):
    tab = opened(718)  # A4 less its margins
    tab.emulate_media(media="print")
    assert sideways(tab) == 0


def test_it_weighs_little(page):
    assert page.stat().st_size < 6e6


def test_the_checks_can_fail(opened, tmp_path):
    figure, buffer = Figure(figsize=(4, 2.5)), io.BytesIO()
    figure.add_subplot().set(title="a plot of nothing", xlabel="week")
    figure.savefig(buffer, format="svg")
    image = base64.b64encode(buffer.getvalue()).decode("ascii")
    path = tmp_path / "bad.html"
    path.write_text(
        f'<p style="width: 600px">wide</p><img src="data:image/svg+xml;base64,{image}" alt="nothing"><img src="data:,">',
        encoding="utf-8",
    )
    tab = opened(PHONE, address=path.as_uri())
    assert any(found.startswith("image-alt") for found in serious(tab))
    assert sideways(tab) > 0
    assert empty_plots(tab, tmp_path) == ["nothing", ""]
