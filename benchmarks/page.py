"""How quick the page of `samkit annotate` is in Chromium, and how much memory its server takes.

    python benchmarks/page.py                             # 500 photographs, 100 clicks
    python benchmarks/page.py --photos 20 --clicks 20

It needs the extras serve and browser, Chromium, and Linux for the memory. The photographs are
examples/coffee.jpg, shifted by chance. A click is timed in the page, from the button that goes up
to the picture of the mask on the screen; beside it is the same click with a predictor in this
process, one after the other. The pointer rests on a place for a moment before it clicks there.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

import samkit

PHOTO = Path(__file__).parents[1] / "examples" / "coffee.jpg"
WIDTH, HEIGHT = 600, 400  # of it
REST = 200  # milliseconds for which the pointer rests before a click, and the page after it
READINGS = (1, 100, 250, 500)  # numbers of photographs after which memory is read
# Keeps the milliseconds from the last click to its mask, which comes with its figures.
WATCH = """
addEventListener("pointerup", (event) => { window.clicked = event.timeStamp; }, true);
addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
  const { clicked } = window;
  if (clicked !== null && document.getElementById("figures").textContent) {
    window.clicked = null;
    requestAnimationFrame(() => { document.body.dataset.took = performance.now() - clicked; });
  }
}).observe(document.getElementById("figures"), { childList: true, subtree: true }));
"""


class Server:
    """`samkit annotate` with some photographs.

    Args:
        photos: their folder.
        out: for what is made.
    """

    def __init__(self, photos: Path, out: Path) -> None:
        command = [sys.executable, "-m", "samkit", "annotate", "--no-browser", photos, "-o", out]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"(http://\S+)/#token=(\S+)", self.process.stdout.readline())
        assert found is not None
        self.address, self.token = found.groups()

    def memory(self) -> int:
        """Resident, in bytes."""
        text = Path(f"/proc/{self.process.pid}/statm").read_text()
        return int(text.split()[1]) * 4096

    def work(self) -> tuple[float, float]:
        """Seconds of its thread for masks, and their number."""
        headers = {"Authorization": f"Bearer {self.token}"}
        with urlopen(Request(f"{self.address}/metrics", headers=headers)) as answer:
            text = answer.read().decode()
        kind = 'samkit_work_seconds_{}{{work="mask"}} (\\S+)'
        found = [re.search(kind.format(what), text) for what in ("sum", "count")]
        total, count = (0.0 if one is None else float(one[1]) for one in found)
        return total, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--clicks", type=int, default=100)
    wanted = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        photos = Path(folder, "photos")
        make_photos(photos, wanted.photos)
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.add_init_script(WATCH)
        began = time.perf_counter()
        server = Server(photos, Path(folder, "out"))
        try:
            page.goto(f"{server.address}/#token={server.token}")
            wait_until_ready(page, 0)
            first = time.perf_counter() - began
            print(f"from the command to the first photograph ready: {first:.1f} s")
            measure_clicks(page, server, wanted.clicks)
            measure_previews(page)
            measure_photos(page, server, wanted.photos)
        finally:
            server.process.terminate()
            server.process.wait()


def make_photos(folder: Path, count: int) -> None:
    """The example, and the example shifted by chance."""
    folder.mkdir()
    with Image.open(PHOTO) as image:
        photo, rng = np.asarray(image), np.random.default_rng(0)
    for i in range(count):
        by = (rng.integers(HEIGHT), rng.integers(WIDTH)) if i else (0, 0)
        shifted = np.roll(photo, by, (0, 1))
        Image.fromarray(shifted).save(folder / f"{i:05}.jpg", quality=85)


def measure_clicks(page: Page, server: Server, count: int) -> None:
    """Milliseconds from clicks to their masks, and of the same clicks with a predictor alone."""
    predictor = samkit.load("pico")
    embedding = predictor.embed(PHOTO)
    rng = np.random.default_rng(1)
    seen, alone, before = [], [], server.work()
    for i in range(count + 3):  # the first ones warm up
        x, y = rng.uniform(20, WIDTH - 20), rng.uniform(20, HEIGHT - 20)
        page.mouse.move(*on_screen(page, x, y))
        page.wait_for_timeout(REST)
        page.evaluate("delete document.body.dataset.took")
        page.mouse.down()
        page.mouse.up()
        page.wait_for_selector("body[data-took]", timeout=60_000)
        took = float(page.evaluate("document.body.dataset.took"))
        page.keyboard.press("Escape")
        page.wait_for_timeout(REST)
        began = time.perf_counter()
        predictor.predict(embedding, samkit.Prompt.point(x, y))
        network = 1000 * (time.perf_counter() - began)
        if i >= 3:
            seen.append(took)
            alone.append(network)
    total, number = np.subtract(server.work(), before)
    print(f"{count} clicks, in milliseconds:")
    print(f"{'':40}{'p50':>7}{'p95':>7}")
    for name, values in (("click to mask", seen), ("the same with a predictor alone", alone)):
        print(f"{name:40}{percentile(values, 50):7.0f}{percentile(values, 95):7.0f}")
    print(f"{'in the thread of the server, on average':40}{1000 * total / number:7.0f}")


def measure_previews(page: Page, seconds: float = 10) -> None:
    """Masks a second while the pointer moves over the photograph."""
    answered: list[float] = []
    page.on(
        "response",
        lambda one: answered.append(time.perf_counter()) if one.url.endswith("/mask") else None,
    )
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        place = (0.5 + 0.4 * np.sin(passed), 0.5 + 0.4 * np.cos(1.3 * passed))
        page.mouse.move(*on_screen(page, WIDTH * place[0], HEIGHT * place[1]))
        page.wait_for_timeout(5)
    count = sum(one < began + seconds for one in answered)
    print(f"previews while the pointer moves: {count / seconds:.1f} a second")


def measure_photos(page: Page, server: Server, count: int) -> None:
    """Seconds until a photograph is ready, one after the other, and the memory on the way."""
    took, memory = [], {1: server.memory()}
    for i in range(1, count):
        began = time.perf_counter()
        page.keyboard.press("]")
        wait_until_ready(page, i)
        took.append(time.perf_counter() - began)
        memory[i + 1] = server.memory()
    if took:
        print(
            f"the next photograph is ready after {percentile(took, 50):.2f} s (p50), "
            f"{percentile(took, 95):.2f} s (p95)"
        )
    for number in sorted({one for one in READINGS if one <= count} | {count}):
        print(f"memory of the server after {number:4} photographs: {memory[number] / 1e6:.0f} MB")
    print(f"at most: {max(memory.values()) / 1e6:.0f} MB")


def wait_until_ready(page: Page, index: int) -> None:
    page.wait_for_selector(f'body[data-ready="{index}"]', timeout=120_000)


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the photograph is, which is shown as a whole."""
    box = page.locator("#view").bounding_box()
    assert box is not None
    scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)
    left = box["x"] + (box["width"] - WIDTH * scale) / 2
    top = box["y"] + (box["height"] - HEIGHT * scale) / 2
    return left + x * scale, top + y * scale


def percentile(values: Sequence[float], part: float) -> float:
    return float(np.percentile(values, part))


if __name__ == "__main__":
    main()
