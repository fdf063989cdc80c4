"""Networks of other programs with samkit's weights; each only where its package is installed."""

import contextlib
import io
import json
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from bench_measure import Contenders, Settings
from torch import nn

from samkit.nn import Network, Sam2, build
from samkit.weights import convert, find_model, save_network

# What other programs call the models.
_SAM2_SIZES = {"tiny": "t", "small": "s", "base-plus": "b+", "large": "l"}


class Weights:
    """A network of a registered model's sizes with seeded weights, and files of the same weights.

    Attributes:
        name: of the model.
        network: samkit's.
        folder: where files are written, once they are asked for.
    """

    def __init__(self, name: str, folder: Path) -> None:
        torch.manual_seed(0)
        self.name = name
        self.network: Network = build(find_model(name).config).eval()
        self.folder = folder
        if isinstance(self.network, Sam2):
            # Every object is there, so that all are remembered with their pointers.
            last = self.network.mask_decoder.pred_obj_score_head.layers[-1]
            nn.init.constant_(last.bias, 9.0)

    @property
    def is_sam2(self) -> bool:
        return self.name.startswith("sam2")

    @property
    def size(self) -> str:
        """What follows the family: "tiny", "b"."""
        return self.name.removeprefix("sam-vit-").removeprefix("sam2.1-")

    def own(self) -> Path:
        path = self.folder / f"{self.name}.safetensors"
        if not path.exists():
            save_network(self.network, path)
        return path

    def hugging_face(self) -> Path:
        path = self.folder / self.name
        if not path.exists():
            convert(self.own(), path, layout="hugging-face")
        return path

    def meta(self) -> Path:
        path = self.folder / f"{self.name}.pt"
        if not path.exists():
            convert(self.own(), path, layout="meta")
        return path


def installed(*packages: str) -> bool:
    return all(find_spec(package) is not None for package in packages)


def transformers_class(folder: Path) -> type:
    """The class of transformers that a folder of weights is written for."""
    import transformers

    (name,) = json.loads((folder / "config.json").read_text())["architectures"]
    return getattr(transformers, name)


def transformers_model(folder: Path, dtype: torch.dtype) -> nn.Module:
    with quiet():
        return transformers_class(folder).from_pretrained(folder, dtype=dtype).eval()


def segment_anything_model(weights: Weights) -> nn.Module:
    import segment_anything

    return segment_anything.sam_model_registry[f"vit_{weights.size}"](str(weights.meta())).eval()


def sam2_model(weights: Weights, *, video: bool = False) -> nn.Module:
    with quiet():
        from sam2 import build_sam

        make = build_sam.build_sam2_video_predictor if video else build_sam.build_sam2
        config = f"configs/sam2.1/sam2.1_hiera_{_SAM2_SIZES[weights.size]}.yaml"
        return make(config, str(weights.meta()), device="cpu")


def ultralytics_model(weights: Weights) -> nn.Module:
    with quiet():
        from ultralytics.models.sam import build as makers

        letter = weights.size[0]
        family = "sam2" if weights.is_sam2 else "sam_vit"
        return getattr(makers, f"build_{family}_{letter}")(str(weights.meta())).eval()


def encoders(weights: Weights, pixels: torch.Tensor, settings: Settings) -> Contenders:
    """Image encoders of all programs; those that know float32 only are left out of other dtypes."""
    dtype = settings.dtype
    found: Contenders = {}
    if installed("transformers"):
        peer = transformers_model(weights.hugging_face(), dtype)
        look = peer.get_image_features if weights.is_sam2 else peer.get_image_embeddings
        found["transformers"] = lambda: look(pixels)
    if weights.is_sam2 and installed("sam2"):
        sam2 = sam2_model(weights)
        found["sam2"] = lambda: in_autocast(dtype, lambda: sam2.forward_image(pixels.float()))
    if not weights.is_sam2 and installed("segment_anything"):
        plain = segment_anything_model(weights).image_encoder.to(dtype)
        found["segment-anything"] = lambda: plain(pixels)
    if dtype == torch.float32:
        if installed("ultralytics"):
            model = ultralytics_model(weights)
            look_ultralytics = model.forward_image if weights.is_sam2 else model.image_encoder
            found["ultralytics"] = lambda: look_ultralytics(pixels)
        found |= engines(weights.network, weights.folder / f"{weights.name}.onnx", pixels, settings)
    return found


def in_autocast(dtype: torch.dtype, job: Callable[[], object]) -> object:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        return job()


def engines(network: Network, path: Path, pixels: torch.Tensor, settings: Settings) -> Contenders:
    """The image encoder, exported to ONNX, in onnxruntime and OpenVINO; in float32."""
    found: Contenders = {}
    wanted = [name for name in ("onnxruntime", "openvino") if installed(name)]
    if not wanted or not installed("onnx", "onnxscript"):
        return found
    with quiet():
        torch.onnx.export(_Maps(network), (pixels,), path, dynamo=True, input_names=["pixels"])
    given = {"pixels": pixels.numpy()}
    if "onnxruntime" in wanted:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        found["onnxruntime"] = lambda: session.run(None, given)
    if "openvino" in wanted:
        import openvino

        hints = {"INFERENCE_NUM_THREADS": settings.threads, "INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(str(path), "CPU", hints)
        found["openvino"] = lambda: compiled(given)
    return found


class _Maps(nn.Module):
    """An image encoder whose output is tensors."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.network.encode_image(pixels).tensors


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what other programs print and warn of."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
