"""Every error that samkit raises on purpose.

SamkitError
├── InputError (also a ValueError)      a value given by the caller cannot be used
│   ├── ImageError                      an image that cannot be read or understood
│   └── PromptError                     a prompt that cannot mean anything
├── UnknownModelError                   a name that no registered model has
├── CheckpointError                     a weight file that cannot be used
│   ├── CheckpointKeysError             its tensors do not fit the network
│   └── UnsafeCheckpointError           it holds code, which samkit never runs
├── ExportError                         an export failed, or does not do what the network does
├── DownloadError                       weights could not be fetched or verified
└── MissingDependencyError              an optional package is not installed

A message says what was expected and what came instead.
"""

__all__ = [
    "CheckpointError",
    "CheckpointKeysError",
    "DownloadError",
    "ExportError",
    "ImageError",
    "InputError",
    "MissingDependencyError",
    "PromptError",
    "SamkitError",
    "UnknownModelError",
    "UnsafeCheckpointError",
]


class SamkitError(Exception):
    """Base of every error that samkit raises on purpose."""


class InputError(SamkitError, ValueError):
    """A value given by the caller cannot be used."""


class ImageError(InputError):
    """An image cannot be read, or is of a kind that is not supported."""


class PromptError(InputError):
    """A prompt has a wrong shape or a value that cannot mean anything."""


class UnknownModelError(SamkitError):
    """No registered model has this name, and no file or folder is there either."""


class CheckpointError(SamkitError):
    """A weight file cannot be used."""


class CheckpointKeysError(CheckpointError):
    """The tensors of a checkpoint do not fit the network.

    Attributes:
        missing: names that the network needs and the file lacks.
        unexpected: names in the file that the network does not have.
        misshapen: names whose shapes differ, as ``(name, expected, actual)``.
    """

    def __init__(
        self,
        source: str,
        *,
        missing: tuple[str, ...] = (),
        unexpected: tuple[str, ...] = (),
        misshapen: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = (),
    ) -> None:
        self.missing = missing
        self.unexpected = unexpected
        self.misshapen = misshapen
        shapes = tuple(f"{name} expected {want}, got {got}" for name, want, got in misshapen)
        parts = [
            f"{len(names)} {kind}: {_some(names)}"
            for kind, names in (
                ("missing", missing),
                ("unexpected", unexpected),
                ("wrongly shaped", shapes),
            )
            if names
        ]
        super().__init__(f"{source} does not fit this network: " + "; ".join(parts))


class UnsafeCheckpointError(CheckpointError):
    """A pickled checkpoint would run code when loaded. It was not loaded."""


class DownloadError(SamkitError):
    """A download failed, or what arrived is not what was expected."""


class ExportError(SamkitError):
    """A network cannot be exported, or what was exported does something else."""


class MissingDependencyError(SamkitError, ImportError):
    """An optional package is needed; the message has the command that installs it."""


def shown(value: object, most: int = 80) -> str:
    """A value in an error message, cut off; its type where Python cannot print it.

    Python does not print numbers of thousands of digits, nor lists that are nested so deeply.
    """
    try:
        return f"{value!r:.{most}}"
    except Exception:
        return f"an object of type {type(value).__name__}"


def count_of(count: int, noun: str) -> str:
    """1 mask, 2 masks."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _some(names: tuple[str, ...], limit: int = 20) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown}, and {len(names) - limit} more"
