"""Learning to follow objects: clips with prompts on their first frame, and the losses in them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samkit.memory.bank import MemoryBank
from samkit.nn import ImageFeatures, MemoryNetwork, PromptTensors, TokenLabel
from samkit.nn.memory import ObjectPrediction
from samkit.training.config import LossConfig, Stage, TrainingConfig
from samkit.training.data import Library
from samkit.training.losses import prediction_loss
from samkit.training.sampling import STRIDE, simulated_prompt
from samkit.training.synthesis.clips import Clip, make_clip

__all__ = ["ClipBatch", "Episode", "follow", "make_clip_batch"]

# Share of clips whose objects are given by their masks, as in the benchmarks of tracking.
_GIVEN = 0.5
# The first frame is this often far from the others, as it is late in a long video; frames.
_FAR, _FARTHEST = 0.4, 120
# The mask before is this often withheld, or moved by up to so much of the frame, so that the
# network learns what an object looks like and not only where it was.
_WITHHELD, _MOVED, _FARTHEST_MOVE = 0.15, 0.25, 0.08


@dataclass(frozen=True, kw_only=True)
class Episode:
    """A clip, and N objects of it that are prompted on its first frame.

    Attributes:
        frames: (T, S, S, 3) uint8 RGB.
        targets: (T, N, S / 4, S / 4) uint8 coverage 0..255 of each object.
        masks: (N, S, S) bool, the objects in the first frame, if they are given by masks.
        points, labels: (N, 2, 2) float32 and (N, 2) int64, if they are given by boxes or clicks.
        gap: how many frames lie between the first and the second one.
    """

    frames: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_] | None
    points: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    gap: int


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """Episodes of one step."""

    episodes: tuple[Episode, ...]

    def split(self, count: int) -> list["ClipBatch"]:
        """The batch in `count` parts of as many episodes each."""
        size = len(self.episodes) // count
        return [ClipBatch(episodes=self.episodes[i * size : (i + 1) * size]) for i in range(count)]


def make_clip_batch(
    library: Library, config: TrainingConfig, stage: Stage, step: int, *, part: int = 0
) -> ClipBatch:
    """The clips of a step, or a part of them: the same for the same seed, stage, step and part."""
    rng = np.random.default_rng([config.seed, step, part])
    return ClipBatch(
        episodes=tuple(_episode(library, config, stage, rng) for _ in range(stage.images))
    )


def _episode(
    library: Library, config: TrainingConfig, stage: Stage, rng: np.random.Generator
) -> Episode:
    clip, chosen = _prompted_clip(library, config, stage, rng)
    first = clip.masks[0, chosen] > 0.5
    prompts = [simulated_prompt(mask, config.prompts, rng) for mask in first]
    return Episode(
        frames=clip.frames,
        targets=np.stack([_small(frame[chosen]) for frame in clip.masks]),
        masks=first if rng.random() < _GIVEN else None,
        points=np.array([xy for xy, _ in prompts], np.float32),
        labels=np.array([kinds for _, kinds in prompts], np.int64),
        gap=int(rng.integers(_FARTHEST)) if rng.random() < _FAR else 0,
    )


def _prompted_clip(
    library: Library, config: TrainingConfig, stage: Stage, rng: np.random.Generator
) -> tuple[Clip, npt.NDArray[np.int64]]:
    """A clip, perhaps played backward, and the objects to prompt on its first frame."""
    while True:
        clip = make_clip(library, config.scenes, config.motion, stage.size, stage.frames, rng)
        if rng.random() < 0.5:
            clip = Clip(frames=clip.frames[::-1].copy(), masks=clip.masks[::-1])
        areas = clip.masks[0].mean((1, 2))
        large = areas >= config.scenes.min_area
        shown = np.flatnonzero(large & (_small(clip.masks[0]).max((1, 2)) > 127))
        if len(shown):
            odds = np.sqrt(areas[shown])
            count = min(stage.prompts, len(shown))
            return clip, rng.choice(shown, count, replace=False, p=odds / odds.sum())


def _small(masks: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Coverage (N, S, S) 0..1 -> (N, S / 4, S / 4) 0..255."""
    size = masks.shape[-1] // STRIDE
    small = [cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA) for mask in masks]
    return np.round(np.reshape(small, (-1, size, size)) * 255).astype(np.uint8)


def follow(
    network: MemoryNetwork,
    pixels: Tensor,
    episode: Episode,
    config: LossConfig,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Prompt the first frame and follow the objects through the others, as `VideoPredictor` does.

    Args:
        network: learns.
        pixels: (T, 3, S, S) normalised frames.
        episode: what is to be found in them.

    Returns:
        The mean loss over the followed frames, and the real IoU of the chosen masks in all of them,
        of objects that are there.
    """
    device = pixels.device
    targets = torch.from_numpy(episode.targets).to(device).float() / 255
    features = network.encode_image(pixels)
    frames = [features.select(torch.tensor([t], device=device)) for t in range(len(pixels))]
    memory = network.config.memory
    banks = [MemoryBank(slots=memory.slots, pointers=memory.pointers) for _ in targets[0]]

    found = _prompted(network, frames[0], episode)
    _remember(network, banks, 0, frames[0], found, prompted=True)
    losses, ious = [], []
    for t in range(1, len(frames)):
        number = t + episode.gap
        # At full strength, whatever `residual_with_mask` says: a weaker memory learned to do less.
        recalled = network.recall(frames[t], [bank.reachable(number) for bank in banks])
        conditioned = network.condition(frames[t], recalled)
        expected = network.propagation_prompts(_disturbed(found.logits, rng))
        prediction = network.decode(conditioned, expected)
        outcome = prediction_loss(prediction, targets[t], config)
        losses.append(outcome.loss)
        ious.append(outcome.picked[targets[t].flatten(1).amax(1) > 0.5])
        # What is remembered is taken as it is: errors are not traced through the frames' masks.
        found = network.choose(prediction, ambiguous=True)
        found = replace(found, logits=found.logits.detach())
        if t + 1 < len(frames):
            _remember(network, banks, number, frames[t], found, prompted=False)
    return torch.stack(losses).mean(), torch.cat(ious)


def _prompted(network: MemoryNetwork, frame: ImageFeatures, episode: Episode) -> ObjectPrediction:
    device = frame.embedding.device
    if episode.masks is not None:
        given = torch.from_numpy(episode.masks).to(device)[:, None]
        return network.from_masks(frame, given.to(frame.embedding.dtype))
    points, labels = (torch.from_numpy(x).to(device) for x in (episode.points, episode.labels))
    prompts = PromptTensors(
        points=torch.cat([points, torch.zeros_like(points[:, :1])], 1),
        labels=torch.cat([labels, torch.full_like(labels[:, :1], TokenLabel.NOT_A_POINT)], 1),
    )
    found = network.segment(network.without_memory(frame), prompts, ambiguous=False)
    return replace(found, logits=found.logits.detach())


def _remember(
    network: MemoryNetwork,
    banks: Sequence[MemoryBank],
    number: int,
    frame: ImageFeatures,
    found: ObjectPrediction,
    *,
    prompted: bool,
) -> None:
    memories = network.remember(frame, found, prompted=prompted)
    for bank, memory in zip(banks, memories, strict=True):
        bank.add(number, memory, prompted=prompted)


def _disturbed(logits: Tensor, rng: np.random.Generator) -> list[Tensor | None]:
    """Masks before, (N, h, w), some of them withheld or moved."""
    given: list[Tensor | None] = []
    for mask in logits:
        chance = rng.random()
        if chance < _WITHHELD:
            given.append(None)
        elif chance < _WITHHELD + _MOVED:
            down, right = np.round(rng.uniform(-_FARTHEST_MOVE, _FARTHEST_MOVE, 2) * mask.shape)
            given.append(mask.roll((int(down), int(right)), (0, 1)))
        else:
            given.append(mask)
    return given
