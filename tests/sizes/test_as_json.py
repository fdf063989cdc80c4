"""Sizes as plain values, and back."""

import json

import pytest

from samkit import sizes
from samkit.nn import sam, sam2
from samkit.sizes import as_json
from samkit.weights import MODELS


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back(name: str) -> None:
    config = MODELS[name].config
    config.validate()
    assert sizes.from_dict(json.loads(json.dumps(sizes.to_dict(config)))) == config


def test_every_encoder_can_be_named_and_built() -> None:
    encoders = {cls for cls in sizes.ImageEncoderConfig.__subclasses__() if cls.kind != "test"}
    assert encoders == set(as_json._ENCODERS_BY_KIND.values())
    assert encoders == {*sam._ENCODERS, *sam2._ENCODERS}
    for kind, cls in as_json._ENCODERS_BY_KIND.items():
        assert cls.kind == kind


@pytest.mark.parametrize("name", ["prompt_encoder", "mask_decoder", "memory", "image_encoder"])
def test_no_part_may_be_missing(name: str) -> None:
    values = sizes.to_dict(sizes.sam2("tiny"))
    del values[name]
    with pytest.raises(KeyError, match=name):
        sizes.from_dict(values)
