"""What Label Studio asks: the labelling configuration, and what was clicked."""

from dataclasses import dataclass, field
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
from pydantic import BaseModel

from samkit.errors import InputError, shown
from samkit.masks import checks
from samkit.masks.labelstudio import label_of, rectangle_corners, size_of

__all__ = ["PredictRequest", "Question", "Tags", "question_of"]


class PredictRequest(BaseModel):
    """What `POST /predict` brings, as far as it is used."""

    tasks: list[dict[str, Any]]
    label_config: str
    params: dict[str, Any] | None = None


@dataclass(frozen=True)
class Tags:
    """The tags of a labelling configuration that an answer is about.

    Attributes:
        control: name of the tag for masks; kind: what it takes.
        image: name of the image.
        key: of the image's address in a task's data.
    """

    control: str
    kind: Literal["brush", "polygon"]
    image: str
    key: str


@dataclass
class _Object:
    """What was clicked of one object, as `Prompt.from_dict` takes it."""

    points: list[list[float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    box: list[float] | None = None

    def as_prompt(self) -> dict[str, Any] | None:
        """None where nothing says where the object is."""
        if 1 not in self.labels and self.box is None:
            return None
        points = {"points": self.points, "labels": self.labels} if self.points else {}
        return points | ({} if self.box is None else {"box": self.box})


@dataclass(frozen=True)
class Question:
    """Masks that are asked for.

    Attributes:
        tags: for the answer.
        image: address of the image, as the task has it.
        image_size: (height, width) that Label Studio has found it to have.
        prompts: label of each object, or None, -> its prompt, as `Prompt.from_dict` takes it; none
            of objects of which it was only clicked where they are not.
    """

    tags: Tags
    image: str
    image_size: tuple[int, int]
    prompts: dict[str | None, dict[str, Any]]


def question_of(request: PredictRequest) -> Question | None:
    """What a request asks; None where nothing was clicked.

    Regions of one label are about one object: all clicks, and the last box.

    Raises:
        InputError: the configuration, the task or a region is not as it should be.
    """
    context = (request.params or {}).get("context")
    regions = context.get("result") if isinstance(context, dict) else None
    if not regions:
        return None
    if not isinstance(regions, list) or not all(isinstance(one, dict) for one in regions):
        raise InputError(f"context: expected a list of regions, got {shown(regions)}")
    if len(request.tasks) != 1:
        raise InputError(f"expected one task with what was clicked, got {len(request.tasks)}")
    name = regions[-1].get("to_name")
    tags = _tags(request.label_config, name if isinstance(name, str) else None)
    regions = [one for one in regions if one.get("to_name", tags.image) == tags.image]
    data = request.tasks[0].get("data")
    image = data.get(tags.key) if isinstance(data, dict) else None
    if not isinstance(image, str):
        raise InputError(f"task: expected an address as {tags.key!r:.80}, got {shown(image)}")
    sizes = {size_of(one, f"region {i}") for i, one in enumerate(regions)}
    if len(sizes) != 1:
        raise InputError(f"expected regions of one image size, got {sorted(sizes)}")
    (size,) = sizes
    objects: dict[str | None, _Object] = {}
    for i, one in enumerate(regions):
        _add(objects, one, size, f"region {i}")
    prompts = {label: made for label, one in objects.items() if (made := one.as_prompt())}
    return Question(tags, image, size, prompts)


def _add(
    objects: dict[str | None, _Object], region: dict[str, Any], size: tuple[int, int], what: str
) -> None:
    """Add what a region says to its object. Regions that are no clicks or boxes say nothing."""
    kind = str(region.get("type")).removesuffix("labels")
    if kind not in ("keypoint", "rectangle"):
        return
    value = region.get("value")
    if not isinstance(value, dict):
        raise InputError(f"{what}: expected a value, got {shown(value)}")
    one = objects.setdefault(label_of(region), _Object())
    if kind == "rectangle":
        corners = rectangle_corners(value, size, what)
        one.box = [*corners.min(0).tolist(), *corners.max(0).tolist()]
    else:
        place = [value.get("x"), value.get("y")]
        percent = checks.floats(f"{what}: x and y", place, (2,)).astype(np.float64)
        one.points.append((percent * size[::-1] / 100).tolist())
        # Label Studio says so of every click; of points that are no clicks it says nothing.
        one.labels.append(int(bool(region.get("is_positive", True))))


def _tags(config: str, image: str | None) -> Tags:
    """The tag for masks of an image, by default of any; a brush rather than polygons.

    Raises:
        InputError: the configuration is no XML, or has no such tags.
    """
    try:
        if "<!DOCTYPE" in config:  # which can define what expands without end
            raise ValueError
        root = ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError):
        raise InputError("label_config: expected plain XML without a document type") from None
    keys = {tag.get("name"): tag.get("value", "") for tag in root.iter("Image")}
    kinds: tuple[Literal["brush", "polygon"], ...] = ("brush", "polygon")
    for kind in kinds:
        for tag in root.iter(f"{kind.capitalize()}Labels"):
            control, of = tag.get("name"), tag.get("toName")
            if control and of and of == (image or of) and keys.get(of, "").startswith("$"):
                return Tags(control, kind, of, keys[of][1:])
    raise InputError(
        "label_config: expected BrushLabels or PolygonLabels of an Image with a value such as "
        "$image"
    )
