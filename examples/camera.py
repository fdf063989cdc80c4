"""A live loop: the latest frame wins, and how long each answer took.

    python examples/camera.py [CAMERA X Y]

CAMERA is the number of a camera (0) or an address (rtsp://...). A thread reads frames and keeps the
newest; the main one tracks what was clicked at X, Y in the first frame. Frames that come while the
model is busy are left out, so that the answer is never about the past. A silent camera is reported
and waited for; Ctrl-C ends. Without arguments coffee.mp4 plays instead, in its own time. Prints the
median, the 90th and the 99th percentile of the time from a frame to its masks.
"""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import samkit
from samkit.media.frames import VideoSource, open_frames

PATIENCE = 2.0  # seconds without a frame after which a camera is silent


class LatestFrame:
    """The newest frame of a source that does not wait for us. Use it in a `with` block.

    Args:
        source: a camera, an address or a generator of frames; a file plays in its own time.
    """

    def __init__(self, source: VideoSource) -> None:
        self._frames = open_frames(source)
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._latest: tuple[int, np.ndarray, float] | None = None
        self._error: BaseException | None = None
        self._is_over = False
        # A read that never comes back must not keep the program alive.
        threading.Thread(target=self._read, daemon=True).start()

    def wait(self, patience: float) -> tuple[int, np.ndarray, float] | None:
        """The newest frame that was not taken yet.

        Returns:
            Its number, the image (H, W, 3), and when it came (of `time.perf_counter`); None at the
            end.

        Raises:
            TimeoutError: none came in so many seconds. Wait again, or give up.
            SamkitError: a frame could not be read.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._latest or self._is_over, patience):
                raise TimeoutError(f"no frame for {patience:g} s")
            latest, self._latest = self._latest, None
            if latest is None and self._error is not None:
                raise self._error
            return latest

    def __enter__(self) -> "LatestFrame":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()  # the thread that reads also closes: a device is not for two

    def _read(self) -> None:
        try:
            for number, frame in self._in_time():
                with self._changed:
                    self._latest = (number, frame, time.perf_counter())
                    self._changed.notify()
        except BaseException as error:
            self._error = error
        finally:
            self._frames.close()
            with self._changed:
                self._is_over = True
                self._changed.notify()

    def _in_time(self) -> Iterator[tuple[int, np.ndarray]]:
        """Frames as they come; of a file, when they are due."""
        began, number = time.perf_counter(), 0
        while not self._closed.is_set() and number != self._frames.count:
            try:
                frame = self._frames.read(number)
            except IndexError:  # the end, which only a file knows before
                return
            due = self._frames.time(number) if self._frames.seekable else None
            if due is not None:
                self._closed.wait(float(due) - (time.perf_counter() - began))
            yield number, frame
            number += 1


def follow(
    camera: LatestFrame, tracker: samkit.VideoPredictor, prompt: samkit.Prompt
) -> Iterator[tuple[int, samkit.Masks, float]]:
    """Track what was prompted in the first frame: numbers of frames, masks, seconds from frame to
    masks. Reports silence."""
    while True:
        try:
            latest = camera.wait(PATIENCE)
        except TimeoutError as silence:
            print(f"{silence}; waiting")
            continue
        if latest is None:
            return
        number, frame, came = latest
        masks = tracker.step(frame, None if tracker.object_ids else {1: prompt})
        yield number, masks, time.perf_counter() - came


def main() -> None:
    source, x, y = Path(__file__).parent / "coffee.mp4", 202.0, 86.0
    if len(sys.argv) == 4:
        source = int(sys.argv[1]) if sys.argv[1].isdecimal() else sys.argv[1]
        x, y = float(sys.argv[2]), float(sys.argv[3])

    predictor = samkit.load("pico")
    seconds, last = [], -1
    with LatestFrame(source) as camera, samkit.VideoPredictor(predictor) as tracker:
        try:
            for number, masks, took in follow(camera, tracker, samkit.Prompt.point(x, y)):
                seconds.append(took)
                last = number
                lost = "" if masks.presence[0] > 0.5 else ", lost"
                print(f"frame {number}: {masks.areas[0]} pixels, {1e3 * took:.0f} ms{lost}")
        except KeyboardInterrupt:  # a camera has no end
            pass
    if seconds:
        p50, p90, p99 = 1e3 * np.percentile(seconds, [50, 90, 99])
        times = f"p50 {p50:.0f}, p90 {p90:.0f}, p99 {p99:.0f} ms"
        print(f"{len(seconds)} frames, {last + 1 - len(seconds)} left out; {times}")


if __name__ == "__main__":
    main()
