"""A page in a real browser: Chromium, without a window."""

import re
import shutil
import subprocess
import sys

import pytest
from browser.annotator import EXAMPLES
from PIL import Image

from samkit.media.frames import open_frames

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra browser")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs Chromium: make test-browser says how to get it")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser, annotating):  # closed before the servers
    """A tab of 1280 x 800 in which nothing may go wrong, and nothing may come from elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab, wrong = context.new_page(), []
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda one: wrong.append(one.url) if "//127.0.0.1:" not in one.url else None)
    yield tab
    context.close()
    assert wrong == []


@pytest.fixture
def annotating(tmp_path):
    """Start `samkit annotate`, and give the address of its page; end it."""
    processes = []

    def start(*arguments):
        command = [sys.executable, "-m", "samkit", "annotate", "--no-browser", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/#token=\S+", line)
        assert found, line
        return found[0]

    yield start
    for process in processes:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def photos(tmp_path):
    """coffee.jpg and four frames of coffee.mp4."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "1.jpg").write_bytes((EXAMPLES / "coffee.jpg").read_bytes())
    frames = open_frames(EXAMPLES / "coffee.mp4")
    for i in range(4):
        Image.fromarray(frames.read(9 * i)).save(folder / f"{i + 2}.png")
    frames.close()
    return folder
