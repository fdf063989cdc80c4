"""Does each part of `pico` that SAM 2 lacks, and of its training, pay? Short runs without it.

    python benchmarks/pico_variants.py DATA [as-it-is no-fusion ...] [--steps 260] [--size 160]

DATA is the folder that `scripts/train_pico.sh` takes. Every eighth image of each source is held out
of training; the IoU is measured on those of COCO128, coco_mini and wild7, objects of 0.3 % of the
image and more. A run takes about five minutes on one core. Needs the extra `imagenet`.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from samkit import sizes
from samkit.evaluation.interactive import InteractiveReport, ObjectResult, evaluate_interactive
from samkit.image_predictor import ImagePredictor
from samkit.nn import Network
from samkit.training import Report, Stage, TrainingConfig, preset, train
from samkit.training.data import held_out

_MEASURED = ("coco128", "coco_mini", "wild7")


def _network(**parts: dict[str, object]) -> Callable[[TrainingConfig], TrainingConfig]:
    """Another network: values of its parts that change."""

    def change(config: TrainingConfig) -> TrainingConfig:
        return replace(config, network={**config.network, **{
            name: {**config.network[name], **values} for name, values in parts.items()
        }})  # fmt: skip

    return change


def _loss(**values: float) -> Callable[[TrainingConfig], TrainingConfig]:
    return lambda config: replace(config, loss=replace(config.loss, **values))


VARIANTS: dict[str, Callable[[TrainingConfig], TrainingConfig]] = {
    "as-it-is": lambda config: config,
    "no-drawing": _network(prompt_encoder={"draw_prompts": False}),
    "mask-channels-16": _network(prompt_encoder={"mask_channels": 16}),
    "no-fusion": _network(mask_decoder={"fusion_blocks": 0}),
    "boundary-2": _loss(boundary=2.0),
}


def run(name: str, data: str, steps: int, size: int) -> list[ObjectResult]:
    """Train a variant; the results on the objects held out."""
    sizes_of_pico = replace(sizes.pico(), image_size=(size, size * 5 // 4 // 32 * 32))
    config = replace(
        preset("pico", data, steps=steps),
        network=sizes.to_dict(sizes_of_pico),
        stages=(Stage(size=size, images=10, prompts=10),),
        hold_out=8,
        validate_every=steps + 1,
        validation_images=1,
        warmup=50,
        ema=0.98,
    )
    config = VARIANTS[name](config)
    network: Network | None = None
    with tempfile.TemporaryDirectory() as folder:
        for event in train(config, Path(folder) / "run.checkpoint"):
            if isinstance(event, Network):
                network = event
            elif isinstance(event, Report) and event.step % 50 == 0:
                print(f"{name}: {event.step} of {steps}, loss {event.loss:.3f}", flush=True)
    assert network is not None
    predictor = ImagePredictor(network, dtype="float32")
    objects: list[ObjectResult] = []
    for source, dataset in zip(config.sources, held_out(config), strict=True):
        if any(known in f"{source.path} {source.names}" for known in _MEASURED):
            report = evaluate_interactive(predictor, dataset, clicks=(1, 3), min_area=0.003)
            objects += report.objects
    return objects


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("variants", nargs="*", default=list(VARIANTS), metavar="variant",
                        help=f"of {', '.join(VARIANTS)}; all by default")  # fmt: skip
    parser.add_argument("--steps", type=int, default=260)
    parser.add_argument("--size", type=int, default=160)
    args = parser.parse_args()
    if unknown := set(args.variants) - set(VARIANTS):
        parser.error(f"expected some of {', '.join(VARIANTS)}, got {', '.join(sorted(unknown))}")
    for name in args.variants:
        began = time.monotonic()
        objects = run(name, args.data, args.steps, args.size)
        means = InteractiveReport(objects=tuple(objects)).means()
        shown = ", ".join(f"{key} {each.iou:.3f}" for key, each in means.items())
        print(f"{name}: {len(objects)} objects, {time.monotonic() - began:.0f} s: {shown}")


if __name__ == "__main__":
    main()
