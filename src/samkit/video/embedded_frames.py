"""Embeddings of the frames of a video, one at a time."""

from typing import Any

from samkit.errors import InputError
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.media.frames import Frames, RecentFrames

__all__ = ["EmbeddedFrames"]


class EmbeddedFrames:
    """Reads and embeds frames on demand; the last embedding is kept.

    Args:
        predictor: that embeds them.
        frames: of a video, or None where they are passed to `embed_given`.

    Attributes:
        size: (H, W) in pixels of all frames; None before the first one.
    """

    def __init__(self, predictor: ImagePredictor, frames: Frames | None) -> None:
        self.predictor, self.frames = predictor, frames
        self.size: tuple[int, int] | None = None
        self._last: tuple[int, ImageEmbedding] | None = None

    @property
    def count(self) -> int | None:
        """How many there are, if that is known."""
        return None if self.frames is None else self.frames.count

    def close(self, *, also_video: bool) -> None:
        """Forget the last frame, and close the video if `also_video`."""
        if self.frames is not None and also_video:
            self.frames.close()
        self._last = None

    def keep(self, delay: int) -> None:
        """Keep frames that are shown so many frames later, if these are frames that can be."""
        if isinstance(self.frames, RecentFrames):
            self.frames.keep(delay + 2)

    def read_ahead(self, number: int) -> None:
        """Read a frame in a thread, if these are frames that can be."""
        if isinstance(self.frames, RecentFrames):
            self.frames.begin(number)

    def embed(self, number: int) -> ImageEmbedding | None:
        """Embed a frame; None if the video ends before it.

        Raises:
            InputError: it cannot be read (again), or has another size.
        """
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        if self.frames is None:
            raise InputError(
                f"frame {number} is not at hand; only the last frame given to step() is"
            )
        try:
            pixels = self.frames.read(number)
        except IndexError:
            return None
        return self.embed_given(number, pixels)

    def embed_given(self, number: int, frame: Any) -> ImageEmbedding:
        """Embed a frame that was passed in, unless it is an embedding.

        Raises:
            InputError: not an image, or of another size or network.
        """
        if isinstance(frame, ImageEmbedding):
            self.predictor.check_embedding(frame)
            embedding = frame.to(self.predictor.device)
        else:
            embedding = self.predictor.embed(frame)
        if self.size is not None and embedding.image_size != self.size:
            raise InputError(
                f"frame {number}: expected the size of the frames before {self.size} "
                f"(height, width), got {embedding.image_size}"
            )
        self.size = embedding.image_size
        self._last = (number, embedding)
        return embedding
