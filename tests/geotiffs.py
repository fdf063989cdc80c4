"""GeoTIFFs to test with, and what readers of maps find in files of masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import rasterio
from affine import Affine
from rasterio.features import rasterize
from rasterio.warp import transform_geom

# North is up, a pixel is 0.2 m: in zone 32 of UTM, on its middle meridian.
UTM = "EPSG:25832"
NORTH_UP = Affine(0.2, 0, 500_000, 0, -0.2, 5_500_000)


def write_geotiff(
    path: Path, rgb: np.ndarray, *, crs: str | None = UTM, transform: Any = NORTH_UP, **options: Any
) -> Path:
    """A GeoTIFF of an image (H, W, 3), written by GDAL."""
    height, width, count = rgb.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype=rgb.dtype,
        crs=crs, transform=transform, **options,
    ) as file:  # fmt: skip
        file.write(rgb.transpose(2, 0, 1))
    return path


def read_features(path: Path) -> tuple[str, list[dict[str, Any]]]:
    """The coordinate reference system of a file, and its features, as GDAL reads them."""
    info, _, geometry, columns = pyogrio.raw.read(path)
    copy = path.with_name(f"{path.name}.copy.geojson")
    pyogrio.raw.write(
        copy, geometry, columns, info["fields"], driver="GeoJSON",
        geometry_type=info["geometry_type"], crs=info["crs"], COORDINATE_PRECISION=15,
    )  # fmt: skip
    features = json.loads(copy.read_text())["features"]
    copy.unlink()
    return info["crs"], features


def drawn(features: list[dict[str, Any]], crs: str, image: Path) -> np.ndarray:
    """The features (N, H, W) as GDAL draws them on the pixels of their image."""
    with rasterio.open(image) as dataset:
        return np.array(
            [
                rasterize(
                    [transform_geom(crs, dataset.crs, one["geometry"])],
                    dataset.shape,
                    transform=dataset.transform,
                )
                for one in features
            ],
            bool,
        )
