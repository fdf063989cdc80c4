"""A model that is called with images: `Predictor` behind the original's shortest interface."""

import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import torch

from samkit.compat.ultralytics.predictor import Predictor
from samkit.compat.ultralytics.results import Results
from samkit.compat.ultralytics.settings import Settings
from samkit.errors import InputError
from samkit.nn import Network
from samkit.sizes import Sam2Config

__all__ = ["SAM"]

_SETTINGS = {field.name for field in fields(Settings)} - {"model"}


class SAM:
    """SAM, MobileSAM, SAM 2 or SAM 3 on images and frames.

        model = SAM("sam2_t.pt")
        results = model("bus.jpg", points=[900, 370], labels=[1])

    Args:
        model: a name or a checkpoint, as for `Predictor`. It is loaded at once.

    Attributes:
        model: the network, as it was loaded.
        predictor: the `Predictor` of the last call.
        task: "segment".

    Raises:
        UnknownModelError, CheckpointError, DownloadError: as of `samkit.load`.
        InputError: not a model.
    """

    task = "segment"

    def __init__(self, model: Any = "sam_b.pt") -> None:
        if model is None:
            raise InputError("model: expected a name or a checkpoint, got None")
        self.predictor = Predictor(overrides={"model": model})
        self.predictor.setup_model(verbose=False)
        self.model: Network = self.predictor.core.network
        self._settings: dict[str, Any] = {}

    @property
    def device(self) -> torch.device:
        """Where the last call was computed."""
        return self.predictor.core.device

    @property
    def is_sam2(self) -> bool:
        """Whether it is SAM 2 (or `pico`, or SAM 3, whose clicks are those of SAM 2)."""
        return isinstance(self.model.config, Sam2Config)

    def __call__(
        self,
        source: Any = None,
        stream: bool = False,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        **options: Any,
    ) -> list[Results] | Iterator[Results]:
        """The same as `predict`."""
        return self.predict(source, stream, bboxes, points, labels, **options)

    def predict(
        self,
        source: Any = None,
        stream: bool = False,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        **options: Any,
    ) -> list[Results] | Iterator[Results]:
        """Masks of prompts; without any prompt, of everything.

        Args:
            source, stream, bboxes, points, labels: as in a call of `Predictor`. Of a video, each
                frame is an image of its own; `SAM2VideoPredictor` tracks.
            options: settings (`Settings`: device, imgsz, half, conf, save, ...), and what a call of
                `Predictor` takes (masks, multimask_output, options of `generate`).

        Returns:
            Results for each image, a list or a generator.

        Raises:
            ImageError, PromptError, InputError: the message says what was expected.
        """
        settings = {name: options.pop(name) for name in list(options) if name in _SETTINGS}
        if settings != self._settings:
            self.predictor = Predictor(overrides={**settings, "model": self.model})
            self._settings = settings
        return self.predictor(source, bboxes, points, labels, stream=stream, **options)

    def info(self, detailed: bool = False, verbose: bool = True) -> None:
        """Print what the network is, and how many parameters it has.

        Args:
            detailed: also the shape of each parameter.
            verbose: print.
        """
        if not verbose:
            return
        parameters = dict(self.model.named_parameters())
        total = sum(one.numel() for one in parameters.values())
        print(f"{self.predictor.core}: {total:,} parameters", file=sys.stderr)
        if detailed:
            for name, one in parameters.items():
                print(f"{name} {tuple(one.shape)}", file=sys.stderr)
