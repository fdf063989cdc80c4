"""A live loop: the latest frame wins, and how long each answer took.

    python examples/camera.py [CAMERA X Y]

CAMERA is the number of a camera (0). A thread reads frames and keeps the newest; another one tracks
what was clicked at X, Y in the first frame. Frames that come while the model is busy are left out,
so that the answer is never about the past. Without arguments coffee.mp4 plays instead, in its own
time. Prints the median, the 90th and the 99th percentile of the time from a frame to its masks.
"""

import sys
import threading
import time
from pathlib import Path

import numpy as np

import samkit
from samkit.media.frames import open_frames


class LatestFrame:
    """The newest frame of a source that does not wait."""

    def __init__(self, source: int | Path) -> None:
        self._frames = open_frames(source)
        self._changed = threading.Condition()
        self._latest: tuple[int, np.ndarray, float] | None = None
        self._taken = -1
        self._is_over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        began = time.perf_counter()
        number = 0
        try:
            while self._frames.count is None or number < self._frames.count:
                frame = self._frames.read(number)
                shown = self._frames.time(number)
                if self._frames.count is not None and shown is not None:  # a file: in its own time
                    time.sleep(max(0.0, float(shown) - (time.perf_counter() - began)))
                with self._changed:
                    self._latest = (number, frame, time.perf_counter())
                    self._changed.notify()
                number += 1
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify()

    def wait(self) -> tuple[int, np.ndarray, float] | None:
        """The newest frame that was not taken yet, and when it came; None at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_over or (self._latest and self._latest[0] > self._taken)
            )
            if self._latest is None or self._latest[0] <= self._taken:
                return None
            self._taken = self._latest[0]
            return self._latest


def main() -> None:
    if len(sys.argv) == 4:
        source, x, y = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    else:
        source, x, y = Path(__file__).parent / "coffee.mp4", 202, 86

    predictor = samkit.load("pico")
    camera = LatestFrame(source)
    seconds, left_out, last = [], 0, -1
    with samkit.VideoPredictor(predictor) as tracker:
        while (latest := camera.wait()) is not None:
            number, frame, came = latest
            prompts = {1: samkit.Prompt.point(x, y)} if last < 0 else None
            masks = tracker.step(frame, prompts)
            seconds.append(time.perf_counter() - came)
            left_out += number - last - 1
            last = number
            print(f"frame {number}: {int(masks.areas[0])} pixels, {1e3 * seconds[-1]:.0f} ms")
    p50, p90, p99 = 1e3 * np.percentile(seconds, [50, 90, 99])
    times = f"p50 {p50:.0f}, p90 {p90:.0f}, p99 {p99:.0f} ms"
    print(f"{len(seconds)} frames, {left_out} left out; {times}")


if __name__ == "__main__":
    main()
