"""SAM as a function from images and prompts to masks."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from samkit.compat.arrays import array_of
from samkit.compat.tfimm.config import SegmentAnythingModelConfig, core_config, described_by
from samkit.compat.tfimm.prompts import read_prompts
from samkit.compat.tfimm.resizer import full_size
from samkit.errors import ImageError, InputError
from samkit.geometry import checked_size
from samkit.image_predictor.device import without_autocast
from samkit.nn import ImageFeatures, MaskPrediction, Network, PromptTensors, build
from samkit.transforms import ImageTransform
from samkit.weights import MODELS, load_network
from samkit.weights.adapting import adapt

__all__ = ["Prediction", "SegmentAnythingModel"]

_KEYS = ("images", "points", "labels", "boxes", "masks")


class Prediction(NamedTuple):
    """K masks of each of N objects; K is 1, or `nb_multimask_outputs` if several are asked for.

    Without a batch axis in the prompts of a `SAMPredictor`, there is none here.

    Attributes:
        masks: (N, K, H, W) bool at the size of the image; float32 logits with `return_logits`.
        scores: (N, K) float32, predicted IoU.
        logits: (N, K, H', W') float32 at low resolution, which can be given back as mask prompts.
    """

    masks: NDArray[np.bool_] | NDArray[np.float32]
    scores: NDArray[np.float32]
    logits: NDArray[np.float32]


class SegmentAnythingModel:
    """SAM (2304.02643) with a ViT.

    Its weights are random; `from_pretrained` (or `create_model`) and `from_network` make a model
    with others. To save them: ``samkit.weights.save_network(model.network, "mine.safetensors")``.

    Args:
        cfg: its sizes and options.

    Attributes:
        cfg: as given.
        network: the network in samkit's core, a torch module in evaluation mode, on the CPU at
            first: move it with ``model.network.to("cuda")``.
        mask_threshold: logits above it belong to the mask.
    """

    def __init__(self, cfg: SegmentAnythingModelConfig) -> None:
        if not isinstance(cfg, SegmentAnythingModelConfig):
            raise InputError(f"expected a SegmentAnythingModelConfig, got {type(cfg).__name__}")
        with torch.device("cpu"):
            network = build(core_config(cfg))
        self._set_network(network, cfg)

    @classmethod
    def from_network(cls, network: Network) -> "SegmentAnythingModel":
        """A model around a network of samkit, such as ``samkit.load("sam-vit-b").network``.

        The weights are shared, not copied.

        Raises:
            InputError: not SAM with a ViT.
        """
        if not isinstance(network, Network):
            raise InputError(f"expected a network of SAM, got {type(network).__name__}")
        model = cls.__new__(cls)
        model._set_network(network, described_by(network.config))
        return model

    @classmethod
    def from_pretrained(
        cls, source: str | Path, cfg: SegmentAnythingModelConfig | None = None
    ) -> "SegmentAnythingModel":
        """A model with the weights of a checkpoint.

        Args:
            source: a name of `samkit models` or its address, a checkpoint file (Meta, Hugging
                Face, samkit), a folder, or a Hugging Face id. What was downloaded once is used
                offline from then on.
            cfg: None for the checkpoint's own sizes. A `cfg` of other `in_channels` or
                `input_size` adapts the first convolution and interpolates positions (bilinear).

        Raises:
            UnknownModelError, CheckpointError, DownloadError: as of `samkit.load`.
            CheckpointKeysError: the checkpoint does not fit `cfg`.
            InputError: not SAM with a ViT, or `cfg.first_conv` names no convolution.
        """
        names = {model.url: name for name, model in MODELS.items() if model.url}
        source = names.get(str(source), source)
        if isinstance(source, str) and source in MODELS:
            described_by(MODELS[source].config)  # refuse it before the download
        network = load_network(source)
        if cfg is None:
            return cls.from_network(network)
        first_conv = cfg.first_conv.replace("/", ".")
        model = cls.__new__(cls)
        adapted = adapt(
            network, core_config(cfg), first_conv=first_conv, position_resampling="bilinear"
        )
        model._set_network(adapted, cfg)
        return model

    def _set_network(self, network: Network, cfg: SegmentAnythingModelConfig) -> None:
        self.cfg = cfg
        self.network = network.eval()
        self.mask_threshold = cfg.mask_threshold

    def __call__(
        self,
        inputs: Mapping[str, ArrayLike | None],
        training: bool = False,
        multimask_output: bool = False,
        return_logits: bool = False,
    ) -> Prediction:
        """Masks of one object in each of N images.

        All points, boxes and the mask of an image are of the same object.

        Args:
            inputs: ``images`` (N, H, W, C) normalised, and prompts in pixels of these images, any
                of which may be left out: ``points`` (N, M1, 2), ``labels`` (N, M1) of 1, 0 or -1
                (padding), ``boxes`` (N, M2, 4), ``masks`` (N, M3, H', W') logits with M3 0 or 1.
                For an image without any, the network predicts without a prompt.
            training: apply dropout and drop path.
            multimask_output: several masks for each object instead of one.
            return_logits: logits at the size of the images instead of masks.

        Raises:
            InputError, ImageError, PromptError: the message says what was expected.
        """
        if not isinstance(inputs, Mapping) or not set(inputs) <= set(_KEYS):
            got = list(inputs) if isinstance(inputs, Mapping) else type(inputs).__name__
            raise InputError(f"inputs: expected a dict with some of {', '.join(_KEYS)}, got {got}")
        images = self._images(inputs.get("images"))
        size = (images.shape[1], images.shape[2])
        prompts = read_prompts(
            inputs.get("points"),
            inputs.get("labels"),
            inputs.get("boxes"),
            inputs.get("masks"),
            count=len(images),
            mask_size=self.mask_size(size),
        )
        rows, columns = self.grid_size(size)
        patch = self.cfg.encoder_patch_size
        # Sides that are no multiples of the patch size are padded, and cut off again.
        transform = ImageTransform(
            image_size=size,
            input_size=(rows * patch, columns * patch),
            keep_aspect=True,
            stride=patch,
            pad_only=True,
        )
        self.network.train(training)
        try:
            features = self.encode(images)
            tensors = prompts.tensors(slice(None), transform, features.embedding.device)
            prediction = self.decode(features, tensors, multimask_output)
        finally:
            self.network.eval()
        return self.output(prediction, transform, return_logits)

    @property
    def dummy_inputs(self) -> dict[str, NDArray[np.float32]]:
        """Inputs of the right shapes, all zero: one image with each kind of prompt."""
        shapes: dict[str, tuple[int, ...]] = {
            "images": (1, *self.cfg.input_size, self.cfg.in_channels),
            "points": (1, 1, 2),
            "labels": (1, 1),
            "boxes": (1, 1, 4),
            "masks": (1, 1, *self.mask_size()),
        }
        return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}

    def grid_size(self, input_size: tuple[int, int] | None = None) -> tuple[int, int]:
        """(H'', W'') of the image embedding for images of `input_size`, by default the config's.

        Raises:
            InputError: a size that is no two positive integers.
        """
        size = self.cfg.input_size if input_size is None else input_size
        height, width = checked_size(size, "input_size")
        patch = self.cfg.encoder_patch_size
        return -(-height // patch), -(-width // patch)

    def mask_size(self, input_size: tuple[int, int] | None = None) -> tuple[int, int]:
        """(H', W') of low-resolution logits: four times `grid_size`."""
        rows, columns = self.grid_size(input_size)
        return rows * 4, columns * 4

    # The steps of a call, which SAMPredictor takes one by one

    def encode(self, images: NDArray[np.float32]) -> ImageFeatures:
        """Normalised images (N, H, W, C) -> their features."""
        patch, (height, width) = self.cfg.encoder_patch_size, images.shape[1:3]
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        pixels = torch.nn.functional.pad(pixels, (0, -width % patch, 0, -height % patch))
        weight = next(self.network.image_encoder.parameters())
        with torch.inference_mode(), without_autocast(self.network):
            return self.network.encode_image(pixels.to(weight))

    def decode(
        self, features: ImageFeatures, prompts: PromptTensors, multimask_output: bool
    ) -> MaskPrediction:
        """Masks of N prompts on one image, or on N images."""
        decoder = self.network.mask_decoder
        with torch.inference_mode(), without_autocast(self.network):
            prediction = self.network.decode_masks(features, prompts)
            choose = decoder.multiple if multimask_output else decoder.single
            return choose(prediction)

    def output(
        self, prediction: MaskPrediction, transform: ImageTransform, return_logits: bool
    ) -> Prediction:
        """A prediction as arrays, with masks at the size of the image."""
        threshold = None if return_logits else self.mask_threshold
        masks = full_size(transform, prediction.logits.flatten(0, 1), threshold)
        return Prediction(
            masks=masks.reshape(*prediction.iou.shape, *transform.image_size),
            scores=prediction.iou.float().cpu().numpy(),
            logits=prediction.logits.float().cpu().numpy(),
        )

    def _images(self, images: ArrayLike | None) -> NDArray[np.float32]:
        channels = self.cfg.in_channels
        expected = f"images: expected shape (N, H, W, {channels}), none of it 0"
        if images is None:
            raise ImageError(f"{expected}, got none")
        array = array_of(images, "images", ImageError)
        if array.ndim != 4 or array.shape[3] != channels or 0 in array.shape:
            raise ImageError(f"{expected}, got shape {array.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            result = array.astype(np.float32, copy=False) if array.dtype.kind == "f" else None
        if result is None or not np.isfinite(result).all():
            raise ImageError(
                "images: expected normalised images as finite floats "
                f"(create_preprocessing makes them), got {array.dtype}"
            )
        size = array.shape[1:3]
        if self.cfg.fixed_input_size and size != self.cfg.input_size:
            raise ImageError(
                f"images: expected size {self.cfg.input_size}, got {size}; "
                "with fixed_input_size=False a model takes any"
            )
        return result
