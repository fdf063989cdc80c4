"""The images of tasks: within the task, below the root, or at an allowed address."""

import base64
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from fastapi import Request

from samkit.server.errors import ApiError
from samkit.server.images import Embeddings, KeptEmbedding
from samkit.server.labelstudio.fetching import Fetcher
from samkit.server.labelstudio.origins import Address, LabelStudio
from samkit.server.state import ServerState, owner_of

__all__ = ["TaskImages"]

T = TypeVar("T")

_LOCAL_FILES = "/data/local-files/"
# Addresses of which is known what was there.
_MOST_KNOWN = 10_000


class TaskImages:
    """Embeddings of the images of tasks, each made once.

    Files that are sent or named are known by what is in them. One at an address is fetched when it
    is asked for the first time, and again once its embedding has expired.
    """

    def __init__(self, state: ServerState, embeddings: Embeddings, allowed: LabelStudio) -> None:
        settings = state.settings
        self._state, self._embeddings = state, embeddings
        self._fetcher = Fetcher(
            allowed, most=settings.body_bytes, seconds=settings.body_seconds, room=state.room
        )
        self._known: OrderedDict[tuple[str, Address], str] = OrderedDict()

    async def use(self, request: Request, place: str, work: Callable[[KeptEmbedding], T]) -> T:
        """Do work with the embedding of an image, in the networks' thread.

        Args:
            request: that asks for it.
            place: of the image, as a task has it.
            work: what to do.

        Raises:
            ApiError: there is no such image, it may not be used, or it is none.
        """
        model, predictor = self._state.model(None)
        owner, run = owner_of(request), self._state.inference.run

        def with_image(image: Path | bytes) -> tuple[str, T]:
            name, kept = self._embeddings.make(owner, model, predictor, image)
            return name, work(kept)

        image = self._here(place)
        if image is not None:
            return (await run("label studio", lambda: with_image(image), request))[1]
        address = self._fetcher.address(place)
        known = self._known.get((owner, address))
        if known is not None:
            try:
                return await run(
                    "label studio", lambda: work(self._embeddings.get(owner, known)), request
                )
            except ApiError as error:
                if error.code != "expired":
                    raise
        content = await self._fetcher.get(address)
        try:
            name, result = await run("label studio", lambda: with_image(content), request)
        finally:
            self._state.room.give_back(len(content))
        self._known[owner, address] = name
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return result

    def _here(self, place: str) -> Path | bytes | None:
        """An image that need not be fetched."""
        if place[:5].lower() == "data:":
            kind, comma, text = place.partition(",")
            try:
                if comma and kind.lower().endswith(";base64"):
                    return base64.b64decode(text, validate=True)
            except ValueError:
                pass
            raise ApiError(422, "image", "expected data:image/png;base64,... or the like")
        if place.startswith(_LOCAL_FILES) and self._state.settings.root is not None:
            paths = parse_qs(urlsplit(place).query).get("d", [])
            if len(paths) != 1:
                raise ApiError(422, "invalid", f"expected {_LOCAL_FILES}?d=PATH")
            return self._state.file(paths[0])
        return None
