"""Masks on the map, read and drawn by GDAL."""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from geotiffs import NORTH_UP, UTM, drawn, read_features, write_geotiff
from PIL import Image

from samkit.errors import ImageError, InputError, MissingDependencyError
from samkit.masks import Masks
from samkit.media import read_image

RNG = np.random.default_rng(0)


def _masks() -> Masks:
    pixels = np.zeros((4, 60, 80), bool)
    pixels[0, 5:40, 10:50] = True
    pixels[0, 10:20, 20:30] = False  # a hole, with something in it
    pixels[0, 13:16, 23:26] = True
    pixels[1] = RNG.random((60, 80)) < 0.5  # parts and holes that touch at corners
    pixels[2, 59, 79] = True
    return Masks(pixels, [0.5, 0.25, 1.0, 0.75], object_ids=[4, 5, 6, 7])


COS, SIN = math.cos(math.radians(30)), math.sin(math.radians(30))
TRANSFORMS = {
    "north up": NORTH_UP,
    "south up": Affine(0.2, 0, 500_000, 0, 0.2, 5_500_000),
    "mirrored": Affine(-0.2, 0, 500_000, 0, -0.2, 5_500_000),
    "rotated": Affine(0.2 * COS, 0.3 * SIN, 500_000, 0.2 * SIN, -0.3 * COS, 5_500_000),
}


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg"])
@pytest.mark.parametrize("kind", TRANSFORMS)
def test_what_is_drawn_is_the_mask(tmp_path: Path, kind: str, suffix: str) -> None:
    masks, path = _masks(), tmp_path / f"a{suffix}"
    transform = TRANSFORMS[kind]
    image = write_geotiff(tmp_path / "a.tif", np.zeros((60, 80, 3), np.uint8), transform=transform)
    masks.save(path, image=image, category=["a", "b", "c", "d"])
    crs, features = read_features(path)
    assert crs == ("EPSG:4326" if suffix == ".geojson" else UTM)
    assert features[3]["geometry"] is None
    assert np.array_equal(drawn(features[:3], crs, image), masks.masks[:3])
    about = [one["properties"] for one in features]
    assert [one["object_id"] for one in about] == [4, 5, 6, 7]
    assert [one["category"] for one in about] == ["a", "b", "c", "d"]
    assert [one["score"] for one in about] == [0.5, 0.25, 1.0, 0.75]
    # The scale of UTM on its middle meridian is 0.9996.
    pixel = abs(transform.determinant) / 0.9996**2
    for one, area in zip(about, masks.areas, strict=True):
        assert one["area_m2"] == pytest.approx(area * pixel, rel=1e-5)


def test_rings_are_as_the_standards_want_them(tmp_path: Path) -> None:
    image = write_geotiff(tmp_path / "a.tif", np.zeros((60, 80, 3), np.uint8))
    _masks().save(tmp_path / "a.geojson", image=image)
    document = json.loads((tmp_path / "a.geojson").read_text())
    assert set(document) == {"type", "features"}  # RFC 7946 has no crs
    rings = 0
    for feature in document["features"][:3]:
        assert feature["geometry"]["type"] == "MultiPolygon"
        for part in feature["geometry"]["coordinates"]:
            for number, ring in enumerate(part):
                rings += 1
                assert ring[0] == ring[-1]
                # None touches itself, so all are valid.
                assert len({tuple(point) for point in ring}) == len(ring) - 1 >= 4
                x, y = np.subtract(ring, ring[0]).T
                area = np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])
                assert (area > 0) == (number == 0), "counterclockwise, but for holes"
                assert np.all(np.abs(np.subtract(ring, [9, 49.65])) < 0.01)
    assert rings > 300


def _cell(south: float, north: float, width: float) -> float:
    """Square metres between two parallels, over so many degrees, on the ellipsoid of WGS 84."""
    a, f = 6378137.0, 1 / 298.257223563
    e = math.sqrt(f * (2 - f))

    def q(latitude: float) -> float:
        s = math.sin(math.radians(latitude))
        return s / (1 - (e * s) ** 2) + math.log((1 + e * s) / (1 - e * s)) / (2 * e)

    return (a * (1 - f)) ** 2 / 2 * math.radians(width) * (q(north) - q(south))


@pytest.mark.parametrize("latitude", [0.0, 48.0, -70.0])
def test_areas_are_those_on_the_ground(tmp_path: Path, latitude: float) -> None:
    """In degrees, and in Mercator's metres, which are far too short in the north."""
    full = Masks(np.ones((1, 40, 50), bool), [1.0])
    rgb = np.zeros((40, 50, 3), np.uint8)
    degrees = Affine(1e-4, 0, 9, 0, -1e-4, latitude)
    image = write_geotiff(tmp_path / "a.tif", rgb, crs="EPSG:4326", transform=degrees)
    full.save(tmp_path / "a.gpkg", image=image)
    _, (feature,) = read_features(tmp_path / "a.gpkg")
    expected = _cell(latitude - 40e-4, latitude, 50e-4)
    assert feature["properties"]["area_m2"] == pytest.approx(expected, rel=1e-6)

    def mercator(latitude: float) -> float:
        return 6378137 * math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2))

    step = (mercator(latitude) - mercator(latitude - 40e-4)) / 40
    metres = Affine(math.radians(1e-4) * 6378137, 0, 1e6, 0, -step, mercator(latitude))
    image = write_geotiff(tmp_path / "b.tif", rgb, crs="EPSG:3857", transform=metres)
    full.save(tmp_path / "b.gpkg", image=image)
    _, (feature,) = read_features(tmp_path / "b.gpkg")
    assert feature["properties"]["area_m2"] == pytest.approx(expected, rel=1e-6)


def test_an_error_while_writing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    image = write_geotiff(tmp_path / "a.tif", np.zeros((60, 80, 3), np.uint8))
    monkeypatch.setattr(os, "replace", fail)
    for suffix in ("geojson", "gpkg"):
        with pytest.raises(InputError, match=r"cannot write .*No space left"):
            _masks().save(tmp_path / f"b.{suffix}", image=image)
    assert os.listdir(tmp_path) == ["a.tif"]


def test_no_masks(tmp_path: Path) -> None:
    image = write_geotiff(tmp_path / "a.tif", np.zeros((60, 80, 3), np.uint8))
    for suffix in ("geojson", "gpkg"):
        Masks.empty((60, 80)).save(tmp_path / f"a.{suffix}", image=image)
        assert read_features(tmp_path / f"a.{suffix}")[1] == []


def test_an_image_that_lies_nowhere_is_in_pixels(tmp_path: Path) -> None:
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")
    for name in ("a.png", "not there.tif"):
        _masks().save(tmp_path / "a.geojson", image=tmp_path / name)
        first = json.loads((tmp_path / "a.geojson").read_text())["features"][0]
        assert first["properties"]["area"] == 35 * 40 - 100 + 9
        assert min(first["geometry"]["coordinates"][0][0]) == [10, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crs": None}, "which coordinate reference system"),
        ({"transform": Affine.identity()}, "where it lies on the map"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_half_a_georeference(tmp_path: Path, options: Any, message: str) -> None:
    image = write_geotiff(tmp_path / "a.tif", np.zeros((60, 80, 3), np.uint8), **options)
    for suffix in ("geojson", "gpkg"):
        with pytest.raises(InputError, match=message):
            _masks().save(tmp_path / f"a.{suffix}", image=image)
        assert not (tmp_path / f"a.{suffix}").exists()


def test_what_cannot_be_a_map(tmp_path: Path) -> None:
    image = write_geotiff(tmp_path / "a.tif", np.zeros((60, 81, 3), np.uint8))
    with pytest.raises(InputError, match=r"expected that of these masks, of size \(60, 80\)"):
        _masks().save(tmp_path / "a.geojson", image=image)
    for source in (None, np.zeros((60, 80, 3), np.uint8)):
        with pytest.raises(InputError, match="as the path of a GeoTIFF"):
            _masks().save(tmp_path / "a.gpkg", image=source)
    with pytest.raises(ImageError, match="no such file"):
        _masks().save(tmp_path / "a.gpkg", image=tmp_path / "b.tif")
    image.write_bytes(image.read_bytes()[:60])
    for suffix in ("geojson", "gpkg"):
        with pytest.raises(ImageError, match=r"cannot read .*a\.tif"):
            _masks().save(tmp_path / f"a.{suffix}", image=image)


def test_places_that_the_projection_does_not_have(tmp_path: Path) -> None:
    nowhere = Affine(1e7, 0, 1e9, 0, -1e7, 1e9)
    image = write_geotiff(tmp_path / "a.tif", np.zeros((60, 80, 3), np.uint8), transform=nowhere)
    with pytest.raises(InputError, match="map has no"):
        _masks().save(tmp_path / "a.geojson", image=image)


def test_only_maps_need_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = write_geotiff(tmp_path / "a.tif", np.zeros((60, 80, 3), np.uint8))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    assert read_image(image, window=(0, 0, 9, 9)).shape == (9, 9, 3)
    for suffix in ("json", "npz", "csv"):
        _masks().save(tmp_path / f"a.{suffix}", image=image)
    for suffix in ("geojson", "gpkg"):
        with pytest.raises(MissingDependencyError, match=r'pip install "samkit\[geo\]"'):
            _masks().save(tmp_path / f"a.{suffix}", image=image)


def test_well_known_binary_of_one_pixel(tmp_path: Path) -> None:
    image = write_geotiff(tmp_path / "a.tif", np.zeros((1, 1, 3), np.uint8))
    Masks(np.ones((1, 1, 1), bool), [1.0]).save(tmp_path / "a.gpkg", image=image)
    _, (feature,) = read_features(tmp_path / "a.gpkg")
    (((*corners, _),),) = feature["geometry"]["coordinates"]
    expected = [[500_000 + x, 5_500_000 - y] for x in (0, 0.2) for y in (0.2, 0)]
    assert np.allclose(sorted(corners), expected, atol=1e-6)
