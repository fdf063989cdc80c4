"""Tracking without surprises: a tracker that holds still, and a detector that says what it is told.

A frame is grey, and its level is its number. Objects stay where they were given, until a detection
is given to them anew; where they are in `lost`, tracking does not see them.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from tiny import make, tiny_sam2

from samkit import ImagePredictor, VideoPredictor
from samkit.image_predictor.concepts import Candidates
from samkit.nn import ImageFeatures
from samkit.nn.memory import Memory, ObjectPrediction

SIDE = 16  # of mask logits
LENGTH = 60


def block(column, width=4):
    """Mask logits (1, 16, 16) of a block of four rows from a column on."""
    logits = torch.full((1, SIDE, SIDE), -8.0)
    logits[0, 2:6, column : column + width] = 8.0
    return logits


@dataclass
class Scene:
    """What there is to be found.

    Attributes:
        detected: words -> function of a frame -> (mask logits, probability) of each detection.
        lost: function of a frame -> columns in which tracking sees nothing.
        asked: (words, frame, whether there were examples) of each look.
    """

    detected: dict = field(default_factory=dict)
    lost: object = lambda frame: ()
    asked: list = field(default_factory=list)

    def detect(self, embedding, concept, threshold, device, examples=None):
        frame = number_of(embedding.features)
        self.asked.append((concept.name, frame, examples is not None))
        there = self.detected.get(concept.name, lambda _: [])(frame)
        found = [one for one in there if one[1] > threshold]
        logits = [one[0] for one in found] or [torch.zeros(0, SIDE, SIDE)]
        return Candidates(
            probabilities=torch.tensor([one[1] for one in found]),
            presence=torch.tensor(0.9),
            boxes=torch.zeros(len(found), 4),
            logits=torch.cat(logits),
        )

    def examples(self, embedding, concept, device):
        return torch.zeros(1, 2, 3)


def number_of(features):
    return round(float(features.embedding[0, 0, 0, 0]))


@pytest.fixture
def scene():
    return Scene()


@pytest.fixture
def still(scene, monkeypatch):
    """A predictor with a stub in place of each network."""
    network = make(replace(tiny_sam2(), image_size=(64, 64)))
    mean, std = network.config.mean[0], network.config.std[0]

    def encode_image(pixels):
        level = (pixels[:, :1, :1, :1] * std + mean) * 255
        return ImageFeatures(embedding=level.expand(-1, network.config.dim, 4, 4).contiguous())

    def recall(features, reachable):
        newest = [
            min(one.pointers, key=lambda pointer: (abs(pointer[0]), pointer[0]))[1]
            for one in reachable
        ]
        return torch.stack(newest)

    def condition(features, recalled):
        return replace(features, high_resolution=(recalled,))

    def segment(features, prompts, *, ambiguous):
        (pointers,) = features.high_resolution
        logits = pointers.view(-1, SIDE, SIDE).clone()
        for own in logits:
            if any(float(own[3, column]) > 0 for column in scene.lost(number_of(features))):
                own.fill_(-1024.0)
        there = (logits > 0).flatten(1).any(1, keepdim=True)
        return ObjectPrediction(
            logits=logits,
            iou=torch.full((len(logits),), 0.5),
            pointer=pointers,
            object_score=torch.where(there, 3.0, -3.0),
        )

    def from_masks(features, masks):
        low = torch.nn.functional.avg_pool2d(masks, 4)[:, 0]
        logits = (2 * (low >= 0.5) - 1) * 8.0
        return ObjectPrediction(
            logits=logits,
            iou=torch.ones(len(masks)),
            pointer=logits.flatten(1),
            object_score=torch.full((len(masks), 1), 8.0),
        )

    def remember(features, found, *, prompted):
        return [Memory(tokens=torch.zeros(4, 8), pointer=pointer) for pointer in found.pointer]

    network.encode_image, network.recall, network.condition = encode_image, recall, condition
    network.segment, network.from_masks, network.remember = segment, from_masks, remember
    monkeypatch.setattr(ImagePredictor, "finder", property(lambda _: scene))
    return ImagePredictor(network, device="cpu", dtype="float32")


@pytest.fixture
def grey_video():
    levels = np.arange(LENGTH, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(levels, (LENGTH, 16, 16, 3))


@pytest.fixture
def tracker(still, grey_video):
    return VideoPredictor(still, grey_video)
