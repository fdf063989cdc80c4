"""Training of tracking: clips with prompts on their first frame, and the loss of propagation."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import Generator
from torch import Tensor

from samkit.evaluation.metrics import BoolArray
from samkit.memory.bank import MemoryBank
from samkit.nn import ImageFeatures, MemoryNetwork, PromptTensors
from samkit.nn.memory import ObjectPrediction
from samkit.training.config import LossConfig, Stage, TrainingConfig
from samkit.training.data import Library
from samkit.training.losses import prediction_loss
from samkit.training.sampling import downscaled, simulated_prompt
from samkit.training.synthesis import Clip, make_clip, make_scene
from samkit.training.synthesis.scenes import first_with_objects

__all__ = ["ClipBatch", "Episode", "make_clip_batch", "propagate"]

# Probability that a clip's objects are prompted by masks, as in the benchmarks of tracking.
_MASK_PROMPTS = 0.5
# Probability, and largest number of frames, of a gap after the first frame, as in long videos.
_GAP, _MAX_GAP = 0.4, 120
# Probability that a clip's objects are found without their previous masks, by their looks alone.
_BY_LOOKS = 0.4
# Probabilities, in the other clips, that a previous mask is dropped, or shifted by up to a fraction
# of the frame.
_DROP, _SHIFT, _MAX_SHIFT = 0.1, 0.25, 0.08


@dataclass(frozen=True, kw_only=True)
class Episode:
    """A clip and N of its objects, prompted on its first frame.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        targets: (T, N, H / 4, W / 4) uint8 coverage 0..255 of each object.
        masks: (N, H, W) bool, the mask prompts; None where prompts are boxes and clicks.
        points, labels: (N, 2, 2) float32 and (N, 2) int64, the boxes and clicks.
        gap: number of frames between the first and the second one.
    """

    frames: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.uint8]
    masks: BoolArray | None
    points: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    gap: int


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """The episodes of a step."""

    episodes: tuple[Episode, ...]

    def split(self, count: int) -> list["ClipBatch"]:
        """The batch in `count` equal parts."""
        size = len(self.episodes) // count
        return [ClipBatch(episodes=self.episodes[i * size : (i + 1) * size]) for i in range(count)]


def make_clip_batch(
    library: Library, config: TrainingConfig, stage: Stage, step: int, *, rank: int = 0
) -> ClipBatch:
    """The share of one process of the clips of a step; seed, stage, step and rank determine it."""
    rng = np.random.default_rng([config.seed, step, rank])
    return ClipBatch(
        episodes=tuple(_episode(library, config, stage, rng) for _ in range(stage.images))
    )


def _episode(library: Library, config: TrainingConfig, stage: Stage, rng: Generator) -> Episode:
    clip, chosen = _prompted_clip(library, config, stage, rng)
    if rng.random() < config.motion.elsewhere and len(clip.frames) > 1:
        clip = _with_cut(clip, library, config, stage, rng)
    first = clip.masks[0, chosen] > 0.5
    prompts = [simulated_prompt(mask, config.prompts, rng) for mask in first]
    return Episode(
        frames=clip.frames,
        targets=np.stack([downscaled(frame[chosen]) for frame in clip.masks]),
        masks=first if rng.random() < _MASK_PROMPTS else None,
        points=np.array([xy for xy, _ in prompts], np.float32),
        labels=np.array([kinds for _, kinds in prompts], np.int64),
        gap=int(rng.integers(_MAX_GAP)) if rng.random() < _GAP else 0,
    )


def _prompted_clip(
    library: Library, config: TrainingConfig, stage: Stage, rng: Generator
) -> tuple[Clip, npt.NDArray[np.int64]]:
    """A clip, perhaps reversed, and the objects to prompt on its first frame."""

    def attempt() -> tuple[Clip, npt.NDArray[np.int64]] | None:
        clip = make_clip(library, config.scenes, config.motion, stage.shape, stage.frames, rng)
        if rng.random() < 0.5:
            clip = Clip(frames=clip.frames[::-1].copy(), masks=clip.masks[::-1])
        areas = clip.masks[0].mean((1, 2))
        large = areas >= config.scenes.min_area
        shown = np.flatnonzero(large & (downscaled(clip.masks[0]).max((1, 2)) > 127))
        if not len(shown):
            return None
        odds = np.sqrt(areas[shown])
        count = min(stage.prompts, len(shown))
        return clip, rng.choice(shown, count, replace=False, p=odds / odds.sum())

    return first_with_objects("clip", config.scenes, attempt)


def _with_cut(
    clip: Clip, library: Library, config: TrainingConfig, stage: Stage, rng: Generator
) -> Clip:
    """A clip of which one or two frames in a row, after the first, are of another scene."""
    start = int(rng.integers(1, len(clip.frames)))
    cut = slice(start, start + int(rng.integers(1, 3)))
    frames, masks = clip.frames.copy(), clip.masks.copy()
    frames[cut] = make_scene(library, config.scenes, stage.shape, rng).image
    masks[cut] = 0
    return Clip(frames=frames, masks=masks)


def propagate(
    network: MemoryNetwork, pixels: Tensor, episode: Episode, config: LossConfig, rng: Generator
) -> tuple[Tensor, Tensor]:
    """Prompt the first frame and propagate the objects to the others, as `VideoPredictor` does.

    Args:
        network: to be trained.
        pixels: (T, 3, H, W) normalised frames.
        episode: the prompts and targets.

    Returns:
        The mean loss over the frames after the first, and the actual IoU of the chosen masks in
        them, of the objects that are visible.
    """
    device = pixels.device
    targets = torch.from_numpy(episode.targets).to(device).float() / 255
    features = network.encode_image(pixels)
    frames = [features.select(torch.tensor([t], device=device)) for t in range(len(pixels))]
    memory = network.config.memory
    banks = [MemoryBank(slots=memory.slots, pointers=memory.pointers) for _ in targets[0]]

    def remember(number: int, frame: ImageFeatures, objects: ObjectPrediction) -> None:
        memories = network.remember(frame, objects, prompted=number == 0)
        for bank, memory in zip(banks, memories, strict=True):
            bank.add(number, memory, prompted=number == 0)

    by_looks = rng.random() < _BY_LOOKS
    objects = _prompted(network, frames[0], episode)
    remember(0, frames[0], objects)
    losses, ious = [], []
    for t in range(1, len(frames)):
        number = t + episode.gap
        recalled = network.recall(frames[t], [bank.reachable(number) for bank in banks])
        conditioned = network.condition(frames[t], recalled)
        previous = [None] * len(banks) if by_looks else _augmented(objects.logits, rng)
        prompts = network.propagation_prompts(previous)
        prediction = network.decode(conditioned, prompts)
        outcome = prediction_loss(prediction, targets[t], config)
        losses.append(outcome.loss)
        ious.append(outcome.picked[targets[t].flatten(1).amax(1) > 0.5])
        # No gradients flow through the masks of earlier frames.
        objects = network.choose(prediction, ambiguous=True)
        objects = replace(objects, logits=objects.logits.detach())
        if t + 1 < len(frames):
            remember(number, frames[t], objects)
    return torch.stack(losses).mean(), torch.cat(ious)


def _prompted(network: MemoryNetwork, frame: ImageFeatures, episode: Episode) -> ObjectPrediction:
    device = frame.embedding.device
    if episode.masks is not None:
        masks = torch.from_numpy(episode.masks).to(device)[:, None]
        return network.from_masks(frame, masks.to(frame.embedding.dtype))
    points, labels = (torch.from_numpy(x).to(device) for x in (episode.points, episode.labels))
    pad_boxes = network.config.prompt_encoder.pad_boxes
    prompts = PromptTensors.padded(points, labels, pad_boxes=pad_boxes)
    objects = network.segment(network.without_memory(frame), prompts, ambiguous=False)
    return replace(objects, logits=objects.logits.detach())


def _augmented(logits: Tensor, rng: Generator) -> list[Tensor | None]:
    """Previous masks (N, h, w), some of them dropped or shifted."""
    masks: list[Tensor | None] = []
    for mask in logits:
        chance = rng.random()
        if chance < _DROP:
            masks.append(None)
        elif chance < _DROP + _SHIFT:
            down, right = np.round(rng.uniform(-_MAX_SHIFT, _MAX_SHIFT, 2) * mask.shape)
            masks.append(mask.roll((int(down), int(right)), (0, 1)))
        else:
            masks.append(mask)
    return masks
