"""What the parts of a server share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from samkit.errors import InputError
from samkit.image_predictor import ImagePredictor
from samkit.server.bodies import Room
from samkit.server.errors import ApiError
from samkit.server.inference import Inference
from samkit.server.metrics import Metrics
from samkit.server.settings import ServerSettings

__all__ = ["ServerState", "owner_of"]


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """What the parts of a server share.

    Attributes:
        predictors: by name; the first one is the default.
        settings: what is allowed.
        inference: the thread in which they run.
        metrics: figures.
        room: for what is received.
        folder: for files; it is there while the server runs.
    """

    predictors: Mapping[str, ImagePredictor]
    settings: ServerSettings
    inference: Inference
    metrics: Metrics
    room: Room
    folder: Path

    def model(self, name: str | None) -> tuple[str, ImagePredictor]:
        """A model by its name, or the default one.

        Raises:
            ApiError: there is none of this name.
        """
        if name is None:
            name = next(iter(self.predictors))
        if name not in self.predictors:
            known = ", ".join(self.predictors)
            raise ApiError(422, "invalid", f"model: expected one of {known}")
        return name, self.predictors[name]

    def file(self, path: str) -> Path:
        """A file below the root, by its path from there.

        Raises:
            ApiError: files are not served, or there is no such file below the root.
        """
        if self.settings.root is None:
            raise ApiError(403, "forbidden", "no files of the server may be named; see --root")
        root = self.settings.root.resolve()
        refusal = ApiError(422, "invalid", "path: there is no such file below the root")
        try:
            found = (root / path).resolve()
            if not found.is_relative_to(root) or not found.is_file():
                raise refusal
        except (OSError, ValueError, RuntimeError, InputError):
            raise refusal from None
        return found


def owner_of(request: Request) -> str:
    """Who asks, see `Guard`."""
    owner: str = request.scope["state"]["owner"]
    return owner
