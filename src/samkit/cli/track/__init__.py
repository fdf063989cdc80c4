"""`samkit track`: objects through a video."""

from samkit.cli.track.command import track

__all__ = ["track"]
