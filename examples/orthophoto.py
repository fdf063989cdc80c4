"""A map of an orthophoto: polygons with areas, as GeoJSON and as GeoPackage.

    python examples/orthophoto.py [ORTHOPHOTO.tif]

Without an argument a small one is drawn: fields, roads and houses, with pixels of 0.5 m. In one
line: `samkit everything ORTHOPHOTO.tif -o outputs/objects.gpkg --tile 640`. Needs samkit[geo].
"""

import sys
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
from affine import Affine

import samkit
from samkit.media.windows import WindowedImage

SIZE = 960
FIELDS = [(190, 170, 110), (104, 140, 70), (150, 120, 80), (84, 116, 62), (176, 184, 98)]
ROOFS = [(176, 84, 66), (120, 120, 128), (200, 196, 190)]


def draw() -> np.ndarray:
    """Fields with furrows, roads between them, and houses with bright roofs."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    picture = np.full((SIZE, SIZE, 3), (150, 150, 146), np.float32)  # roads
    for i in range(3):
        for j in range(3):
            inside = (x // 320 == j) & (y // 320 == i) & (x % 320 > 12) & (y % 320 > 12)
            angle = rng.uniform(0, np.pi)
            furrows = 6 * np.sin((x * np.cos(angle) + y * np.sin(angle)) / 2.5)
            picture[inside] = (np.array(FIELDS[(i * 3 + j) % 5]) + furrows[..., None])[inside]
    for _ in range(10):
        left, top = rng.integers(30, SIZE - 120, 2)
        width, height = rng.integers(36, 80, 2)
        roof = np.array(ROOFS[rng.integers(3)])
        picture[top : top + height, left : left + width] = roof
        picture[top : top + height // 2, left : left + width] = roof * 0.85
    return (picture + rng.normal(0, 3, picture.shape)).clip(1, 255).astype(np.uint8)


def write(path: Path, picture: np.ndarray) -> None:
    place = {"crs": "EPSG:25832", "transform": Affine(0.5, 0, 483_000, 0, -0.5, 5_628_000)}
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    size = {"height": SIZE, "width": SIZE, "count": 3, "dtype": "uint8"}
    path.parent.mkdir(exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", **size, **place, **layout) as file:
        file.write(picture.transpose(2, 0, 1))


def main() -> None:
    out = Path("outputs")
    if len(sys.argv) == 2:
        source = Path(sys.argv[1])
    else:
        source = out / "orthophoto.tif"
        write(source, draw())

    predictor = samkit.load("pico")
    # Each pixel in one polygon at most, as in a map of land use.
    generator = samkit.AutomaticMaskGenerator(predictor, preset="disjoint", points_per_side=10)
    with WindowedImage(source) as image:  # only one tile at a time is read
        masks = samkit.Masks.concatenate(generator.stream_tiles(image, tile=640, overlap=96))
    masks.save(out / "objects.geojson", image=source)  # longitude and latitude
    masks.save(out / "objects.gpkg", image=source)  # the orthophoto's own coordinates

    for name in ("objects.geojson", "objects.gpkg"):
        info = pyogrio.read_info(out / name)  # read_dataframe, where there is geopandas
        print(f"{name}: {info['features']} objects, {info['crs']}")
    info, _, _, columns = pyogrio.raw.read(out / "objects.gpkg", read_geometry=False)
    table = dict(zip(info["fields"], columns, strict=True))
    print("object_id  area_m2  score")
    for i in np.argsort(-table["area_m2"])[:10]:
        print(f"{table['object_id'][i]:9}  {table['area_m2'][i]:7.0f}  {table['score'][i]:.2f}")


if __name__ == "__main__":
    main()
