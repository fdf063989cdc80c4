"""Tiles, windows and maps on the command line."""

import json
import sys

import numpy as np
import pytest
import tifffile
from affine import Affine
from geotiffs import UTM, drawn, read_features, write_geotiff

from samkit.masks import Masks

OPTIONS = ("--preset", "recall", "--points-per-side", 2)


@pytest.fixture(scope="module")
def ortho(tmp_path_factory):
    rgb = np.random.default_rng(0).integers(1, 256, (90, 120, 3), np.uint8)
    path = tmp_path_factory.mktemp("ortho") / "ortho.tif"
    return write_geotiff(path, rgb, tiled=True, blockxsize=16, blockysize=16, compress="deflate")


@pytest.mark.parametrize("suffix", ["geojson", "gpkg"])
@pytest.mark.parametrize("tile", [None, 64, 5000])
def test_everything_on_the_map(run, ortho, model, tmp_path, suffix, tile):
    tiles = () if tile is None else ("--tile", tile)
    command = ("everything", ortho, "--model", model, *OPTIONS, *tiles, "--category", "thing")
    for name in (f"a.{suffix}", "a.npz"):
        code, _, err = run(*command, "-o", tmp_path / name)
        assert code == 0, err
    masks = Masks.load(tmp_path / "a.npz")
    assert len(masks)
    assert masks.image_size == (90, 120)
    crs, features = read_features(tmp_path / f"a.{suffix}")
    assert crs == ("EPSG:4326" if suffix == "geojson" else UTM)
    assert np.array_equal(drawn(features, crs, ortho), masks.masks)
    assert {one["properties"]["category"] for one in features} == {"thing"}


def test_predict_in_a_window(run, ortho, model, tmp_path):
    window = ("--window", "20,10,100,74")
    prompts = ("--point", "50,30", "--box", "30,20,60,50")
    common = ("predict", ortho, "--model", model, "--fill-holes", "all")
    code, _, err = run(*common, *prompts, *window, "-o", tmp_path / "a.npz")
    assert code == 0, err
    masks = Masks.load(tmp_path / "a.npz")
    assert masks.image_size == (90, 120)
    code, _, err = run(*common, *prompts, *window, "-o", tmp_path / "a.geojson")
    assert code == 0, err
    crs, features = read_features(tmp_path / "a.geojson")
    assert np.array_equal(drawn(features, crs, ortho), masks.masks)

    # The same in coordinates of the map, south before north as all maps have it.
    def place(x, y):
        return f"{500_000 + 0.2 * x!r},{5_500_000 - 0.2 * y!r}"

    code, _, err = run(
        *common, "--map-coordinates", "--point", place(50, 30),
        "--box", f"{place(30, 50)},{place(60, 20)}",
        "--window", f"{place(20, 74)},{place(100, 10)}", "-o", tmp_path / "b.npz",
    )  # fmt: skip
    assert code == 0, err
    again = Masks.load(tmp_path / "b.npz")
    assert np.mean(again.masks != masks.masks) < 1e-3
    assert np.allclose(again.scores, masks.scores, atol=1e-4)


def test_bands_and_scale(run, model, tmp_path):
    """12 bits in five bands, which are scaled by the range of the whole image."""
    values = np.random.default_rng(0).integers(0, 4096, (90, 120, 5), np.uint16)
    path = write_geotiff(tmp_path / "a.tif", values)
    low, high = values[..., [3, 1, 0]].min(), values[..., [3, 1, 0]].max()
    common = ("everything", path, "--model", model, *OPTIONS, "--bands", "3,1,0", "--tile", 64)
    found = []
    for scale in ("minmax", f"{low},{high}"):
        code, _, err = run(*common, "--overlap", 8, "--scale", scale, "-o", tmp_path / "a.npz")
        assert code == 0, err
        found.append(Masks.load(tmp_path / "a.npz"))
    assert np.array_equal(found[0].masks, found[1].masks)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("everything", "-o", "a.png", "--format", "overlay", "--tile", 64), "never read whole"),
        (("everything", "--tile", 64), "never read whole"),
        (("everything", "-o", "a.gpkg", "--tile", 64, "--overlap", 33), "half of the tile"),
        (("everything", "-o", "a.gpkg", "--tile", 63), "at least 64 pixels, got 63: each tile is"),
        (("everything", "-o", "a.gpkg", "--tile", 0), "at least 64 pixels, got 0"),
        (("predict", "--point", "5,5", "--window", "1,2,3"), "whole numbers X0,Y0,X1,Y1"),
        (("predict", "--point", "5,5", "--window", "9,2,3,8"), "x0 < x1 and y0 < y1"),
        (("predict", "--point", "5,5", "--window", "0,0,9,9"), "never read whole"),
        (("predict", "--mask", "m.png", "--window", "0,0,9,9", "-o", "a.npz"), "whole image"),
    ],
)
def test_wrong_usage(run, ortho, model, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.png").touch()
    code, out, err = run(arguments[0], ortho, *arguments[1:], "--model", model)
    assert (code, out) == (2, "")
    assert "warning" not in err
    assert message in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--point", "5,5", "--window", "0,0,121,9"), "inside the image of 120 x 90"),
        (("--point", "50,50", "--window", "0,0,9,9"), "inside the window"),
    ],
)
def test_windows_that_do_not_fit(run, ortho, model, tmp_path, options, message):
    code, _, err = run("predict", ortho, "--model", model, *options, "-o", tmp_path / "a.npz")
    assert code == 1
    assert message in err


BOUNDS = "x from 500000 to 500024 and y from 5499982 to 5500000 in EPSG:25832"
WINDOW = ("--window", "500004,5499986,500020,5499998")


@pytest.mark.parametrize(
    ("options", "option", "message"),
    [
        (("--point", "400000,5500000"), "--point", f"{BOUNDS}, got 400000,5500000"),
        (("--point", "500010,5499990", "--point", "500010,55,0"), "--point", ", got 500010,55,0"),
        (("--point", "nan,5499990"), "--point", f"{BOUNDS}, got nan,5499990"),
        (("--point", "1e300,-inf"), "--point", f"{BOUNDS}, got 1e300,-inf"),
        (("--box", "-inf,0,inf,1e300"), "--box", f"{BOUNDS}, got -inf,0,inf,1e300"),
        (("--box", "500030,5499990,500040,5499995"), "--box", f"{BOUNDS}, got 500030,5499990,"),
        (("--box", "500010,5499990,500010,5499995"), "--box", "with an area, got 500010,5499990,"),
        (("--point", "500010,5499990", "--window", "1,2,3,4"), "--window", f"{BOUNDS}, got 1,2,3,"),
        (("--point", "500010,5499990", "--window", "1,2,x"), "--window", "X0,Y0,X1,Y1, got '1,2,x"),
        (("--point", "500002,5499990", *WINDOW), "--point", f"{WINDOW[1]}, got 500002,5499990"),
        (("--point", "5,5", *WINDOW), "--point", f"{BOUNDS}, got 5,5"),
        (
            ("--box", "500002,5499990,500010,5499995", *WINDOW),
            "--box",
            f"{WINDOW[1]}, got 500002,5499990,500010,5499995",
        ),
    ],
)
def test_coordinates_beside_the_map(run, ortho, model, tmp_path, options, option, message):
    """They are said as they were typed, and beside the map they mean nothing."""
    command = ("predict", ortho, "--map-coordinates", "--model", model, "-o", tmp_path / "a.npz")
    code, _, err = run(*command, *options)
    assert code == 2
    said = " ".join(err.replace("│", " ").split())
    assert f"Invalid value for {option}: " in said
    assert message in said
    assert not (tmp_path / "a.npz").exists()


def test_coordinates_at_the_edges_of_a_map(run, ortho, model, tmp_path):
    common = ("predict", ortho, "--map-coordinates", "--model", model, "-o", tmp_path / "a.npz")
    for options in (
        ("--point", "500000,5500000", "--point", "500024,5499982,0"),
        ("--box", "499999,5499980,500024,5500000"),
        ("--point", "500000,5499982", "--window", "499900,5400000,500024,5600000"),
    ):
        code, _, err = run(*common, *options)
        assert code == 0, err


def test_a_coordinate_system_without_a_code(run, model, tmp_path):
    """Files hold it and are right; one that has no place on the earth is an error of one line."""
    rgb = np.random.default_rng(0).integers(1, 256, (60, 80, 3), np.uint8)
    city = "+proj=tmerc +lat_0=49.3 +lon_0=9.1 +k=0.99987 +x_0=500000 +y_0=5500000 +ellps=GRS80"
    path = write_geotiff(tmp_path / "city.tif", rgb, crs=city)
    common = ("--point", "40,30", "--model", model, "-o")
    for name in ("a.npz", "a.gpkg", "a.geojson"):
        code, out, err = run("predict", path, *common, tmp_path / name)
        assert (code, out.count("\n"), err) == (0, 1, "")
    expected = Masks.load(tmp_path / "a.npz").masks
    for name in ("a.gpkg", "a.geojson"):
        crs, features = read_features(tmp_path / name)
        assert np.array_equal(drawn(features, crs, path), expected)
    site = 'LOCAL_CS["site grid",UNIT["metre",1]]'
    path = write_geotiff(tmp_path / "site.tif", rgb, crs=site, transform=Affine.scale(2))
    for name in ("b.gpkg", "b.geojson"):
        code, out, err = run("predict", path, *common, tmp_path / name)
        assert (code, out) == (1, "")
        reason = "the map has no longitude and latitude: 'site grid' cannot be transformed"
        assert err == f"error: {path}: {reason}\n"
    beside = ("--map-coordinates", "--point", "-3,5", *common[2:], tmp_path / "c.npz")
    code, _, err = run("predict", path, *beside)
    assert code == 2
    assert "in 'site grid', got -3,5" in " ".join(err.replace("│", " ").split())


def test_a_map_that_cannot_be_is_found_before_the_work(run, model, tmp_path, monkeypatch):
    rgb = np.zeros((90, 120, 3), np.uint8)
    path = write_geotiff(tmp_path / "a.tif", rgb, crs=None)

    def work(*_, **__):
        raise AssertionError("it was begun")

    monkeypatch.setattr("samkit.media.windows.WindowedImage", work)
    for suffix in ("geojson", "gpkg"):
        code, _, err = run(
            "everything", path, "--model", model, "--tile", 64, "-o", tmp_path / f"a.{suffix}"
        )
        assert code == 1
        assert "which coordinate reference system" in err


def test_without_the_extra(run, ortho, model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    command = ("everything", ortho, "--model", model, *OPTIONS, "--tile", 64, "--overlap", 8)
    assert run(*command, "-o", tmp_path / "a.json")[0] == 0
    code, _, err = run(*command, "-o", tmp_path / "a.geojson")
    assert code == 1
    assert 'pip install "samkit[geo]"' in err
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, np.zeros((90, 120, 3), np.uint8), photometric="rgb")
    code, _, err = run("everything", plain, *command[2:], "-o", tmp_path / "b.geojson")
    assert code == 0, err
    assert json.loads((tmp_path / "b.geojson").read_text())["type"] == "FeatureCollection"
