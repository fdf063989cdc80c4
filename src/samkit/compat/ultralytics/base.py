"""What all predictors share: settings, the model, sources, and images as the network takes them."""

import copy
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samkit.compat.ultralytics.arrays import check_preprocessed, image_list, rgb_of_bgr
from samkit.compat.ultralytics.delivery import Callbacks, Delivery
from samkit.compat.ultralytics.features import Features, features_of
from samkit.compat.ultralytics.loading import load_core
from samkit.compat.ultralytics.prompts import ObjectPrompts
from samkit.compat.ultralytics.results import Results
from samkit.compat.ultralytics.settings import Settings, read_settings
from samkit.compat.ultralytics.sources import Shot, check_source, shots_of
from samkit.compat.ultralytics.tensor_sources import images_of, note_images
from samkit.errors import InputError
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.masks import Masks
from samkit.nn import ImageFeatures, Network

__all__ = ["BasePredictor", "Look"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """An image that was looked at.

    Attributes:
        im: (1, 3, H, W) as the network takes it.
        shot: where it came from.
        embedding: what the network sees in it.
        speed: milliseconds that preprocessing took, 0 of an image that was set before.
    """

    im: Tensor
    shot: Shot
    embedding: ImageEmbedding
    speed: float = 0.0


class BasePredictor:
    """Settings, model and sources. The model is loaded at first use, or by `setup_model`.

    Args:
        cfg: settings to start from.
        overrides: settings that are to differ, see `Settings`.
        _callbacks: functions to call, see `samkit.compat.ultralytics.delivery.Callbacks`.

    Attributes:
        args: the settings.
        model: the network, None before it is loaded.
        device: where it runs, None before it is loaded.
        mean, std: (3, 1, 1) of the network's input, for values from 0 to 255.
        im: the last image as the network takes it, (1, 3, H, W), or None.
        features: of the image that was set, or None.
        prompts: what `set_prompts` was given, copied.
        segment_all: whether everything mode is running.
    """

    default_model = "sam_b.pt"
    needs_sam2 = False

    def __init__(
        self, cfg: Any, overrides: Mapping[str, Any] | None, _callbacks: Callbacks | None
    ) -> None:
        self.args: Settings = read_settings(cfg, overrides)
        self.model: Network | None = None
        self.device: torch.device | None = None
        self.mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
        self.std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
        self.im: Tensor | None = None
        self.features: Features | None = None
        self.prompts: dict[str, Any] = {}
        self.segment_all = False
        self._deliver = Delivery(self.args, _callbacks)
        self._core: ImagePredictor | None = None
        self._stored = ObjectPrompts()
        self._source: Any = None
        self._image: Look | None = None
        self._has_looked = False  # at any image, ever

    @property
    def results(self) -> list[Results]:
        """Of the last image, as a list of one."""
        return self._deliver.results

    @property
    def save_dir(self) -> Path | None:
        """Where pictures were saved, None before the first one."""
        return self._deliver.folder

    # The model

    def setup_model(
        self, model: Any = None, model_path: str | Path | None = None, verbose: bool = True
    ) -> None:
        """Load a model. What was known of images is forgotten.

        Args:
            model: a network of samkit, an `ImagePredictor`, or a name or checkpoint.
            model_path: a name or checkpoint, if no model is given; else that of the settings.
            verbose: print what was loaded, unless the settings say no.

        Raises:
            UnknownModelError, CheckpointError, DownloadError: as of `samkit.load`.
            InputError: it is not of the kind that this predictor needs.
        """
        chosen = [model, model_path, self.args.model, self.default_model]
        source = next(one for one in chosen if one is not None)
        core = load_core(source, self.args, needs_sam2=self.needs_sam2)
        self._take(core)
        self.reset_image()
        self._core, self.model, self.device = core, core.network, core.device
        config = core.network.config
        self.mean = torch.tensor(config.mean, device=core.device).view(3, 1, 1) * 255
        self.std = torch.tensor(config.std, device=core.device).view(3, 1, 1) * 255
        if verbose and self.args.verbose:
            print(core, file=sys.stderr)

    @property
    def core(self) -> ImagePredictor:
        """samkit's own predictor, which does the work."""
        if self._core is None:
            self.setup_model()
        assert self._core is not None
        return self._core

    def _take(self, core: ImagePredictor) -> None:
        """Make ready for a model, or raise InputError if it cannot do what is needed here."""

    # Sources and prompts

    def setup_source(self, source: Any) -> None:
        """Choose the images of the following calls that name none.

        Args:
            source: a file, folder, pattern, URL, video, array (H, W, 3) BGR, PIL image, tensor
                (3, H, W) or (N, 3, H, W) RGB from 0 to 1, or a list of those; None for none.

        Raises:
            ImageError, InputError: it is missing, or nothing of the kind.
        """
        if source is not None:
            check_source(source)
        self._source = source

    def set_prompts(self, prompts: Mapping[str, Any]) -> None:
        """Set the prompts of all following calls, until others are set.

        Args:
            prompts: some of bboxes, points, labels and masks; an empty dict for none. What a call
                gives itself counts instead.

        Raises:
            PromptError: an unknown key, a wrong shape or wrong values.
        """
        self._stored = ObjectPrompts.of_dict(prompts)
        self.prompts = copy.deepcopy(dict(prompts))

    def _said(self, bboxes: Any, points: Any, labels: Any, masks: Any) -> ObjectPrompts:
        return ObjectPrompts.read(bboxes, points, labels, masks, stored=self._stored)

    def set_image(self, image: Any) -> None:
        """Look at one image, for all following calls that name no source.

        Raises:
            ImageError: not an image; InputError: not exactly one.
        """
        check_source(image)
        shots = shots_of(image)
        first, second = next(shots, None), next(shots, None)
        if first is None or second is not None:
            raise InputError("image: expected exactly one, got none or several")
        self.reset_image()
        self._image = self._look(first)
        self.features = features_of(self.core.network, self._image.embedding.features)

    def reset_image(self) -> None:
        """Forget the image."""
        self.im = self.features = self._image = None

    # Images as the network takes them

    def pre_transform(self, im: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """What the network sees of images (H, W, 3) uint8 BGR: of its input's size, also BGR.

        SAM keeps their aspect and pads at the bottom and right, in the colour that is 0 to the
        network; SAM 2 stretches them.
        """
        pixels = self._normalised([rgb_of_bgr(one) for one in image_list(im)])
        return [np.ascontiguousarray(one[..., ::-1]) for one in self._pictures(pixels)]

    def preprocess(self, im: Any) -> Tensor:
        """Images as the network takes them: (N, 3, H, W), normalised, in the model's dtype.

        Args:
            im: images (H, W, 3) uint8 BGR, of any sizes. A tensor is taken to be normalised.
        """
        if isinstance(im, Tensor):
            check_preprocessed(im)
            moved = im.to(self.core.device, self.core.dtype)
            images = images_of(im)
            if moved is not im and images is not None:
                note_images(moved, images)
            return moved
        return self._preprocessed([rgb_of_bgr(one) for one in image_list(im)])

    def get_im_features(self, im: Tensor) -> Features:
        """Features of preprocessed images (N, 3, H, W).

        Returns:
            SAM: (N, C, h, w). SAM 2: a dict of image_embed (N, C, h, w) and high_res_feats, a list.
        """
        return features_of(self.core.network, self._encode(im))

    def _preprocessed(self, pixels: list[NDArray[np.uint8]]) -> Tensor:
        self.im = self._normalised(pixels)
        self._has_looked = True
        note_images(self.im, pixels)
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

    def _encode(self, im: Tensor) -> ImageFeatures:
        check_preprocessed(im)
        with torch.no_grad():
            return self.core.network.encode_image(im.to(self.core.device, self.core.dtype))

    def _look(self, shot: Shot) -> Look:
        start = perf_counter()
        im = self._preprocessed([shot.pixels])
        return self._look_at(im, shot, (perf_counter() - start) * 1000)

    def _look_at(self, im: Tensor, shot: Shot, speed: float = 0.0) -> Look:
        height, width = shot.pixels.shape[:2]
        embedding = self.core.embedding(self._encode(im), (height, width))
        return Look(im=im, shot=shot, embedding=embedding, speed=speed)

    def _look_of(self, im: Any) -> Look:
        """The image that was preprocessed to `im`.

        A tensor of other origin is its own image, as long as no image was looked at of which it
        might be a copy.
        """
        if self._image is not None and im is self._image.im:
            return self._image
        if not isinstance(im, Tensor):
            return self._look(Shot(pixels=rgb_of_bgr(im), path="image0.jpg"))
        check_preprocessed(im)
        if len(im) != 1:
            raise InputError(f"im: expected one image at a time, got {len(im)}")
        images = images_of(im)
        if images is None and self._has_looked:
            raise InputError(
                "im: expected a tensor of preprocess itself, a slice of it such as im[:1], or an "
                "image (H, W, 3) BGR, got a copy or a tensor of other origin: what size its image "
                "has is not known"
            )
        (pixels,) = images or self._pictures(im.to(self.core.device))
        return self._look_at(im, Shot(pixels=pixels, path="image0.jpg"))

    def _looks(self, source: Any) -> Iterator[Look]:
        """The images of a source; without one the image that was set, or those that were."""
        if source is None:
            if self._image is not None:
                yield replace(self._image, speed=0.0)
                return
            if self._source is None:
                raise InputError("source: expected images, or set_image or setup_source before")
            source = self._source
        check_source(source)
        for shot in shots_of(source):
            yield self._look(shot)

    def _result(
        self,
        shot: Shot,
        masks: Masks,
        scores: NDArray[np.float32],
        *,
        has_ids: bool = False,
        preprocess: float = 0.0,
    ) -> Results:
        start = perf_counter()
        result = Results(
            np.ascontiguousarray(shot.pixels[..., ::-1]),
            shot.path,
            masks,
            scores,
            conf=self.args.conf,
            has_ids=has_ids,
            frame=shot.frame,
        )
        postprocess = (perf_counter() - start) * 1000
        result.speed = {"preprocess": preprocess, "postprocess": postprocess}
        return result
