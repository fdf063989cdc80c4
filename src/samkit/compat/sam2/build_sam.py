"""Networks and video predictors by name.

model = build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", "sam2.1_hiera_tiny.pt")
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from samkit.compat.sam2.loading import FILLED_HOLES, configured, pretrained
from samkit.compat.sam2.sam2_video_predictor import SAM2VideoPredictor
from samkit.nn import Network

__all__ = [
    "build_sam2",
    "build_sam2_hf",
    "build_sam2_video_predictor",
    "build_sam2_video_predictor_hf",
]


def build_sam2(
    config_file: str,
    ckpt_path: str | Path | None = None,
    device: str | torch.device = "auto",
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = (),
    apply_postprocessing: bool = True,
) -> Network:
    """A network for `SAM2ImagePredictor` and `SAM2AutomaticMaskGenerator`.

    Args:
        config_file: one of Meta's names, such as "configs/sam2.1/sam2.1_hiera_t.yaml" (folder and
            suffix do not matter; no file is read), or a name of samkit, such as "pico".
        ckpt_path: whatever `samkit.load` takes, also one of samkit's own names, which then counts
            instead of `config_file`. None: the weights that belong to a name of samkit; for Meta's
            names random ones.
        device: "auto" (CUDA, else Apple's GPU, else the CPU), or a device of torch.
        mode: "eval" or "train".
        hydra_overrides_extra: has to be empty.
        apply_postprocessing: where a single mask is not stable, take the best of the three.

    Raises:
        UnknownModelError, CheckpointError, DownloadError: as of `samkit.load`.
        InputError: weights of another network, an unknown mode or device, or overrides.
    """
    return configured(
        config_file,
        ckpt_path,
        device=device,
        mode=mode,
        overrides=hydra_overrides_extra,
        apply_postprocessing=apply_postprocessing,
    )


def build_sam2_video_predictor(
    config_file: str,
    ckpt_path: str | Path | None = None,
    device: str | torch.device = "auto",
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = (),
    apply_postprocessing: bool = True,
    vos_optimized: bool = False,
) -> SAM2VideoPredictor:
    """A video predictor.

    Args:
        config_file, ckpt_path, device, mode, hydra_overrides_extra: as for `build_sam2`.
        apply_postprocessing: also fill holes of up to 8 cells of the low-resolution masks.
        vos_optimized: changes nothing; networks are not compiled here.

    Raises:
        UnknownModelError, CheckpointError, DownloadError, InputError: as of `build_sam2`; or a
            network that cannot track.
    """
    network = build_sam2(
        config_file, ckpt_path, device, mode, hydra_overrides_extra, apply_postprocessing
    )
    return SAM2VideoPredictor(network, fill_hole_area=FILLED_HOLES if apply_postprocessing else 0)


def build_sam2_hf(
    model_id: str,
    device: str | torch.device = "auto",
    mode: str = "eval",
    apply_postprocessing: bool = True,
) -> Network:
    """A network by its id on the Hugging Face hub, or anything else that `samkit.load` takes.

    Raises:
        UnknownModelError, CheckpointError, DownloadError: as of `samkit.load`.
        InputError: an unknown mode or device.
    """
    return pretrained(model_id, device=device, mode=mode, apply_postprocessing=apply_postprocessing)


build_sam2_video_predictor_hf = SAM2VideoPredictor.from_pretrained
