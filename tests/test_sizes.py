"""Sizes as values."""

import json

import pytest

from samkit import sizes
from samkit.nn import sam, sam2
from samkit.weights import MODELS


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back(name: str) -> None:
    config = MODELS[name].config
    config.validate()
    assert sizes.from_dict(json.loads(json.dumps(sizes.to_dict(config)))) == config


def test_every_encoder_can_be_named_and_built() -> None:
    encoders = {cls for cls in sizes.ImageEncoderConfig.__subclasses__() if cls.kind != "test"}
    assert encoders == set(sizes._ENCODERS_BY_KIND.values())
    assert encoders == {*sam._ENCODERS, *sam2._ENCODERS}
    for kind, cls in sizes._ENCODERS_BY_KIND.items():
        assert cls.kind == kind


@pytest.mark.parametrize("value", [2.0, 1.0, -0.5])
def test_impossible_rates(value: float) -> None:
    for encoder in (sizes.ViTConfig(drop_path=value), sizes.ViTConfig(dropout=value)):
        with pytest.raises(ValueError, match="expected a"):
            sizes.SamConfig(image_encoder=encoder).validate()
