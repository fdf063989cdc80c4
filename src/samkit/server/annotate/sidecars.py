"""What is kept of a photograph or a video: its objects with all that was clicked and painted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from samkit.errors import InputError, PromptError
from samkit.files import open_file
from samkit.masks import Masks
from samkit.media import write_atomically
from samkit.prompts import Prompt

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "KeptFile",
    "KeptObject",
    "KeptTrack",
    "Name",
    "ObjectRequest",
    "Sidecar",
    "Stroke",
    "TrackAbout",
    "VideoPrompt",
    "VideoSidecar",
]

# Enough for what people click and paint, and few enough to compute at once.
_MOST_STEPS, _MOST_POINTS, _MOST_STROKES, _MOST_CORNERS, _MOST_TEXT = 200, 500, 500, 10_000, 200
_Coordinate = Annotated[float, Field(ge=-1e7, le=1e7, allow_inf_nan=False)]


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("expected one line of letters and signs that can be seen")
    return name


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=_MOST_TEXT),
    AfterValidator(_printable),
]
"""What people call a thing: one line, as lists of classes have one for each, no spaces around."""


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Stroke(_Checked):
    """A stroke of the brush or the eraser.

    Attributes:
        points: the way of its middle, xy in pixels of the photograph.
        radius: in pixels.
        erase: whether it takes away.
    """

    points: Annotated[
        list[tuple[_Coordinate, _Coordinate]], Field(min_length=1, max_length=_MOST_CORNERS)
    ]
    radius: Annotated[float, Field(gt=0, le=1e5)]
    erase: bool = False


class ObjectRequest(_Checked):
    """What an object is made of, in the order in which it takes effect.

    Attributes:
        steps: prompts (`Prompt.to_dict`: points and boxes) one after the other; each refines what
            those before gave.
        candidate: which of the last step's three proposals; None for the single mask.
        found: number of a mask that everything mode found, to begin with instead of steps.
        strokes: painted over it.
        category, name: what it is, and what it is called.
        visible: whether the page shows it.
    """

    steps: Annotated[list[dict[str, Any]], Field(max_length=_MOST_STEPS)] = []
    candidate: Annotated[int, Field(ge=0, le=2)] | None = None
    found: Annotated[int, Field(ge=0)] | None = None
    strokes: Annotated[list[Stroke], Field(max_length=_MOST_STROKES)] = []
    category: Name = ""
    name: Name = ""
    visible: bool = True

    @field_validator("steps")
    @classmethod
    def _check_steps(cls, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for step in steps:
            if not isinstance(step, dict) or "mask" in step:
                raise ValueError("expected points or a box, got a mask")
            if len(points := step.get("points") or []) > _MOST_POINTS:
                raise ValueError(f"expected at most {_MOST_POINTS} points, got {len(points)}")
            try:
                Prompt.from_dict(step)
            except PromptError as error:
                raise ValueError(str(error)) from None
        if sum(len(step.get("points") or []) for step in steps) > _MOST_POINTS:
            raise ValueError(f"expected at most {_MOST_POINTS} points in all steps")
        return steps

    @model_validator(mode="after")
    def _check_beginning(self) -> "ObjectRequest":
        if self.steps and self.found is not None:
            raise ValueError("expected steps or a mask that was found, got both")
        return self

    @property
    def prompts(self) -> list[Prompt]:
        """The steps."""
        return [Prompt.from_dict(step) for step in self.steps]


class KeptObject(ObjectRequest):
    """An object that was accepted.

    Attributes:
        id: unlike any other in its photograph, from 1.
        score: predicted IoU before strokes.
        rle: its mask, COCO's compressed run lengths.
        base: the mask that everything mode found, which `found` named; None without.
    """

    id: Annotated[int, Field(ge=1)]
    score: float
    rle: dict[str, Any]
    base: dict[str, Any] | None = None


class KeptFile(_Checked):
    """What is kept of a photograph or video, in a file of its own.

    Attributes:
        source: where it lies, relative to the folder of these files; bytes: its length.
        image_size: (height, width) in pixels; (0, 0) of one that cannot be read.
        model: by which masks were made.
    """

    version: Literal[1] = 1
    source: str
    bytes: int
    image_size: tuple[int, int]
    model: str

    def check(self) -> None:
        """Raise ValueError for values that do not fit each other."""

    def write(self, path: Path) -> None:
        """Write to a file, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        text = json.dumps(self.model_dump(mode="json"), indent=1)
        with write_atomically(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Self":
        """What `write` wrote.

        Raises:
            InputError: it is damaged, or something else.
        """
        with open_file(path) as file:
            text = file.read()
        try:
            kept = cls.model_validate_json(text)
            kept.check()
        except (ValidationError, ValueError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise InputError(
                f"{path} is damaged, of another version, or nothing of samkit: {reason}"
            ) from error
        return kept


class Sidecar(KeptFile):
    """Everything that is kept of a photograph.

    Attributes:
        done: whether somebody said that it is done.
        objects: in the order in which they were accepted.
    """

    done: bool = False
    objects: list[KeptObject] = []

    @property
    def masks(self) -> Masks:
        """The masks of the objects, with their ids and scores. There is an image size."""
        return Masks.from_rle(
            [one.rle for one in self.objects],
            self.image_size,
            [one.score for one in self.objects],
            object_ids=[one.id for one in self.objects],
        )

    def check(self) -> None:
        check_ids(self.objects)
        if self.objects:
            _ = self.masks  # checks the run lengths


def check_ids(objects: Sequence[Any]) -> None:
    """Raise ValueError where two have one id."""
    if len({one.id for one in objects}) != len(objects):
        raise ValueError("two objects have one id")


class VideoPrompt(_Checked):
    """What is said about an object in a frame: exactly one of a prompt, strokes and absence.

    Attributes:
        frame: its number.
        object_id: None for a new object.
        prompt: of points or a box, as `Prompt.to_dict` gives it.
        strokes: painted over the mask that is there.
        absent: whether the object is not in this frame.
        category: of a new object.
    """

    frame: Annotated[int, Field(ge=0)]
    object_id: Annotated[int, Field(ge=1)] | None = None
    prompt: dict[str, Any] | None = None
    strokes: Annotated[list[Stroke], Field(max_length=_MOST_STROKES)] = []
    absent: bool = False
    category: Name = ""

    @model_validator(mode="after")
    def _check_one(self) -> "Self":
        if (self.prompt is not None) + bool(self.strokes) + self.absent != 1:
            raise ValueError("expected one of a prompt, strokes and absent")
        if self.prompt is not None:
            ObjectRequest(steps=[self.prompt])  # as in photographs
        return self


class TrackAbout(_Checked):
    """What an object of a video is, what it is called, and whether the page shows it."""

    category: Name = ""
    name: Name = ""
    visible: bool = True


class KeptTrack(TrackAbout):
    """An object of a video.

    Attributes:
        id: unlike any other in its video, from 1.
        prompts: how many it has had that were not undone.
    """

    id: Annotated[int, Field(ge=1)]
    prompts: Annotated[int, Field(ge=0)] = 0


class VideoSidecar(KeptFile):
    """What is kept of a video besides its session and masks.

    Attributes:
        count: of its frames.
        objects: in the order in which they were first prompted.
    """

    count: Annotated[int, Field(ge=1)]
    objects: list[KeptTrack] = []

    def check(self) -> None:
        check_ids(self.objects)
