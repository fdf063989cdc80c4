"""The page in examples/web, in which an export runs in the browser, as people use it.

SAMKIT_SCREENSHOTS=docs/images pytest -m browser    also takes the picture of docs/runtimes.md
"""

import functools
import http.server
import json
import shutil
import threading

import numpy as np
import pytest
from browser.annotator import EXAMPLES, expect, picture
from PIL import Image
from tiny import make, tiny_sam, tiny_sam2

import samkit
from samkit import ImagePredictor, Prompt

pytestmark = pytest.mark.browser
ENGINE = EXAMPLES / "web" / "ort"


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path):
    """A folder with the page, without a network, and its address."""
    if not (ENGINE / "ort.wasm.min.mjs").is_file():
        pytest.skip("needs onnxruntime-web: make test-browser gets it by npm")
    folder = tmp_path / "site"
    shutil.copytree(EXAMPLES / "web", folder / "web", ignore=shutil.ignore_patterns("model"))
    shutil.copy(EXAMPLES / "coffee.jpg", folder)
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/web/"
        server.shutdown()


class Page:
    def __init__(self, tab, address):
        self.tab = tab
        tab.goto(address)

    def says(self, text):
        expect(self.tab.locator("#status")).to_contain_text(text, timeout=60_000)

    def mask_after(self, action):
        """What is drawn when the answer to an action is there."""
        self.tab.evaluate("document.querySelector('#status').textContent = ''")
        action()
        self.says("Predicted IoU")
        return self.mask()

    def click(self, x, y, **options):
        """In pixels of the photo -> the mask that is drawn."""
        at, _ = self.places(x, y)
        return self.mask_after(lambda: self.tab.mouse.click(*at, **options))

    def prompt(self, x, y, label=1):
        """What such a click means."""
        _, point = self.places(x, y)
        return Prompt.point(*point, label=label)

    def places(self, x, y):
        """On the screen, where clicks have whole numbers, and which place of the photo is there."""
        size, box = self.size(), self.tab.locator("#clicks").bounding_box()
        scale = box["width"] / size[0]
        at = int(box["x"] + x * scale), int(box["y"] + y * scale)
        return at, ((at[0] - box["x"]) / scale, (at[1] - box["y"]) / scale)

    def size(self):
        return self.tab.evaluate(
            "[document.querySelector('#mask').width, document.querySelector('#mask').height]"
        )

    def mask(self):
        """(H, W) of what is tinted."""
        width, height = self.size()
        opacity = self.tab.evaluate(
            """() => {
                const {width, height} = document.querySelector("#mask");
                const picture = document.querySelector("#mask").getContext("2d")
                    .getImageData(0, 0, width, height).data;
                return Array.from({length: width * height}, (_, i) => picture[4 * i + 3]);
            }"""
        )
        return np.array(opacity).reshape(height, width) > 0


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_clicks_on_photographs(tab, site, exported_pico, tmp_path):
    folder, address = site
    shutil.copytree(exported_pico, folder / "web" / "model")
    predictor = samkit.load(exported_pico)
    embedding = predictor.embed(EXAMPLES / "coffee.jpg")
    tab.set_viewport_size({"width": 640, "height": 520})
    page = Page(tab, address)
    page.says("Click on something")

    def expected(prompt):
        return predictor.predict(embedding, prompt).masks[0]

    inside = page.prompt(330, 130)
    first = page.click(330, 130)
    assert first.sum() > 1000
    assert iou(first, expected(inside)) > 0.99

    both = inside + page.prompt(300, 330, label=0)
    assert iou(expected(both), first) < 0.9
    assert iou(page.click(300, 330, button="right"), expected(both)) > 0.99
    assert (page.mask_after(lambda: tab.keyboard.press("Control+z")) == first).all()
    tab.keyboard.down("Shift")
    assert iou(page.click(300, 330), expected(both)) > 0.99
    tab.keyboard.up("Shift")
    assert (page.mask_after(lambda: tab.click("#undo")) == first).all()
    tab.check("#outside")
    assert iou(page.click(300, 330), expected(both)) > 0.99
    tab.uncheck("#outside")
    assert iou(page.click(220, 150), expected(both + page.prompt(220, 150))) > 0.99
    picture(tab, "web")
    tab.click("#reset")
    page.says("Click on something")
    assert not page.mask().any()

    # A photo of one's own, which is high; it stays when the next one cannot be read.
    with Image.open(EXAMPLES / "coffee.jpg") as photo:
        photo.crop((150, 0, 430, 400)).save(tmp_path / "mine.png")
    embedding = predictor.embed(tmp_path / "mine.png")
    with tab.expect_file_chooser() as chooser:
        tab.click("#open")
    chooser.value.set_files(tmp_path / "mine.png")
    page.says("Click on something (")
    assert page.size() == [280, 400]
    inside = page.prompt(70, 260)
    assert iou(page.click(70, 260), expected(inside)) > 0.99
    (tmp_path / "notes.txt").write_text("no picture")
    tab.set_input_files("#file", tmp_path / "notes.txt")
    page.says("notes.txt is no picture that this browser can read")
    assert iou(page.click(200, 350), expected(inside + page.prompt(200, 350))) > 0.99


@pytest.mark.parametrize("config", [tiny_sam(), tiny_sam2()], ids=["sam", "sam2"])
def test_images_that_keep_their_shape_and_masks_that_are_not_stable(tab, site, config):
    folder, address = site
    predictor = ImagePredictor(make(config), device="cpu", dtype="float32")
    samkit.export(predictor, folder / "web" / "model")
    page = Page(tab, address)
    page.says("Click on something")
    expected = predictor.predict(EXAMPLES / "coffee.jpg", page.prompt(220, 260)).masks[0]
    assert 0.01 < expected.mean() < 0.99
    assert iou(page.click(220, 260), expected) > 0.99


def other_layout(folder):
    about = json.loads((folder / "model" / "samkit.json").read_text())
    (folder / "model" / "samkit.json").write_text(json.dumps(about | {"layout": "transformers"}))


def changed_file(folder):
    file = folder / "model" / "mask_decoder.onnx"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "model"), 'run "samkit export pico -o DIR --half"'),
        (lambda folder: shutil.rmtree(folder / "ort"), "onnxruntime-web is not in http"),
        (other_layout, "version 1 of the layout samkit, got version 1 of transformers"),
        (changed_file, "mask_decoder.onnx is not the file that was exported"),
    ],
)
def test_what_is_not_there_is_said(browser, site, exported_pico, damage, message):
    folder, address = site
    shutil.copytree(exported_pico, folder / "web" / "model")
    damage(folder / "web")
    tab = browser.new_page()
    Page(tab, address).says(message)
    assert tab.locator("#open").is_disabled()
    tab.close()
