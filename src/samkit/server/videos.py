"""Videos: sessions in which objects are prompted and tracked, with frames as they come."""

import io
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from weakref import WeakSet

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from PIL import Image

from samkit.image_predictor import ImagePredictor
from samkit.masks import Masks
from samkit.media.frames import open_frames
from samkit.server.errors import ApiError
from samkit.server.events import event, event_stream
from samkit.server.state import ServerState, owner_of
from samkit.server.store import Store
from samkit.server.uploads import received_file, unnamed
from samkit.server.wire import FramePrompt, TrackRequest, as_prompts, masks_as_json
from samkit.video import VideoPredictor

__all__ = ["Sessions", "video_routes"]

_SESSION = "session.safetensors"


class VideoSession:
    """A video and its tracker, in memory or in a file.

    Args:
        predictor: tracks.
        model: its name.
        folder: for its files, removed with it.
        video: the file.

    Attributes:
        video: the file.
        tracks: what is tracked now; meanwhile it stays awake.
        prompts: how many it was given.
    """

    size = 1  # the limits of sessions are numbers of them

    def __init__(self, predictor: ImagePredictor, model: str, folder: Path, video: Path) -> None:
        self._predictor, self._folder, self.video = predictor, folder, video
        self.model, self.prompts = model, 0
        self.tracks: WeakSet[Iterator[tuple[int, Masks]]] = WeakSet()
        self._tracker: VideoPredictor | None = VideoPredictor(predictor, video)
        with closing(open_frames(video)) as frames:
            self.count, self.image_size = frames.count, frames.read(0).shape[:2]
            self.rate = None if frames.format is None else float(frames.format.rate)

    @property
    def tracker(self) -> VideoPredictor:
        """The tracker, while it is awake."""
        assert self._tracker is not None
        return self._tracker

    @property
    def is_awake(self) -> bool:
        return self._tracker is not None

    def wake(self) -> None:
        if self._tracker is None:
            self._tracker = self._restored()

    def _restored(self) -> VideoPredictor:
        file = self._folder / _SESSION
        if not file.exists():  # nothing was prompted
            return VideoPredictor(self._predictor, self.video)
        return VideoPredictor.load(file, self._predictor, self.video)

    def sleep(self) -> None:
        if self.tracks:
            return
        if self.tracker.object_ids:
            self.tracker.save(self._folder / _SESSION)
        else:
            (self._folder / _SESSION).unlink(missing_ok=True)
        self.tracker.close()
        self._tracker = None

    def drop(self) -> None:
        if self._tracker is not None:
            self._tracker.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class Sessions(Store[VideoSession]):
    """The video sessions of clients."""

    def __init__(self, state: ServerState) -> None:
        settings = state.settings
        super().__init__(
            "session",
            awake=settings.open_sessions,
            most=settings.sessions,
            seconds=settings.seconds,
        )
        self._most_tracked = settings.open_sessions

    def track(
        self, owner: str, name: str, wanted: TrackRequest
    ) -> tuple[VideoSession, Iterator[tuple[int, Masks]]]:
        """Begin to track all objects of a session -> the session, and its frames as they come.

        Raises:
            ApiError: there is no such session, or others are tracked already.
        """
        session = self.get(owner, name)
        others = [one for one in self.values() if one.tracks and one is not session]
        if len(others) >= self._most_tracked:
            raise ApiError(503, "busy", f"{len(others)} videos are tracked", {"Retry-After": "10"})
        results = session.tracker.track(
            wanted.direction, start=wanted.start, stop=wanted.stop, smooth=wanted.smooth
        )
        session.tracks.add(results)
        return session, results


def video_routes(state: ServerState, sessions: Sessions) -> APIRouter:
    """Routes below /v1."""
    router = APIRouter(tags=["videos"])
    run, limits = state.inference.run, state.settings

    def in_session(
        request: Request, name: str, work: Callable[[VideoPredictor], Any]
    ) -> Callable[[], Any]:
        def use() -> Any:
            session = sessions.get(owner_of(request), name)
            with unnamed(session.video):
                return work(session.tracker)

        return use

    def about(name: str, session: VideoSession) -> dict[str, Any]:
        return {
            "id": name,
            "model": session.model,
            "frames": session.count,
            "image_size": list(session.image_size),
            "rate": session.rate,
            "object_ids": list(session.tracker.object_ids),
            "expires_in": limits.seconds,
        }

    @router.post("/videos", status_code=201)
    async def begin(
        request: Request,
        model: Annotated[str | None, Query(description="One with memory.")] = None,
    ) -> dict[str, Any]:
        """Begin a session with a video: its bytes, a form with one file, or {"path": ...}."""
        name, predictor = state.model(model)
        session_id = secrets.token_urlsafe(16)
        folder = state.folder / session_id
        folder.mkdir()

        def work(video: Path) -> dict[str, Any]:
            with unnamed(video):
                session = VideoSession(predictor, name, folder, video)
            sessions.put(owner_of(request), session_id, session)
            return about(session_id, session)

        try:
            video = await received_file(request, state, folder / "video")
            return await run("open", partial(work, video), request)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    @router.get("/videos/{name}")
    async def look_up(request: Request, name: str) -> dict[str, Any]:
        """What a session is about."""

        def work() -> dict[str, Any]:
            return about(name, sessions.get(owner_of(request), name))

        return await run("look up", work, request)

    @router.get("/videos/{name}/frames/{frame}", response_class=Response)
    async def picture(request: Request, name: str, frame: int) -> Response:
        """A frame as JPEG."""

        def work(tracker: VideoPredictor) -> bytes:
            file = io.BytesIO()
            Image.fromarray(tracker.read(frame)).save(file, "JPEG", quality=90)
            return file.getvalue()

        content = await run("frame", in_session(request, name, work), request)
        return Response(content, media_type="image/jpeg")

    @router.post("/videos/{name}/prompts")
    async def prompt(request: Request, name: str, wanted: FramePrompt) -> Response:
        """Prompt or correct an object in a frame -> masks of all objects there."""

        def work() -> dict[str, Any]:
            session = sessions.get(owner_of(request), name)
            if session.prompts >= limits.prompts:
                raise ApiError(422, "invalid", f"expected at most {limits.prompts} prompts")
            (given,) = as_prompts([wanted.prompt])
            with unnamed(session.video):
                masks = session.tracker.prompt(wanted.frame, wanted.object_id, given)
            session.prompts += 1
            return masks_as_json(masks, wanted.format)

        return JSONResponse(await run("prompt", work, request))

    @router.post("/videos/{name}/undo")
    async def undo(request: Request, name: str) -> Response:
        """Take back the last prompt -> masks of all objects in its frame."""

        def work(tracker: VideoPredictor) -> dict[str, Any]:
            return masks_as_json(tracker.undo(), "rle")

        return JSONResponse(await run("undo", in_session(request, name, work), request))

    @router.delete("/videos/{name}/objects/{object_id}", status_code=204)
    async def remove(request: Request, name: str, object_id: int) -> Response:
        """Forget an object."""
        work = in_session(request, name, lambda tracker: tracker.remove(object_id))
        await run("remove", work, request)
        return Response(status_code=204)

    @router.delete("/videos/{name}", status_code=204)
    async def end(request: Request, name: str) -> Response:
        """End a session."""
        await run("end", partial(sessions.drop, owner_of(request), name), request)
        return Response(status_code=204)

    @router.post("/videos/{name}/track", response_class=StreamingResponse)
    async def track(request: Request, name: str, wanted: TrackRequest) -> Response:
        """Track all objects, as server-sent events.

        Events: `frame` with a frame's number and masks, as soon as it is tracked; `end`; or
        `error` with what other answers have. Closing the connection ends tracking. Other requests
        are answered between frames.
        """

        start = partial(sessions.track, owner_of(request), name, wanted)
        session, results = await run("track", start, request)

        def next_event(_: VideoPredictor) -> str | None:
            found = next(results, None)
            if found is None:
                return None
            frame, masks = found
            return event("frame", {"frame": frame, **masks_as_json(masks, wanted.format)}, frame)

        async def step() -> str | None:
            # The session is used, so that it does not expire, and is awake.
            work = in_session(request, name, next_event)
            text: str | None = await run("frame tracked", work, request, patient=True)
            return text

        return event_stream(
            step, lambda: state.inference.soon(partial(session.tracks.discard, results))
        )

    return router
