"""The rows of the bench: what samkit and other programs do side by side."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from bench_measure import Contenders, Job, Settings, child
from bench_peers import (
    Weights,
    encoders,
    engines,
    installed,
    segment_anything_model,
    transformers_model,
)
from bench_tracking import pico_tracked_frame, tracked_frame
from PIL import Image

import samkit
from samkit import AutomaticMaskGenerator, ImagePredictor, Prompt

# (H, W) of a photograph.
_PHOTOGRAPH = (1200, 1800)
_PICTURE = Path(__file__).parent.parent / "examples" / "coffee.jpg"


def encoder(name: str) -> Callable[[Path, Settings], Job]:
    """An image encoder at its full size."""

    def prepare(folder: Path, settings: Settings) -> Job:
        weights = Weights(name, folder)
        pixels = torch.randn(1, 3, *weights.network.config.image_size).to(settings.dtype)
        path = folder / f"{name}.onnx"
        if name == "edge-tam":  # transformers takes its encoder from timm
            exact = settings.dtype == torch.float32
            peers = engines(weights.network, path, pixels, settings) if exact else {}
        else:
            peers = encoders(weights, pixels, settings)  # they read the weights in float32
        network = ImagePredictor(weights.network, dtype=settings.dtype).network

        def own() -> object:
            return network.encode_image(pixels)

        return Job(contenders={"samkit": own, **peers}, work=own)

    return prepare


def prompts_on_photograph(count: int, candidates: int) -> Callable[[Path, Settings], Job]:
    """Clicks on an image that was looked at, up to masks of its size; SAM ViT-B.

    All give as many masks for a click: one, or the three candidates. The warm turns are the first
    clicks on the image, which take samkit longer than those that follow.
    """

    def prepare(folder: Path, settings: Settings) -> Job:
        weights, size = Weights("sam-vit-b", folder), _PHOTOGRAPH
        predictor = ImagePredictor(weights.network, dtype="float32")
        embedding = predictor.embedding(_features(), size)
        xy = np.random.default_rng(0).uniform(0, 1, (count, 2)) * [size[1], size[0]]
        prompts = [Prompt.point(*one) for one in xy]
        several = candidates > 1

        def own() -> object:
            return predictor.predict(embedding, prompts, candidates=candidates)

        found: Contenders = {"samkit": own}
        points = torch.tensor(xy, dtype=torch.float32)[:, None]  # (N, 1, 2)
        labels = torch.ones(count, 1, dtype=torch.int64)
        scaled = points * (1024 / max(size))
        if installed("transformers"):
            model = transformers_model(weights.hugging_face(), torch.float32)
            maps = embedding.features.embedding

            def by_transformers() -> object:
                logits = model(
                    image_embeddings=maps,
                    input_points=scaled[None],
                    input_labels=labels[None],
                    multimask_output=several,
                ).pred_masks[0]
                height, width = embedding.transform.content_size
                logits = F.interpolate(logits, (1024, 1024), mode="bilinear")
                return F.interpolate(logits[..., :height, :width], size, mode="bilinear") > 0

            found["transformers"] = by_transformers
        if installed("segment_anything"):
            reference = _reference(weights, embedding.features.embedding)
            found["segment-anything"] = lambda: reference.predict_torch(
                scaled, labels, multimask_output=several
            )
        return Job(contenders=found, work=own, warm=2)

    return prepare


def everything(points: int) -> Callable[[Path, Settings], Job]:
    """All masks of an image that was looked at; SAM ViT-B.

    With random weights no mask is good enough, which is the common case taken to its end.
    """

    def prepare(folder: Path, settings: Settings) -> Job:
        weights = Weights("sam-vit-b", folder)
        predictor = ImagePredictor(weights.network, dtype="float32")
        embedding = predictor.embedding(_features(), _PHOTOGRAPH)
        predictor.embed = lambda _: embedding  # type: ignore[method-assign]
        image = np.random.default_rng(0).integers(0, 256, (*_PHOTOGRAPH, 3), np.uint8)
        generator = AutomaticMaskGenerator(predictor, points_per_side=points)

        def own() -> object:
            return generator(image)

        found: Contenders = {"samkit": own}
        maps = embedding.features.embedding
        if installed("transformers", "torchvision"):
            import transformers

            model = transformers_model(weights.hugging_face(), torch.float32)
            model.get_image_embeddings = lambda *_, **__: maps
            pipeline = transformers.pipeline(
                "mask-generation",
                model=model,
                image_processor=transformers.SamImageProcessor(),
                device="cpu",
            )
            picture = Image.fromarray(image)
            found["transformers"] = lambda: pipeline(
                picture, points_per_batch=64, points_per_crop=points
            )
        if installed("segment_anything"):
            from segment_anything import SamAutomaticMaskGenerator

            reference = _reference(weights, maps)
            peer = SamAutomaticMaskGenerator(reference.model, points_per_side=points)
            peer.predictor = reference
            reference.set_image = lambda *_, **__: None
            reference.reset_image = lambda: None
            found["segment-anything"] = lambda: peer.generate(image)
        return Job(contenders=found, work=own)

    return prepare


def pico_encoder(folder: Path, settings: Settings) -> Job:
    """The image encoder of the small model, which is computed in float32."""
    network = samkit.load("pico").network
    pixels = torch.randn(1, 3, *network.config.image_size)

    def own() -> object:
        return network.encode_image(pixels)

    peers = engines(network, folder / "pico.onnx", pixels, settings)
    return Job(contenders={"samkit": own, **peers}, work=own, warm=4)


def pico_click(folder: Path, settings: Settings) -> Job:
    predictor = samkit.load("pico")
    embedding, click = predictor.embed(_PICTURE), Prompt.point(300, 200)

    def own() -> object:
        return predictor.predict(embedding, click)

    return Job(contenders={"samkit": own}, work=own, warm=4)


def pico_end_to_end(folder: Path, settings: Settings) -> Job:
    """From the file of a photograph to a mask."""
    predictor = samkit.load("pico")

    def own() -> object:
        return predictor.predict(_PICTURE, Prompt.point(300, 200))

    return Job(contenders={"samkit": own}, work=own, warm=4)


def imports(folder: Path, settings: Settings) -> Job:
    """Seconds of CPU time until the class that predicts is there, Python itself included."""
    programs = {
        "samkit": "from samkit import ImagePredictor",
        "transformers": "from transformers import SamModel",
        "sam2": "from sam2.sam2_image_predictor import SAM2ImagePredictor",
        "segment-anything": "from segment_anything import SamPredictor",
        "ultralytics": "from ultralytics import SAM",
    }

    return Job(
        contenders={
            name: _cpu_seconds(code)
            for name, code in programs.items()
            if installed(name.replace("-", "_"))
        },
        is_value=True,
    )


def command_line(folder: Path, settings: Settings) -> Job:
    """Seconds of CPU time of `samkit --help`."""
    help_ = "import runpy, sys; sys.argv[1:] = ['--help']; runpy.run_module('samkit')"
    return Job(contenders={"samkit": _cpu_seconds(help_)}, is_value=True)


def _cpu_seconds(code: str) -> Callable[[], float]:
    def run() -> float:
        usage = child(code)
        return usage.ru_utime + usage.ru_stime

    return run


_LOOK = {
    "samkit": """
import samkit
samkit.load(sys.argv[1], dtype="float32").embed(np.zeros((1200, 1800, 3), np.uint8))
""",
    "transformers": """
from transformers import SamModel
SamModel.from_pretrained(sys.argv[1]).eval().get_image_embeddings(torch.zeros(1, 3, 1024, 1024))
""",
    "segment-anything": """
from segment_anything import SamPredictor, sam_model_registry
model = sam_model_registry["vit_b"](sys.argv[1])
SamPredictor(model).set_image(np.zeros((1200, 1800, 3), np.uint8))
""",
}


def peak_memory(folder: Path, settings: Settings) -> Job:
    """The most memory of a process that loads SAM ViT-B and looks at one photograph."""
    weights = Weights("sam-vit-b", folder)
    files = {"samkit": weights.own, "transformers": weights.hugging_face}
    files["segment-anything"] = weights.meta
    begin = f"import sys, numpy as np, torch\ntorch.set_num_threads({settings.threads})\n"
    begin += "torch.set_grad_enabled(False)"

    def megabytes(name: str) -> Callable[[], float]:
        return lambda: child(begin + _LOOK[name], files[name]()).ru_maxrss / 1024

    names = [name for name in _LOOK if installed(name.replace("-", "_"))]
    contenders = {name: megabytes(name) for name in names}
    return Job(contenders=contenders, is_value=True, unit="MB", warm=0)


def _features() -> samkit.nn.ImageFeatures:
    """Features of an image for SAM ViT-B: prompts take the same time on any."""
    maps = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(0))
    return samkit.nn.ImageFeatures(embedding=maps)


def _reference(weights: Weights, maps: torch.Tensor) -> object:
    """Meta's predictor with an image that was looked at."""
    from segment_anything import SamPredictor

    predictor = SamPredictor(segment_anything_model(weights))
    height, width = _PHOTOGRAPH
    predictor.features, predictor.is_image_set = maps, True
    predictor.original_size = _PHOTOGRAPH
    predictor.input_size = predictor.transform.get_preprocess_shape(height, width, 1024)
    return predictor


JOBS: dict[str, Callable[[Path, Settings], Job]] = {
    "import": imports,
    "samkit --help": command_line,
    "pico, encoder": pico_encoder,
    "pico, one click": pico_click,
    "pico, photograph to mask": pico_end_to_end,
    "pico, tracked frame": pico_tracked_frame,
    "SAM ViT-B, one click": prompts_on_photograph(1, 1),
    "SAM ViT-B, 64 points": prompts_on_photograph(64, 3),
    "SAM 2.1 tiny, encoder": encoder("sam2.1-tiny"),
    "SAM ViT-B, encoder": encoder("sam-vit-b"),
    "SAM ViT-B, peak memory": peak_memory,
    "EdgeTAM, encoder": encoder("edge-tam"),
    "SAM 2.1 base+, encoder": encoder("sam2.1-base-plus"),
    "SAM 2.1 large, encoder": encoder("sam2.1-large"),
    "SAM ViT-B, everything 32 x 32": everything(32),
    "SAM 2.1 tiny, frame, 1 object": tracked_frame(1),
    "SAM 2.1 tiny, frame, 4 objects": tracked_frame(4),
    "SAM 2.1 tiny, frame, 16 objects": tracked_frame(16),
}
"""Jobs by the names of their rows, in their order."""

SUBSET = 11
"""How many of them, from the first, take minutes together."""
