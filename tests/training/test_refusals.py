"""What cannot be trained is said before anything is learned."""

from dataclasses import replace

import pytest
from tiny import make, tiny_efficient_vit_sam, tiny_pico, tiny_sam, tiny_sam2

from samkit.errors import InputError
from samkit.sizes import to_dict
from samkit.training import (
    ClipConfig,
    LossConfig,
    PromptConfig,
    SceneConfig,
    Stage,
    fine_tuning,
    train,
)
from samkit.training.trainer import Trainer


@pytest.mark.parametrize(
    ("change", "processes", "message"),
    [
        ({"steps": None}, 0, "steps or in minutes"),
        ({"minutes": 1.0}, 0, "steps or in minutes"),
        ({"sources": ()}, 0, "at least one source"),
        ({"stages": (Stage(size=100),)}, 0, "multiple of 32"),
        ({"stages": (Stage(size=64, images=3),)}, 2, "cut into 2 parts"),
        ({"stages": (Stage(size=64, images=4),), "accumulate": 3}, 0, "cut into 3 parts"),
        ({"hold_out": 1}, 0, "hold_out: expected 0"),
        ({"steps": -3}, 0, "more than 0 steps"),
        ({"steps": None, "minutes": 0.0}, 0, "more than 0 steps"),
        ({"accumulate": 0}, 0, "accumulate: expected 1"),
        ({"validate_every": 0}, 0, "validate_every: expected 1"),
        ({"stages": ()}, 0, "stages: expected 1"),
        ({"stages": (Stage(size=64, images=0),)}, 0, "images: expected 1"),
        ({"steps": 3}, -1, "processes: expected 0 and more, got -1"),
        ({"learning_rate": float("inf")}, 0, "learning_rate: expected a number above 0, got inf"),
        ({"learning_rate": float("nan")}, 0, "learning_rate: expected a number above 0, got nan"),
        ({"learning_rate": 0.0}, 0, "learning_rate: expected a number above 0"),
        ({"seed": -1}, 0, "seed: expected a number"),
        ({"validation": ("nowhere",)}, 0, "no such file or folder: nowhere"),
        ({"network": {}}, 0, "network: expected what samkit.sizes"),
        ({"network": None}, 0, "network: expected dict"),
        ({"sources": "x"}, 0, "sources: expected tuple"),
        ({"hold_out": 1.5}, 0, "hold_out: expected int, got 1.5"),
        ({"precision": "half"}, 0, "precision: expected .*, got 'half'"),
        ({"stages": (Stage(size=None),)}, 0, r"stages\[0\].size: expected int, got None"),
        ({"scenes": SceneConfig(crop_area=(float("nan"), 1))}, 0, "scenes.crop_area: expected"),
        ({"scenes": SceneConfig(crop_area=(0.5, 0.1))}, 0, "scenes.crop_area: expected"),
        ({"scenes": SceneConfig(max_pastes=-1)}, 0, "scenes.max_pastes: expected"),
        ({"weight_decay": -1.0}, 0, "weight_decay: expected a number from 0 to"),
        ({"weight_decay": 1e300}, 0, "weight_decay: expected a number from 0 to"),
        ({"loss": LossConfig(spread=5.0)}, 0, "loss.spread: expected a fraction"),
        ({"prompts": PromptConfig(mask=2.0)}, 0, "prompts.mask: expected a fraction"),
        ({"prompts": PromptConfig(corrected=0)}, 0, "prompts.corrected: expected 1"),
        ({"motion": ClipConfig(camera=50.0)}, 0, "motion.camera: expected a fraction"),
        ({"stages": (Stage(size=64, until=5.0),)}, 0, "stages: expected rising fractions"),
        ({"stages": (Stage(until=0.5), Stage(until=0.4))}, 0, "stages: expected rising fractions"),
        ({"stages": (Stage(size=2**40),)}, 0, "up to 8192, got 1099511627776"),
        ({"stages": (Stage(size=64, width=50),)}, 0, r"stages\[0\]: expected a size"),
        ({"frozen": ("",)}, 0, "nothing is left to learn"),
        ({"network": to_dict(tiny_sam(patch_size=8))}, 0, "a stride of 16 pixels, got 8"),
        ({"network": to_dict(tiny_efficient_vit_sam())}, 0, "a stride of 16 pixels, got 8"),
    ],
)
def test_bad_configurations(config, tmp_path, change, processes, message):
    with pytest.raises(InputError, match=message):
        next(train(replace(config, **change), tmp_path / "c.pt", processes=processes))


@pytest.mark.parametrize("argument", ["start", "device", "processes", "stop_after"])
def test_arguments_of_another_type(config, tmp_path, argument):
    with pytest.raises(InputError, match=f"{argument}: expected"):
        next(train(config, tmp_path / "c.pt", **{argument: "x"}))


@pytest.mark.parametrize("network", [None, {}, {"image_size": 3}])
def test_fine_tuning_of_no_network(network):
    with pytest.raises(InputError, match="network: expected what"):
        fine_tuning(network, "x", steps=1)


def test_a_start_of_other_sizes(config, tmp_path):
    """Another family, other widths, and parts that are missing."""
    for other in (make(tiny_sam()), make(tiny_sam2())):
        with pytest.raises(InputError, match=r"start: expected a network of the sizes .* such as"):
            list(train(config, tmp_path / "a.pt", start=other))


def test_places_that_cannot_be_written(config, tmp_path, monkeypatch):
    """All are found before the first step."""
    monkeypatch.setattr(Trainer, "train_step", lambda *arguments: pytest.fail("it trains"))
    (tmp_path / "file").write_text("x")
    (tmp_path / "b.validation.csv").mkdir()
    for name, board in (("file/a.pt", None), ("b.pt", None), ("c.pt", tmp_path / "file")):
        with pytest.raises(InputError, match="cannot write"):
            list(train(config, tmp_path / name, tensorboard=board))


def test_imagenet_weights_fit_one_encoder(config, tmp_path):
    with pytest.raises(InputError, match="EfficientNet-Lite"):
        next(train(replace(config, imagenet=True), tmp_path / "a.pt"))


def test_sources_that_are_never_seen(config, tmp_path):
    sources = tuple(replace(source, weight=0.0) for source in config.sources)
    with pytest.raises(InputError, match="sources: expected weights of 0 and more, not all 0"):
        next(train(replace(config, sources=sources), tmp_path / "c.pt"))


def test_a_start_that_computes_something_else(config):
    sizes = tiny_pico()
    other = replace(sizes, memory=replace(sizes.memory, residual=not sizes.memory.residual))
    config = replace(config, network=to_dict(sizes))
    with pytest.raises(InputError, match="computes something else"):
        Trainer(config, start=make(other))
    Trainer(config, start=make(replace(sizes, image_size=(64, 96))))
