"""Where an image lies on the map. Needs the extra `geo` (rasterio)."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from samkit.errors import ImageError, InputError, MissingDependencyError
from samkit.files import open_file
from samkit.media.files import as_path
from samkit.media.tiff import is_tiff

__all__ = ["Georeference", "geo_packages", "lies_on_map", "read_georeference"]

# Tags of GeoTIFF: size of a pixel, tie points, transformation, coordinate system.
_GEO_TAGS = (33550, 33922, 34264, 34735)
_DEGREES = "EPSG:4326"  # which rasterio gives as longitude and latitude, as RFC 7946 wants them


@dataclass(frozen=True, kw_only=True)
class Georeference:
    """Coordinates of the map for those of an image.

    Attributes:
        crs: the coordinate reference system, a `rasterio.crs.CRS`.
        matrix: (2, 3), from x, y, 1 in pixels to the coordinates of the map.
        image_size: (H, W).
    """

    crs: Any
    matrix: npt.NDArray[np.float64]
    image_size: tuple[int, int]

    @property
    def crs_name(self) -> str:
        """What the coordinate reference system is called: its EPSG code, or else its own name."""
        code = self.crs.to_epsg()
        if code is not None:
            return f"EPSG:{code}"
        return repr(self.crs.to_wkt().split('"')[1])

    @property
    def bounds(self) -> npt.NDArray[np.float64]:
        """[[x0, y0], [x1, y1]] of the smallest box on the map that holds the image."""
        height, width = self.image_size
        corners = self.to_map(np.array([[0, 0], [width, 0], [0, height], [width, height]]))
        return np.array([corners.min(0), corners.max(0)])

    def to_map(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """xy (N, 2) in pixels -> (N, 2) in the map's own coordinates."""
        return np.asarray(pixels @ self.matrix[:, :2].T + self.matrix[:, 2])

    def to_pixels(self, points: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(N, 2) in the map's own coordinates -> xy (N, 2) in pixels."""
        return np.asarray(
            np.linalg.solve(self.matrix[:, :2], (points - self.matrix[:, 2]).T).T, np.float64
        )

    def to_degrees(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(N, 2) in the map's own coordinates -> longitude and latitude (N, 2), WGS 84.

        Raises:
            InputError: they have none.
        """
        return self._transformed(points, _DEGREES)

    def to_equal_areas(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(N, 2) in the map's own coordinates -> (N, 2) metres, in which areas are the true ones.

        Lambert's projection around the middle of the image, of the ellipsoid of WGS 84.

        Raises:
            InputError: they have no longitude and latitude.
        """
        height, width = self.image_size
        middle = self.to_map(np.array([[width / 2, height / 2]]))
        ((longitude, latitude),) = self.to_degrees(middle).tolist()
        laea = f"+proj=laea +lon_0={longitude} +lat_0={latitude} +datum=WGS84 +units=m"
        return self._transformed(points, laea)

    def _transformed(self, points: npt.NDArray[np.float64], target: str) -> npt.NDArray[np.float64]:
        (warp,) = geo_packages("rasterio.warp")
        try:
            x, y = warp.transform(self.crs, target, *points.T.tolist())
        except Exception as error:  # of rasterio and of GDAL, of several kinds
            # Their message may have all of the system, which is longer than a screen.
            raise InputError(
                f"the map has no longitude and latitude: {self.crs_name} cannot be transformed"
            ) from error
        result = np.array([x, y], np.float64).T.reshape(-1, 2)
        if not np.isfinite(result).all():
            raise InputError("the image lies, at least partly, where its map has no coordinates")
        return result


def lies_on_map(path: str | os.PathLike[str]) -> bool:
    """Whether a file is there and is a GeoTIFF; found out without the extra `geo`.

    Raises:
        ImageError: it cannot be read.
    """
    from tifffile import TiffFile

    if not os.path.isfile(as_path(path)):
        return False
    with open_file(as_path(path), ImageError) as file:
        if not is_tiff(file):
            return False
        file.seek(0)
        try:
            with TiffFile(file, name=str(path)) as tiff:
                return any(tag in tiff.pages[0].tags for tag in _GEO_TAGS)  # type: ignore[union-attr]
        except MemoryError:
            raise
        except Exception as error:  # of damaged files, nearly anything
            raise ImageError(f"cannot read {os.fspath(path)}: {error}") from error


def read_georeference(path: str | os.PathLike[str]) -> Georeference:
    """Where the image in a file lies on the map, by all ways to say so that GDAL knows.

    Raises:
        MissingDependencyError: the extra `geo` is not installed.
        ImageError: the file cannot be read.
        InputError: it does not say where it lies, or in which coordinate system.
    """
    (rasterio,) = geo_packages("rasterio")
    place = as_path(path)
    open_file(place, ImageError).close()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has no georeference is an error below
            with rasterio.open(place) as dataset:
                crs, affine, size = dataset.crs, dataset.transform, dataset.shape
    except Exception as error:  # of rasterio and of GDAL, of several kinds
        raise ImageError(f"cannot read {place}: {error}") from error
    if affine.is_identity or affine.determinant == 0:
        raise InputError(
            f"{place} does not say where it lies on the map; of ground control points make a map "
            f"first: rio warp {place.name} map.tif"
        )
    if crs is None or not crs.to_wkt():
        raise InputError(
            f"{place} does not say in which coordinate reference system it is; tell it: "
            f"rio edit-info --crs EPSG:25832 {place.name}"
        )
    matrix = np.array([affine[:3], affine[3:6]], np.float64)
    return Georeference(crs=crs, matrix=matrix, image_size=(int(size[0]), int(size[1])))


def geo_packages(*names: str) -> tuple[ModuleType, ...]:
    """Modules of the extra `geo`.

    Raises:
        MissingDependencyError: it is not installed.
    """
    from importlib import import_module

    try:
        return tuple(import_module(name) for name in names)
    except ImportError as error:
        raise MissingDependencyError(
            f'maps need the package {names[0].partition(".")[0]}: pip install "samkit[geo]"'
        ) from error
