"""What is told of a run over many images."""

import pytest

from samkit.cli.progress import describe_progress


@pytest.mark.parametrize(
    ("done", "total", "seconds", "line"),
    [
        (1, 2, 4.0, "1 of 2 images, 0.25 a second, 0:04 left"),
        (10, 10, 5.0, "10 of 10 images, 2 a second, 0:00 left"),
        (100, 100_100, 10.0, "100 of 100100 images, 10 a second, 2:46:40 left"),
    ],
)
def test_rate_and_time_left(done: int, total: int, seconds: float, line: str) -> None:
    assert describe_progress(done, total, seconds) == line
