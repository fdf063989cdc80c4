"""An annotator, and what they look at."""

import json
import os
from pathlib import Path

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="needs the extra browser").expect
EXAMPLES = Path(__file__).parents[2] / "examples"


class Page:
    """What an annotator does on the page, in pixels of the image."""

    def __init__(self, tab, address, size):
        self.tab, (self.width, self.height) = tab, size
        tab.goto(address)
        self.wait_for(0)

    def wait_for(self, index):
        self.tab.wait_for_selector(f'body[data-ready="{index}"]', timeout=60_000)

    def at(self, x, y):
        box = self.tab.locator("#view").bounding_box()
        scale = min(box["width"] / self.width, box["height"] / self.height, 8)
        left = box["x"] + (box["width"] - self.width * scale) / 2
        top = box["y"] + (box["height"] - self.height * scale) / 2
        return left + x * scale, top + y * scale

    def click(self, x, y, *, answer="/mask", **options):
        with self.answer(answer):
            self.tab.mouse.click(*self.at(x, y), **options)

    def drag(self, *points, answer="/mask"):
        with self.answer(answer):
            self.tab.mouse.move(*self.at(*points[0]))
            self.tab.mouse.down()
            for point in points[1:]:
                self.tab.mouse.move(*self.at(*point), steps=5)
            self.tab.mouse.up()

    def press(self, key, answer=None):
        if answer is None:
            self.tab.keyboard.press(key)
            return
        with self.answer(answer):
            self.tab.keyboard.press(key)

    def answer(self, path):
        return self.tab.expect_response(lambda one: path in one.url and one.ok)

    def status(self, text):
        expect(self.tab.locator("#status")).to_contain_text(text, timeout=60_000)

    def picture(self, name):
        picture(self.tab, name)


def picture(tab, name):
    """For the documents, where somebody wants it."""
    if folder := os.environ.get("SAMKIT_SCREENSHOTS"):
        tab.wait_for_timeout(300)
        Path(folder, f"{name}.jpg").write_bytes(tab.screenshot(type="jpeg", quality=80))


def objects_in(out, name="1.jpg"):
    """What is kept of a photograph."""
    return json.loads((out / "objects" / f"{name}.json").read_text())["objects"]
