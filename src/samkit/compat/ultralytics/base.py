"""Settings, model, sources and preprocessing, which all predictors share."""

import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.arguments import switch
from samkit.compat.ultralytics.arrays import check_preprocessed, rgb_images, rgb_of_bgr
from samkit.compat.ultralytics.delivery import Callbacks, Delivery
from samkit.compat.ultralytics.features import Features, features_of
from samkit.compat.ultralytics.loading import load_core
from samkit.compat.ultralytics.prompts import PromptArrays
from samkit.compat.ultralytics.results import Results
from samkit.compat.ultralytics.settings import DEFAULT_CFG, Settings, read_settings
from samkit.compat.ultralytics.sources import SourceImage, single_image, source_images
from samkit.compat.ultralytics.tensor_sources import record_images, recorded_images
from samkit.errors import InputError
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.image_predictor.device import own_dtypes
from samkit.masks import Masks
from samkit.nn import ImageFeatures, Network
from samkit.sizes import Sam2Config

__all__ = ["BasePredictor", "EncodedImage"]


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedImage:
    """An image, preprocessed and encoded.

    Attributes:
        source: its pixels and path.
        im: (1, 3, H, W), the network's input.
        embedding: the network's output.
        preprocess_ms: milliseconds that preprocessing took, 0 if it was done before this call.
    """

    source: SourceImage
    im: Tensor
    embedding: ImageEmbedding
    preprocess_ms: float = 0.0


class BasePredictor:
    """Settings, model and sources. The model is loaded at first use, or by `setup_model`.

    Args:
        cfg: settings to start from.
        overrides: settings that differ from `cfg`, see `Settings`.
        _callbacks: functions to call, see `samkit.compat.ultralytics.delivery.Callbacks`.

    Attributes:
        args: the settings.
        model: the network, None before it is loaded.
        device: of the network, None before it is loaded.
        mean, std: (3, 1, 1) of the network's input, for values from 0 to 255.
        im: the last preprocessed images (N, 3, H, W), or None.
        features: of the image that was set, or None.
        prompts: the dict given to `set_prompts`, copied.
        segment_all: whether everything mode is running.
    """

    default_model = "sam_b.pt"
    kind: type[Sam2Config] | None = None
    """Class of the sizes of networks that it takes; None for all."""
    needs_memory = False
    _has_object_ids = False
    """Whether ids in results are of objects, which last."""

    def __init__(
        self,
        cfg: Any = DEFAULT_CFG,
        overrides: Mapping[str, Any] | None = None,
        _callbacks: Callbacks | None = None,
    ) -> None:
        self.args: Settings = read_settings(cfg, overrides)
        self.model: Network | None = None
        self.device: torch.device | None = None
        self.mean = _channels([123.675, 116.28, 103.53], torch.device("cpu"))
        self.std = _channels([58.395, 57.12, 57.375], torch.device("cpu"))
        self.im: Tensor | None = None
        self.features: Features | None = None
        self.prompts: dict[str, Any] = {}
        self.segment_all = False
        self._delivery = Delivery(self.args, _callbacks)
        self._core: ImagePredictor | None = None
        self._stored = PromptArrays()
        self._source: Any = None
        self._image: EncodedImage | None = None
        self._has_preprocessed = False

    @property
    def results(self) -> list[Results]:
        """Of the last image, as a list of one."""
        return self._delivery.results

    @property
    def save_dir(self) -> Path | None:
        """The folder of saved pictures, None before the first one."""
        return self._delivery.folder

    # The model

    def setup_model(
        self, model: Any = None, model_path: str | Path | None = None, verbose: bool = True
    ) -> None:
        """Load a model. Images, and what is remembered of them, are forgotten.

        Args:
            model: a network of samkit, an `ImagePredictor`, or a name or checkpoint.
            model_path: a name or checkpoint, if `model` is None; by default that of the settings.
            verbose: print the model's name and size, unless the settings say no.

        Raises:
            UnknownModelError, CheckpointError, DownloadError: as of `samkit.load`.
            InputError: not the kind of model that this predictor needs.
        """
        chosen = [model, model_path, self.args.model, self.default_model]
        source = next(one for one in chosen if one is not None)
        core = load_core(source, self.args, kind=self.kind, needs_memory=self.needs_memory)
        self._prepare(core)
        self.reset_image()
        self._core, self.model, self.device = core, core.network, core.device
        config = core.network.config
        self.mean = _channels(config.mean, core.device) * 255
        self.std = _channels(config.std, core.device) * 255
        if verbose and self.args.verbose:
            print(core, file=sys.stderr)

    @property
    def core(self) -> ImagePredictor:
        """samkit's own predictor, which does the work."""
        if self._core is None:
            self.setup_model()
        assert self._core is not None
        return self._core

    def _prepare(self, core: ImagePredictor) -> None:
        """Prepare for another model, or raise InputError if it cannot be used here."""

    # Sources and prompts

    def setup_source(self, source: Any) -> None:
        """Choose the images of following calls without a source.

        Args:
            source: a file, folder, pattern, URL, video, array (H, W, 3) BGR, PIL image, tensor
                (3, H, W) or (N, 3, H, W) RGB from 0 to 1, or a list of those; None for none.

        Raises:
            ImageError, InputError: it is missing, or nothing of these.
        """
        if source is not None:
            source_images(source)  # checks it
        self._source = source

    def set_prompts(self, prompts: Mapping[str, Any]) -> None:
        """Set the prompts of all following calls, until others are set.

        Args:
            prompts: some of bboxes, points, labels and masks; an empty dict for none. Arguments of
                a call take precedence.

        Raises:
            PromptError: an unknown key, a wrong shape or wrong values.
        """
        self._stored = PromptArrays.from_dict(prompts)
        self.prompts = {name: _copied(value) for name, value in prompts.items()}

    def set_image(self, image: Any) -> None:
        """Encode one image, for all following calls without a source.

        Args:
            image: a path, an array (H, W, 3) BGR, or another source with one image.

        Raises:
            ImageError: not an image; InputError: not exactly one.
        """
        source = single_image(image, "image")
        self.reset_image()
        self._set_image(self._encode_source(source))

    def reset_image(self) -> None:
        """Forget the image that was set."""
        self.im = self.features = self._image = None

    def _set_image(self, image: EncodedImage) -> Features:
        self._image, self.im = image, image.im
        self.features = features_of(self.core.network, image.embedding.features)
        return self.features

    # Preprocessing and encoding

    def pre_transform(self, im: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Images (H, W, 3) uint8 BGR at the network's input size, also BGR.

        SAM keeps their aspect and pads at the bottom and right with the mean colour, which
        normalises to 0; SAM 2 stretches them.
        """
        pixels = self._normalised(rgb_images(im))
        return [np.ascontiguousarray(one[..., ::-1]) for one in self._pictures(pixels)]

    def preprocess(self, im: Any) -> Tensor:
        """The network's input for images: (N, 3, H, W), normalised, in the model's dtype.

        Args:
            im: images (H, W, 3) uint8 BGR, of any sizes. A tensor counts as normalised.
        """
        if isinstance(im, Tensor):
            check_preprocessed(im)
            moved = im.to(self.core.device, self.core.dtype)
            images = recorded_images(im)
            if moved is not im and images is not None:
                record_images(moved, images)
            return moved
        return self._preprocess_rgb(rgb_images(im))

    def get_im_features(self, im: Tensor) -> Features:
        """Features of preprocessed images (N, 3, H, W).

        Returns:
            SAM: (N, C, h, w). SAM 2: a dict of image_embed (N, C, h, w) and high_res_feats, a list.
        """
        return features_of(self.core.network, self._network_features(im))

    def _preprocess_rgb(self, pixels: list[NDArray[np.uint8]]) -> Tensor:
        self.im = self._normalised(pixels)
        self._has_preprocessed = True
        record_images(self.im, pixels)
        return self.im

    def _normalised(self, pixels: list[NDArray[np.uint8]]) -> Tensor:
        core, config = self.core, self.core.network.config
        each = [
            core.transform((one.shape[0], one.shape[1])).pixels(one, config.mean, config.std)
            for one in pixels
        ]
        return torch.cat(each).to(core.device, core.dtype)

    def _pictures(self, im: Tensor) -> list[NDArray[np.uint8]]:
        """Preprocessed images as (H, W, 3) uint8 RGB."""
        values = (im.float() * self.std + self.mean).round().clamp(0, 255).byte()
        return [one.permute(1, 2, 0).cpu().numpy() for one in values]

    def _network_features(self, im: Tensor) -> ImageFeatures:
        check_preprocessed(im)
        network = self.core.network
        with torch.no_grad(), own_dtypes(network):
            return network.encode_image(im.to(self.core.device, self.core.dtype))

    def _encode(self, im: Tensor, source: SourceImage, preprocess_ms: float = 0.0) -> EncodedImage:
        embedding = self.core.embedding(self._network_features(im), source.size)
        return EncodedImage(source=source, im=im, embedding=embedding, preprocess_ms=preprocess_ms)

    def _encode_source(self, source: SourceImage) -> EncodedImage:
        start = perf_counter()
        im = self._preprocess_rgb([source.pixels])
        return self._encode(im, source, (perf_counter() - start) * 1000)

    def _encode_input(self, im: Any) -> EncodedImage:
        """Encode a preprocessed tensor (1, 3, H, W) or an array (H, W, 3) BGR.

        A tensor of unknown origin counts as the image itself, as long as this predictor has
        preprocessed no image that it might be a copy of.
        """
        if self._image is not None and im is self._image.im:
            return self._image
        if not isinstance(im, Tensor):
            return self._encode_source(SourceImage(pixels=rgb_of_bgr(im), path="image0.jpg"))
        check_preprocessed(im)
        if len(im) != 1:
            raise InputError(f"im: expected one image at a time, got {len(im)}")
        images = recorded_images(im)
        if images is None and self._has_preprocessed:
            raise InputError(
                "im: expected a tensor of preprocess itself, a slice of it such as im[:1], or an "
                "image (H, W, 3) BGR, got a copy or a tensor of other origin: what size its image "
                "has is not known"
            )
        (pixels,) = images or self._pictures(im.to(self.core.device))
        return self._encode(im, SourceImage(pixels=pixels, path="image0.jpg"))

    # Results

    def _predict_images(
        self, source: Any, predict: Callable[[EncodedImage], Masks], stream: bool
    ) -> list[Results] | Iterator[Results]:
        """Results for each image of a source; without one, of `set_image` or `setup_source`."""
        images: Iterator[EncodedImage]
        if source is None and self._image is not None:
            images = iter([replace(self._image, preprocess_ms=0.0)])
        elif source is None and self._source is None:
            raise InputError("source: expected images, or set_image or setup_source before")
        else:
            sources = source_images(self._source if source is None else source)
            images = map(self._encode_source, sources)
        results = (
            self._result(image.source, predict(image), image.preprocess_ms) for image in images
        )
        return self._deliver(results, stream)

    def _deliver(
        self, results: Iterator[Results], stream: bool
    ) -> list[Results] | Iterator[Results]:
        stream = switch("stream", stream)
        delivered = self._delivery(results, self)
        return delivered if stream else list(delivered)

    def _result(self, image: SourceImage, masks: Masks, preprocess_ms: float = 0.0) -> Results:
        start = perf_counter()
        result = Results(
            np.ascontiguousarray(image.pixels[..., ::-1]),
            image.path,
            masks,
            self._scores(masks),
            conf=self.args.conf,
            has_ids=self._has_object_ids,
            classes=self._classes(masks),
            frame=image.frame,
        )
        postprocess_ms = (perf_counter() - start) * 1000
        result.speed = {"preprocess": preprocess_ms, "postprocess": postprocess_ms}
        return result

    def _scores(self, masks: Masks) -> NDArray[np.float32]:
        """(N,), which become `boxes.conf` of results."""
        return masks.scores

    def _classes(self, masks: Masks) -> NDArray[np.int64]:
        """(N,), which become `boxes.cls` of results."""
        return masks.object_ids


def _copied(value: Any) -> Any:
    """Values of a prompt, which later changes of the caller's do not reach."""
    if isinstance(value, Tensor):  # of which those computed with a gradient cannot be deep-copied
        return value.detach().clone()
    if type(value) in (list, tuple):
        return type(value)(map(_copied, value))
    return copy.deepcopy(value)


def _channels(values: Sequence[float], device: torch.device) -> Tensor:
    """A value of each channel (3,) as (3, 1, 1)."""
    return torch.tensor(values, dtype=torch.float32, device=device).view(3, 1, 1)
