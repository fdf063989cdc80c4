"""A video on the page: prompted, tracked, corrected in frame 20, tracked again and exported."""

import json
import re

import numpy as np
import pytest
from browser.annotator import EXAMPLES, Page, expect

import samkit
from samkit.server import VideoProject
from samkit.server.annotate.sidecars import VideoPrompt

pytestmark = pytest.mark.browser

SIZE, SPOON = (360, 240), (274, 205)


@pytest.fixture
def page(tab, annotating, tmp_path):
    """The page of coffee.mp4, 36 frames."""
    address = annotating(EXAMPLES / "coffee.mp4", "-o", tmp_path / "out", "--classes", "cup,spoon")
    return Page(tab, address, SIZE)


def timelines(tab):
    """What is known of each object in each frame, as the server has it."""
    answer = tab.evaluate(
        """async () => {
          const token = sessionStorage.getItem("samkit-token");
          const headers = { Authorization: `Bearer ${token}` };
          return (await fetch("/v1/project", { headers })).json();
        }"""
    )
    # Whether the network takes an object for absent in a frame is not the page's matter.
    return {one["id"]: one["timeline"].replace("T", "t") for one in answer["objects"]}


def test_a_whole_job(page, tab, tmp_path):
    frame = tab.locator("#timeline")
    page.press("1")
    page.drag((114, 2), (303, 188), answer="/prompts")
    page.status("Saved cup 1 in frame 0")
    page.press("t")
    page.status("36 frames tracked")
    expect(frame).to_have_attribute("aria-valuenow", "35")
    assert timelines(tab) == {1: "p" + "t" * 35}

    # Another object from frame 20 on, and a correction of the first one there.
    box = frame.bounding_box()
    tab.mouse.click(box["x"] + 8 + (box["width"] - 16) * 20.5 / 36, box["y"] + 10)
    page.wait_for(20)
    page.press("Control+z", "/undo")  # in frame 0: it was the only prompt
    page.wait_for(0)
    expect(tab.locator("#objects li")).to_have_count(0)
    page.press("Control+Shift+z", "/prompts")
    page.status("Saved cup 1 in frame 0")
    page.press("t")
    page.status("36 frames tracked")
    for _ in range(2):
        page.press("<")
    for _ in range(5):
        page.press(".")
    page.wait_for(20)
    page.click(*SPOON, button="right", answer="/prompts")
    page.status("Saved cup 1 in frame 20")
    page.press("n")
    page.press("2")
    page.click(*SPOON, answer="/prompts")
    page.status("Saved spoon 2 in frame 20")
    page.press("t")
    page.status("16 frames tracked")
    assert timelines(tab) == {1: "p" + "t" * 19 + "c" + "t" * 15, 2: "-" * 20 + "p" + "t" * 15}
    for _ in range(2):
        page.press("<")
    page.wait_for(15)
    for _ in range(5):
        page.press(".")
    page.wait_for(20)
    page.picture("annotate-video")
    page.press("l")
    expect(tab.locator("#status")).to_contain_text(re.compile(" in frame |No frame stands out"))

    # It is all there after a reload; tracking backward can be ended.
    tab.reload()
    expect(tab.locator("#objects li")).to_have_count(2)
    page.press("Home")
    page.wait_for(0)
    tab.locator("#objects li").nth(1).get_by_role("button", name="Edit").click()
    page.press("x", "/prompts")
    page.status("Saved spoon 2 in frame 0")
    page.press("End")
    page.wait_for(35)
    page.press("r")
    page.press("Escape")
    page.status("tracked, then ended")

    tab.locator("#form").select_option("coco")
    tab.locator("#export").click()
    page.status("coffee.mp4-coco.json")
    data = json.loads((tmp_path / "out/coffee.mp4-coco.json").read_text())
    assert [one["name"] for one in data["categories"]] == ["cup", "spoon"]
    assert len(data["images"]) == 36

    # What was clicked, by the library.
    project = VideoProject(EXAMPLES / "coffee.mp4", tmp_path / "other")
    project.begin(samkit.load("pico"), "pico")
    project.prompt(VideoPrompt(frame=0, prompt={"box": [114, 2, 303, 188]}))
    for _ in project.track(0):
        pass
    first = json.loads(
        (tmp_path / "out/sessions/coffee.mp4.masks.jsonl").read_text().splitlines()[9]
    )
    (kept,) = [one for one in first["objects"] if one["id"] == 1]
    pixels = samkit.Masks.from_rle([{"counts": kept["rle"], "size": [240, 360]}], (240, 360), [1])
    expected = project.masks(9).masks[0]
    assert (pixels.masks[0] & expected).sum() / (pixels.masks[0] | expected).sum() > 0.98
    assert np.count_nonzero(expected) > 5_000


def test_painting_a_frame(page, tab, tmp_path):
    page.press("p")
    page.drag((30, 200), (60, 200), answer="/prompts")
    page.status("Saved object 1 in frame 0")
    page.press("e")
    page.drag((60, 180), (60, 220), answer="/prompts")
    page.status("Saved object 1 in frame 0")
    expect(tab.locator("#objects .about")).to_contain_text("prompted")
    kept = json.loads((tmp_path / "out/videos/coffee.mp4.json").read_text())
    assert kept["objects"][0]["prompts"] == 2
    tab.once("dialog", lambda dialog: dialog.accept())
    page.press("Delete", "/objects/1")
    expect(tab.locator("#objects li")).to_have_count(0)
