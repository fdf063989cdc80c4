"""Masks as polygons on the map: GeoJSON and GeoPackage. Needs the extra `geo`."""

import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.masks import contours
from samkit.masks.categories import Categories
from samkit.masks.fields import Fields
from samkit.masks.storage import Storage
from samkit.media.georeference import (
    Georeference,
    geo_packages,
    lies_on_map,
    read_georeference,
)

__all__ = ["MAPS", "place_on_map"]

_DIGITS = 9  # of a degree: 0.1 mm
_POLYGON, _MULTI_POLYGON = 3, 6  # of well-known binary

_Floats: TypeAlias = npt.NDArray[np.float64]
_Part: TypeAlias = list[_Floats]


@dataclass(frozen=True, eq=False)
class _Shape:
    """A mask on the map.

    Attributes:
        parts: rings (K, 2) in the map's coordinates, closed by a repeated point; of each part the
            outer one, counterclockwise, and those of its holes, clockwise.
        about: what it is.
    """

    parts: list[_Part]
    about: dict[str, Any]


def place_on_map(name: str, source: str | os.PathLike[str] | None) -> Georeference | None:
    """Where the image lies, for formats that are maps of images that lie somewhere.

    Raises:
        InputError, MissingDependencyError: it cannot be told, or the map not be written.
    """
    if name == "gpkg":
        if source is None:
            raise InputError("a GeoPackage is a map: give image= as the path of a GeoTIFF")
        geo_packages("pyogrio.raw")
        return read_georeference(source)
    if name == "geojson" and source is not None and lies_on_map(source):
        return read_georeference(source)
    return None


def _write_geojson(
    masks: Storage, fields: Fields, path: Path, place: Georeference, categories: Categories
) -> None:
    """Write longitudes and latitudes, as RFC 7946 wants them, feature by feature."""
    with path.open("wb") as file:
        file.write(b'{"type": "FeatureCollection", "features": [')
        separator = b"\n"
        for shape in _shapes(masks, fields, place, categories):
            parts = [
                [np.round(ring, _DIGITS).tolist() for ring in part]
                for part in _moved(shape.parts, place.to_degrees)
            ]
            feature = {
                "type": "Feature",
                "id": shape.about["object_id"],
                "geometry": {"type": "MultiPolygon", "coordinates": parts} if parts else None,
                "properties": shape.about,
            }
            file.write(separator + json.dumps(feature).encode())
            separator = b",\n"
        file.write(b"\n]}\n")


def _write_package(
    masks: Storage, fields: Fields, path: Path, place: Georeference, categories: Categories
) -> None:
    """Write a GeoPackage in the image's own coordinate reference system, a layer `objects`."""
    (pyogrio,) = geo_packages("pyogrio.raw")
    shapes, about = [], []
    for shape in _shapes(masks, fields, place, categories):
        shapes.append(_well_known_binary(shape.parts) if shape.parts else None)
        about.append(shape.about)
    kinds = {"object_id": np.int64, "category": object, "score": np.float64, "area_m2": np.float64}
    columns = [np.array([one[name] for one in about], kind) for name, kind in kinds.items()]
    geometry = np.empty(len(shapes), object)
    geometry[:] = shapes
    try:
        pyogrio.write(
            path,
            geometry,
            columns,
            list(kinds),
            layer="objects",
            driver="GPKG",
            geometry_type="MultiPolygon",
            crs=place.crs.to_wkt(),
        )
    except Exception as error:  # of pyogrio and of GDAL, of several kinds
        raise InputError(f"the GeoPackage cannot be written: {error}") from error


MAPS: dict[str, Callable[[Storage, Fields, Path, Georeference, Categories], None]] = {
    "geojson": _write_geojson,
    "gpkg": _write_package,
}
"""Format -> what writes masks and their fields to a path, of an image that lies somewhere."""


def _shapes(
    masks: Storage, fields: Fields, place: Georeference, categories: Categories
) -> Iterator[_Shape]:
    if masks.image_size != place.image_size:
        raise InputError(
            f"image: expected that of these masks, of size {masks.image_size} (height, width), "
            f"got one of size {place.image_size}"
        )
    for i, (corner, mask) in enumerate(masks.crops()):
        parts = _moved(_parts(mask, corner), place.to_map)
        about = {
            "object_id": int(fields.object_ids[i]),
            "category": categories.of_each[i],
            "score": float(fields.scores[i]),
            "area_m2": _area(parts, place),
        }
        yield _Shape(parts, about)


def _parts(mask: npt.NDArray[np.bool_], corner: tuple[int, int]) -> list[_Part]:
    """The parts of a mask with their holes, closed rings in pixels that touch themselves nowhere.

    Pixels that touch by a corner only are of two parts, since GIS refuse a ring that crosses or
    touches itself; such a corner between a part and its own hole belongs to two rings.
    """
    if not mask.size:
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    found = []
    for number in range(1, count):
        x, y, width, height, _ = stats[number].tolist()
        alone = labels[y : y + height, x : x + width] == number
        (part,) = contours.parts_with_holes(alone, corner=(corner[0] + x, corner[1] + y))
        found.append([np.concatenate([ring, ring[:1]]).astype(np.float64) for ring in part])
    return found


def _moved(parts: list[_Part], move: Callable[[_Floats], _Floats]) -> list[_Part]:
    """Rings of which all points are moved at once, wound the right way round."""
    if not parts:
        return []
    lengths = [len(ring) for part in parts for ring in part]
    moved = move(np.concatenate([ring for part in parts for ring in part]))
    rings = iter(np.split(moved, np.cumsum(lengths)[:-1]))
    return [
        [_wound(next(rings), outer=number == 0) for number in range(len(part))] for part in parts
    ]


def _wound(ring: _Floats, *, outer: bool) -> _Floats:
    """Outer rings counterclockwise, those of holes clockwise."""
    return ring if (_signed_area(ring) > 0) == outer else ring[::-1]


def _signed_area(ring: _Floats) -> float:
    """Of a closed ring (K, 2), positive if it is counterclockwise."""
    x, y = (ring - ring[0]).T  # far from the origin digits would be lost
    return float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2


def _area(parts: list[_Part], place: Georeference) -> float:
    """Square metres on the ground, without holes."""
    rings = (ring for part in _moved(parts, place.to_equal_areas) for ring in part)
    return sum(map(_signed_area, rings))


def _well_known_binary(parts: list[_Part]) -> bytes:
    data = struct.pack("<BII", 1, _MULTI_POLYGON, len(parts))
    for part in parts:
        data += struct.pack("<BII", 1, _POLYGON, len(part))
        for ring in part:
            data += struct.pack("<I", len(ring)) + ring.astype("<f8").tobytes()
    return data
