"""After 1,000 frames a session takes no more memory than after 100.

What is kept does not depend on what the network computes, so its parts are replaced by ones that
take no time; benchmarks/tracking_memory.py measures the same with real networks.
"""

import gc
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import make, tiny_sam2

from samkit import ImagePredictor, Prompt, VideoPredictor
from samkit.nn import ImageFeatures
from samkit.nn.memory import Memory, ObjectPrediction

EARLY, LATE = 100, 1_000
BOX, CLICK = Prompt.box(5, 10, 20, 30), Prompt.point(9, 20)
NOT_HERE = Prompt.point(1, 2, label=0)


@pytest.fixture(scope="module")
def predictor():
    network = make(replace(tiny_sam2(), image_size=(32, 32)))
    dim, memory_dim = network.config.dim, network.config.memory.dim

    def encode_image(pixels):
        return ImageFeatures(embedding=torch.zeros(1, dim, 2, 2))

    def segment(features, prompts, *, ambiguous):
        count = len(prompts)
        return ObjectPrediction(
            logits=torch.rand(count, 8, 8),
            iou=torch.rand(count),
            pointer=torch.rand(count, dim),
            object_score=torch.rand(count, 1),
        )

    network.encode_image = encode_image
    network.without_memory = lambda features: features
    network.recall = lambda features, reachable: features.embedding
    network.condition = lambda features, recalled: features
    network.segment = segment
    network.remember = lambda features, found, *, prompted: [
        Memory(tokens=torch.rand(4, memory_dim), pointer=pointer) for pointer in found.pointer
    ]
    return ImagePredictor(network, device="cpu", dtype="float32")


def bytes_of_tensors():
    gc.collect()
    every = [one for one in gc.get_objects() if type(one) is torch.Tensor]
    tensors = [one for one in every if one.layout == torch.strided]  # others have no storage
    storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
    return sum(storages.values())


def resident():
    """Resident memory of this process in bytes, or None where that cannot be told."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else None


class Gauge:
    """Measures at two frames."""

    def __init__(self):
        self.tensors, self.process = [], []

    def at(self, frame):
        if frame in (EARLY, LATE):
            self.tensors.append(bytes_of_tensors())
            self.process.append(resident())

    def assert_constant(self):
        assert self.tensors[0] == self.tensors[1]
        if self.process[0] is None:
            pytest.skip("the resident memory of a process cannot be told here")
        assert self.process[1] <= 1.02 * self.process[0]


def test_a_live_video_whose_objects_come_and_go(predictor):
    frame = np.zeros((32, 32, 3), np.uint8)
    live = VideoPredictor(predictor, nearest_prompts=2)
    gauge = Gauge()
    live.step(frame, {-1: BOX})
    for t in range(1, LATE + 1):
        live.step(frame, {-1: BOX, t: CLICK} if t % 10 == 0 else None)
        if t % 10 == 4:
            live.prompt(t, -1, NOT_HERE)
            if t > 4:
                live.remove(t - 4)
        gauge.at(t)
    assert live.object_ids == (-1, LATE)
    gauge.assert_constant()


def test_a_video_file_of_many_frames(predictor):
    """Its frames can be had again: more is kept of each pass, but not of each frame."""
    video = np.broadcast_to(np.zeros((1, 32, 32, 3), np.uint8), (LATE + 1, 32, 32, 3))
    tracker = VideoPredictor(predictor, video)
    tracker.prompt(0, 1, BOX)
    gauge = Gauge()
    for frame, _ in tracker.track():
        gauge.at(frame)
    assert frame == LATE
    gauge.assert_constant()
