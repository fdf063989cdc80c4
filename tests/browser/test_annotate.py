"""A whole job on the page, as an annotator does it, with `pico`.

SAMKIT_SCREENSHOTS=docs/images pytest -m browser    also takes the pictures of docs/annotate.md
"""

import json
import warnings

import numpy as np
import pytest
from browser.annotator import EXAMPLES, Page, expect
from PIL import Image
from pycocotools.coco import COCO

import samkit
from samkit import Prompt
from samkit.server.annotate.masks import masks_of_steps

pytestmark = pytest.mark.browser


def masks_in(path):
    """Name of the image -> masks, with their categories, as pycocotools reads them."""
    coco = COCO(str(path))
    names = {one["id"]: one["name"] for one in coco.loadCats(coco.getCatIds())}
    found = {}
    for image in coco.loadImgs(coco.getImgIds()):
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        with warnings.catch_warnings():  # pycocotools with numpy 2
            warnings.simplefilter("ignore", DeprecationWarning)
            masks = [coco.annToMask(one).astype(bool) for one in annotations]
        found[image["file_name"]] = (masks, [names[one["category_id"]] for one in annotations])
    return found


def test_a_whole_job(tab, annotating, photos, tmp_path):
    out = tmp_path / "out"
    page = Page(tab, annotating(photos, "-o", out, "--classes", "cup,plate"), (600, 400))
    expect(tab.locator("#where")).to_have_text("1/5 1.jpg (open)")
    expect(tab.locator("#film")).to_be_hidden()

    # A box, a correction, undone and done again; a class; accepted.
    page.drag((172, 18), (300, 100), (424, 285))
    page.click(220, 260)
    page.click(400, 100, button="right")
    page.press("Control+z", "/mask")
    page.press("1")
    page.picture("annotate")
    page.press("Enter", "/objects")
    page.status("Saved object 1")

    # A click, another proposal; painted over and erased; the class of before stays chosen.
    page.click(120, 180)
    page.press("Tab", "/mask")
    page.press("p")
    page.drag((140, 300), (200, 340))
    page.press("e")
    page.drag((140, 300), (141, 301))
    page.press("2")
    page.press("Enter", "/objects")
    page.status("Saved object 2")
    assert tab.locator("#objects li").count() == 2

    # What is begun outlives a reload, and goes on from there.
    page.press("c")
    page.click(300, 150)
    tab.reload()
    page.wait_for(0)
    assert tab.locator("#objects li").count() == 2
    expect(tab.locator("#accept")).to_be_enabled()
    page.press("Escape")
    page.press("f", "/done")
    page.status("This image is done")

    # The next image: everything, of which one is picked.
    page.press("]")
    page.wait_for(1)
    page.width, page.height = 360, 240
    page.press("a", "/everything")
    page.status("found")
    page.picture("annotate-everything")
    page.click(210, 60)
    page.press("Enter", "/objects")
    page.status("Saved object 1")

    with page.answer("/export"):
        tab.click("#export")
    page.status("Written")
    found = masks_in(out / "coco.json")
    assert list(found) == ["1.jpg", "2.png"]
    (cup, plate), names = found["1.jpg"]
    assert names == ["cup", "plate"]

    # The masks are those that the library makes of what was clicked, where it was clicked.
    kept = json.loads((out / "objects" / "1.jpg.json").read_text())
    assert kept["done"]
    first, second = kept["objects"]
    np.testing.assert_allclose(first["steps"][0]["box"], [172, 18, 424, 285], atol=1)
    np.testing.assert_allclose(first["steps"][1]["points"], [[220, 260]], atol=1)
    assert len(first["steps"]) == 2  # the third was undone
    predictor = samkit.load("pico")
    embedding = predictor.embed(photos / "1.jpg")
    steps = [Prompt.from_dict(step) for step in first["steps"]]
    assert (masks_of_steps(predictor, embedding, steps).masks[0] == cup).all()
    assert second["candidate"] == 0
    assert [stroke["erase"] for stroke in second["strokes"]] == [False, True]
    assert plate[330, 185]  # painted
    assert not plate[300, 140]  # erased
    assert found["2.png"][0][0][60, 210]  # picked

    # Another session goes on where this one ended.
    again = annotating(photos, "-o", out)
    tab.goto(again)
    expect(tab.locator("#where")).to_have_text("2/5 2.png (begun)")


def test_what_was_clicked_stays_with_its_image(tab, annotating, photos, tmp_path):
    """Also in the moment before the next image is there."""
    out = tmp_path / "out"
    page = Page(tab, annotating(photos / "1.jpg", photos / "2.png", "-o", out), (600, 400))
    page.click(300, 150)
    page.press("]")
    page.press("Enter")
    page.wait_for(1)
    expect(tab.locator("#accept")).to_be_disabled()
    assert not out.exists()
    page.press("[")
    page.wait_for(0)
    expect(tab.locator("#accept")).to_be_enabled()
    page.press("Enter", "/objects")
    page.status("Saved object 1")
    assert [path.name for path in (out / "objects").iterdir()] == ["1.jpg.json"]


def test_by_keys_alone(tab, annotating, photos, tmp_path):
    out = tmp_path / "out"
    page = Page(tab, annotating(photos / "1.jpg", "-o", out, "--classes", "cup"), (600, 400))
    assert tab.evaluate("document.activeElement.id") == "view"
    page.press("ArrowUp")  # from the middle
    page.press("Space", "/mask")
    for _ in range(12):
        page.press("ArrowLeft")
    page.press("Shift+Space", "/mask")
    page.press("1")
    page.press("Enter", "/objects")
    page.status("Saved object 1")
    (kept,) = json.loads((out / "objects" / "1.jpg.json").read_text())["objects"]
    assert [step["labels"] for step in kept["steps"]] == [[1], [0]]
    assert kept["category"] == "cup"
    # Tab leaves the canvas while there is nothing to choose from; ? tells the keys.
    page.press("Tab")
    assert tab.evaluate("document.activeElement.id") != "view"
    page.press("?")
    assert tab.locator("#keys").is_visible()
    page.press("Escape")
    tab.click('#objects button[aria-label^="Edit"]')
    expect(tab.locator("#accept")).to_be_enabled()
    page.press("Delete", "/objects/1")
    page.status("Deleted")
    assert json.loads((out / "objects" / "1.jpg.json").read_text())["objects"] == []


def test_a_photograph_of_12000_x_9000(tab, annotating, tmp_path):
    tile = np.asarray(Image.open(EXAMPLES / "coffee.jpg").resize((1200, 900)))
    Image.fromarray(np.tile(tile, (10, 10, 1))).save(tmp_path / "large.jpg", quality=80)
    page = Page(tab, annotating(tmp_path / "large.jpg", "-o", tmp_path / "out"), (12_000, 9_000))
    page.drag((340, 40), (600, 400), (850, 640))
    before = tab.locator("#view").screenshot()
    tab.mouse.move(*page.at(600, 400))
    for _ in range(6):
        tab.mouse.wheel(0, -600)
    tab.wait_for_load_state("networkidle")
    assert tab.locator("#view").screenshot() != before
    with page.answer("/objects"):
        tab.click("#accept")
    page.status("Saved object 1")
    text = (tmp_path / "out" / "objects" / "large.jpg.json").read_text()
    assert json.loads(text)["image_size"] == [9_000, 12_000]
