"""Video files and addresses, opened by FFmpeg within limits and without following others."""

import codecs
import functools
import weakref
from pathlib import Path

import av
from av.container import InputContainer
from av.format import ContainerFormat
from av.video.stream import VideoStream

from samkit.errors import InputError
from samkit.files import open_file
from samkit.limits import check_image_size, limits

__all__ = ["DAMAGE", "OpenVideo", "open_address", "open_video", "reason_of"]

DAMAGE = (av.FFmpegError, OSError, ValueError, IndexError)
"""What PyAV raises where a file is damaged."""

# Formats that name other files and addresses, or read devices.
# fmt: off
_POINTERS = frozenset({
    "alsa", "concat", "dash", "fbdev", "hls", "image2", "imf", "kmsgrab", "lavfi", "rtp", "rtsp",
    "sap", "sdp", "video4linux2,v4l2", "vobsub", "webm_dash_manifest", "x11grab",
})
_SCHEMES = (
    "http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtmpe", "rtmpt", "rtmpte", "rtmpts", "rtp",
    "srtp", "srt", "udp", "udplite", "tcp", "tls", "ftp", "sftp", "mmsh", "mmst", "gopher",
    "gophers", "rist", "hls",
)
# What these are made of: no files, pipes or scripts.
_PROTOCOLS = ",".join((*_SCHEMES, "httpproxy", "crypto", "data"))
# How lists of other files and addresses begin.
_LISTS = (
    b"#extm3u", b"ffconcat", b"v=0\n", b"v=0\r", b"<?xml", b"<mpd", b"<smil", b"<asx",
    b"[playlist]", b"[reference]",
)
# fmt: on
_HEAD = 64  # bytes in which such a beginning is looked for


class OpenVideo:
    """A container that is open, and one stream of it.

    Threads of the decoder end when this, and the packets and iterators made with it, are gone.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.container, self.stream = container, stream
        # Also where nobody calls it: a container and its streams refer to each other.
        self._close = weakref.finalize(self, container.close)

    def close(self) -> None:
        """Close the container."""
        self._close()


def open_video(path: str) -> OpenVideo:
    """A video file, and its first stream that is a video.

    Raises:
        InputError: it is no regular file, cannot be read, has no video stream or one of a size that
            `samkit.limits` does not allow, or names other files or addresses.
    """
    with open_file(Path(path)) as file:
        try:
            head = file.read(_HEAD)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if head.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(_LISTS):
        raise InputError(
            f"cannot read {path} as a video: it is a list of other files or addresses, which are "
            "not followed from a file; give what it names, or its own address if it has one"
        )
    # After "file:", no name is taken for another protocol.
    return _opened(
        f"file:{path}", path, {"protocol_whitelist": "file", "format_whitelist": _formats()}
    )


def open_address(address: str, timeout: float) -> OpenVideo:
    """A video at an address, and its first stream that is a video.

    Args:
        address: of one of the usual network protocols.
        timeout: seconds after which an address that sends nothing is given up.

    Raises:
        InputError: as `open_video`.
    """
    scheme = address.partition("://")[0].lower().partition("+")[0]
    if scheme not in _SCHEMES:
        raise InputError(
            "expected a path, or an address such as http://, https://, rtsp:// or rtmp://, "
            f"got {address}"
        )
    return _opened(address, address, {"protocol_whitelist": _PROTOCOLS}, timeout)


def reason_of(error: Exception) -> str:
    """What FFmpeg says, without numbers and names of its functions."""
    if isinstance(error, av.error.ExitError):  # how it ends when its time is over
        return "nothing came for a long time"
    return getattr(error, "strerror", None) or str(error)


def _opened(
    source: str, name: str, options: dict[str, str], timeout: float | None = None
) -> OpenVideo:
    what = f"cannot read {name} as a video"
    try:
        container = av.open(
            source, "r", container_options=options, metadata_errors="replace", timeout=timeout
        )
    except DAMAGE as error:
        reason = reason_of(error)
        if isinstance(error, av.error.ArgumentError):  # a format or protocol that is not allowed
            reason = "it is damaged, or names other files or addresses, which are not followed"
        raise InputError(f"{what}: {reason}") from error
    try:
        return OpenVideo(container, _video_stream(container, what))
    except BaseException:
        container.close()
        raise


def _video_stream(container: InputContainer, what: str) -> VideoStream:
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise InputError(f"{what}: there is no video stream in it")
    known = [stream for stream in streams if stream.codec_context is not None]
    if not known:
        raise InputError(f"{what}: it is damaged, or there is no decoder for its kind of video")
    # Before the frames of an animated AVIF or HEIF comes its still picture, as a stream of its own.
    stream = max(known, key=lambda stream: stream.frames > 1)
    context = stream.codec_context
    if context.width and context.height:
        check_image_size(context.height, context.width, what, InputError)
    # The frames may be larger than the header says.
    context.options = {"max_pixels": str(min(limits().image_pixels, 2**31 - 1))}
    stream.thread_type = "AUTO"
    return stream


def _is_cover(stream: VideoStream) -> bool:
    """Whether it is the cover picture of a piece of music."""
    disposition = getattr(stream, "disposition", None)
    return disposition is not None and bool(disposition & type(disposition).attached_pic)


@functools.cache
def _formats() -> str:
    """All formats that hold the frames themselves, as FFmpeg lists them."""
    found = set()
    for name in av.formats_available:
        try:
            found.add(ContainerFormat(name, "r").name)
        except ValueError:  # can only be written
            continue
    return ",".join(sorted(found - _POINTERS))
