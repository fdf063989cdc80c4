"""The state of a training run, and the training step."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import Generator
from torch import Tensor

from samkit.errors import InputError
from samkit.nn import MemoryNetwork, Network, TokenLabel, build
from samkit.sizes import from_dict
from samkit.training.config import MEMORY_PARTS, TRUNK, Stage, TrainingConfig
from samkit.training.distributed import Worker
from samkit.training.interaction import interact
from samkit.training.losses import Outcome
from samkit.training.pretrained import load_imagenet
from samkit.training.sampling import Batch
from samkit.training.tracking import ClipBatch, propagate

__all__ = ["AnyBatch", "Report", "Trainer"]

# The decay of the EMA rises from the start of the run: (1 + step) / (_EMA_RAMP + step).
_EMA_RAMP = 10

AnyBatch: TypeAlias = Batch | ClipBatch


@dataclass(frozen=True, kw_only=True)
class Report:
    """The progress of a run, and means over the steps since the last report.

    Attributes:
        step, seconds, progress: steps and time so far, and the fraction of the run that is done.
        size: side, or height, of the network input.
        learning_rate: of the next step; loss: mean over the batches.
        box_iou, click_iou: of the single mask after one prompt.
        picked_iou, best_iou: after a click, of the candidate with the highest predicted IoU and
            of the best one.
        track_iou: in clips, of objects in the frames after the prompted one.
        images_per_second: training speed; each frame of a clip counts.
    """

    step: int
    seconds: float
    progress: float
    size: int
    learning_rate: float
    loss: float
    box_iou: float = 0.0
    click_iou: float = 0.0
    picked_iou: float = 0.0
    best_iou: float = 0.0
    track_iou: float = 0.0
    images_per_second: float


class Trainer:
    """The state of a run, and the training step."""

    def __init__(
        self,
        config: TrainingConfig,
        *,
        start: Network | None = None,
        worker: Worker | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.config = config
        self.worker = worker or Worker()
        self.device = device or torch.device("cpu")
        torch.manual_seed(config.seed)
        self.network = build(from_dict(config.network))
        if start is not None:
            _load_weights(self.network, start)
        elif config.imagenet:
            load_imagenet(self.network)
        learns_memory = any(stage.frames > 1 for stage in config.stages)
        had_memory = start is not None and start.has_memory
        self.network.has_memory &= had_memory or learns_memory
        self.network.to(self.device).train()
        self.trainable = {}
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not name.startswith(config.frozen))
            if parameter.requires_grad:
                self.trainable[name] = parameter
        if not self.trainable:
            raise InputError("frozen: then nothing is left to learn")
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.trainable, config), lr=config.learning_rate, fused=True
        )
        self.ema = {name: p.detach().clone() for name, p in self.trainable.items()}
        self.step = 0
        self.seconds = 0.0
        self.validated = -1  # the last step after which the run was validated
        # False while the optimiser updates the weights, and after the run has diverged.
        self.is_consistent = True
        self._began = time.monotonic()
        self._mean = torch.tensor(self.network.config.mean).view(1, 3, 1, 1).to(self.device)
        self._std = torch.tensor(self.network.config.std).view(1, 3, 1, 1).to(self.device)
        self._metrics: dict[str, list[float]] = {}
        self._images = 0
        self._since = time.monotonic()

    def start_clock(self) -> None:
        """Count time from now on, added to the seconds so far."""
        self._began = time.monotonic() - self.seconds

    def progress(self, step: int) -> float:
        """0 at the start of the run, 1 at its end."""
        if self.config.steps is not None:
            return step / self.config.steps
        assert self.config.minutes is not None
        return self.seconds / (60 * self.config.minutes)

    def learning_rate(self) -> float:
        """Linear warm-up, then cosine decay to the end of the run."""
        config = self.config
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, self.progress(self.step))))
        floor = min(config.final_learning_rate, config.learning_rate)
        rate = floor + (config.learning_rate - floor) * cosine
        return rate * min(1.0, (self.step + 1) / max(1, config.warmup))

    def train_step(self, batch: AnyBatch, stage: Stage) -> None:
        """One step of the optimiser.

        Raises:
            InputError: the run has diverged: the loss or its gradient is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate() * group["factor"]
        # Seeded by the step, so that dropout is the same in a resumed run.
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        rounds = self._rounds()
        rng = self._generator(2, self.worker.rank)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros(1, device=self.device)
        for part in batch.split(self.config.accumulate):
            half = self.config.precision == "bfloat16"
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                if isinstance(part, ClipBatch):
                    losses = self._clip_losses(part, rng)
                else:
                    losses = self._losses(part, rounds, rng)
            torch.autograd.backward([loss / self.config.accumulate for loss in losses])
            total += torch.stack(losses).detach().sum() / self.config.accumulate
        self._all_reduce(total)
        norm = torch.nn.utils.clip_grad_norm_(self.trainable.values(), self.config.clip_gradient)
        self.is_consistent = False
        if not bool((total + norm).isfinite()):
            raise InputError(
                f"training has diverged: at step {self.step + 1} the loss is {float(total):.3g}, "
                f"its gradient {float(norm):.3g}; try a lower learning rate than "
                f"{self.config.learning_rate:g}. Files that were written before stay as they are"
            )
        self.optimizer.step()
        self.step += 1
        decay = min(self.config.ema, (1 + self.step) / (_EMA_RAMP + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.values()), list(self.trainable.values()), 1 - decay)
        self.is_consistent = True

    def _rounds(self) -> int:
        """Correction rounds of this step."""
        rng, prompts = self._generator(1), self.config.prompts
        return int(rng.integers(1, prompts.rounds + 1)) if rng.random() < prompts.correction else 0

    def _generator(self, *purpose: int) -> Generator:
        return np.random.default_rng([self.config.seed, self.step, *purpose])

    def _all_reduce(self, loss: Tensor) -> None:
        """Average gradients, loss and the time so far over all processes."""
        clock = torch.tensor([time.monotonic() - self._began], device=self.device)
        gradients = []
        for parameter in self.trainable.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        self.worker.all_reduce_mean([*gradients, loss, clock])
        self.seconds = float(clock)

    def _clip_losses(self, batch: ClipBatch, rng: Generator) -> list[Tensor]:
        """The loss of each clip."""
        assert isinstance(self.network, MemoryNetwork)
        losses = []
        for episode in batch.episodes:
            pixels = self._pixels(episode.frames)
            loss, iou = propagate(self.network, pixels, episode, self.config.loss, rng)
            losses.append(loss / len(batch.episodes))
            self._record(len(pixels), loss=loss.detach()[None], track_iou=iou)
        return losses

    def _losses(self, batch: Batch, rounds: int, rng: Generator) -> list[Tensor]:
        """The losses of all rounds of prompts."""
        pixels = self._pixels(batch.images)
        losses, first = interact(self.network, pixels, batch, self.config, rounds, rng)
        self._record_prompts(batch, first)
        return losses

    def _pixels(self, images: npt.NDArray[np.uint8]) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W), normalised."""
        pixels = self._tensor(images).permute(0, 3, 1, 2).float() / 255
        return (pixels - self._mean) / self._std

    def _tensor(self, array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _record_prompts(self, batch: Batch, first: Outcome) -> None:
        """Record the IoU of the masks after the first prompts."""
        boxes = self._tensor(batch.labels[..., 0] == TokenLabel.BOX_TOP_LEFT).flatten()
        clicks = self._tensor(batch.labels[..., 0] == TokenLabel.FOREGROUND).flatten()
        iou = first.iou.detach()
        self._record(
            len(batch.images),
            loss=first.loss.detach()[None],
            box_iou=iou[boxes, 0],
            click_iou=iou[clicks, 0],
            picked_iou=first.picked[clicks],
            best_iou=iou[clicks, 1:].amax(1),
        )

    def _record(self, images: int, **values: Tensor) -> None:
        for name, value in values.items():
            self._metrics.setdefault(name, []).extend(value.tolist())
        self._images += images

    def report(self, stage: Stage) -> Report:
        """Progress, and means since the last call."""
        now = time.monotonic()
        means = {name: float(np.mean(v)) if v else 0.0 for name, v in self._metrics.items()}
        report = Report(
            step=self.step,
            seconds=self.seconds,
            progress=self.progress(self.step),
            size=stage.size,
            learning_rate=self.learning_rate(),
            images_per_second=self.worker.world_size * self._images / (now - self._since),
            **means,
        )
        self._metrics, self._images, self._since = {}, 0, now
        return report

    def ema_network(self) -> Network:
        """A copy of the network with the averaged weights, on the CPU, in eval mode."""
        network = build(self.network.config)
        network.load_state_dict({**self.network.state_dict(), **self.ema})
        network.has_memory = self.network.has_memory
        return network.eval()


def _parameter_groups(
    parameters: Mapping[str, Tensor], config: TrainingConfig
) -> list[dict[str, Any]]:
    """Parameters with the factor of the learning rate and the weight decay of each."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in parameters.items():
        factor = config.trunk_learning_rate if name.startswith(TRUNK) else 1.0
        # As is usual, biases, norms and embeddings of one vector have no weight decay.
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    return [
        {"params": params, "factor": factor, "weight_decay": decay}
        for (factor, decay), params in groups.items()
    ]


def _load_weights(network: Network, start: Network) -> None:
    """Copy the weights of `start`, except memory parts that were never trained.

    Raises:
        InputError: the networks have different tensors, or compute other things with them.
    """
    weights, own = start.state_dict(), network.state_dict()
    shapes, expected = ({n: tuple(t.shape) for n, t in w.items()} for w in (weights, own))
    if shapes != expected:
        wrong = sorted(n for n in {**shapes, **expected} if shapes.get(n) != expected.get(n))
        raise InputError(
            "start: expected a network of the sizes that the configuration says, got one of "
            f"which {len(wrong)} tensors differ, such as {wrong[0]}: expected "
            f"{expected.get(wrong[0], 'none')}, got {shapes.get(wrong[0], 'none')}"
        )
    if replace(start.config, image_size=network.config.image_size) != network.config:
        raise InputError(
            "start: expected a network of the sizes that the configuration says, got one that has "
            "the same tensors and computes something else with them"
        )
    if not start.has_memory:
        weights = {n: own[n] if n.startswith(MEMORY_PARTS) else t for n, t in weights.items()}
    network.load_state_dict(weights)
