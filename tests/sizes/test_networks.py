"""Which sizes are valid."""

from dataclasses import replace

import pytest

from samkit import sizes


@pytest.mark.parametrize("value", [2.0, 1.0, -0.5])
def test_impossible_rates(value: float) -> None:
    for encoder in (sizes.ViTConfig(drop_path=value), sizes.ViTConfig(dropout=value)):
        with pytest.raises(ValueError, match="expected a"):
            sizes.SamConfig(image_encoder=encoder).validate()


def changed(path: str, value: object) -> sizes.NetworkConfig:
    """Sizes of SAM 2 of which one value is another, as from a file."""
    values = sizes.to_dict(sizes.sam2("tiny"))
    *parts, name = path.split(".")
    part = values
    for one in parts:
        part = part[one]
    part[name] = value
    return sizes.from_dict(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("memory.pointers", "x"),
        ("memory.pointers", [1]),
        ("memory.pointers", 1.5),
        ("memory.rope_theta", "x"),
        ("memory.sigmoid_bias", None),
        ("memory.sigmoid_bias", 10**30),
        ("memory.heads", 256),
        ("memory.residual", 1),
        ("mask_decoder.heads", True),
        ("image_encoder.stages", 4),
        ("mean", [None, 0, 0]),
        ("mean", [float("nan"), 0, 0]),
        ("std", ["x", 1, 1]),
        ("fpn_top_down_levels", "x"),
        ("image_size", ["a", "b"]),
        ("image_size", [64.0, 64.0]),
    ],
)
def test_values_of_another_type(path: str, value: object) -> None:
    with pytest.raises(ValueError, match=path.split(".")[-1] + "|heads"):
        changed(path, value).validate()


@pytest.mark.parametrize("levels", [("x",), (1.5,), (-1,)])
def test_values_where_there_are_none_by_default(levels: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match="fpn_top_down_levels: expected"):
        sizes.Sam3Config(fpn_top_down_levels=levels).validate()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"image_encoder": {"depths": (1, 0, 3, 4, 4, 5, 1)}},
        {"image_encoder": {"dims": (0, 24, 48, 88, 120, 208, 352)}},
        {"image_encoder": {"stem_dim": 0}},
        {"memory": {"slots": 0}},
        {"memory": {"dim": 0}},
        {"memory": {"dim": 1}},
        {"memory": {"dim": 96}},
    ],
)
def test_parts_of_pico_that_could_not_run(change):
    config = sizes.pico()
    parts = {name: replace(getattr(config, name), **values) for name, values in change.items()}
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(config, **parts).validate()
