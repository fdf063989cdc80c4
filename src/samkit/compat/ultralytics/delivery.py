"""What happens to each result before the caller gets it: callbacks, pictures, a line of text."""

import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

from samkit.compat.ultralytics.results import Results
from samkit.compat.ultralytics.settings import Settings
from samkit.errors import InputError, shown

__all__ = ["Callbacks", "Delivery"]

Callbacks = Mapping[str, list[Callable[[Any], None]]]
"""Event -> functions that are called with the predictor. Events are ``on_predict_start`` and
``on_predict_end``, and for each image, whose results are then in ``predictor.results``,
``on_predict_postprocess_end`` (before a picture is saved) and ``on_predict_batch_end``."""

_RUNS = Path("runs/segment")


class Delivery:
    """Delivers results as they are computed.

    Args:
        settings: save, project, name and verbose are used.
        callbacks: functions to call.

    Attributes:
        results: of the last image, as a list of one; callbacks may change it.
        folder: where pictures are saved, None before the first one.
    """

    def __init__(self, settings: Settings, callbacks: Callbacks | None) -> None:
        self.settings = settings
        self.callbacks: Callbacks = {} if callbacks is None else callbacks
        is_mapping = isinstance(self.callbacks, Mapping)
        lists = self.callbacks.values() if is_mapping else [None]
        for functions in lists:
            if not isinstance(functions, (list, tuple)) or not all(map(callable, functions)):
                raise InputError(
                    "_callbacks: expected {event: [functions of the predictor]}, "
                    f"got {shown(callbacks)}"
                )
        self.results: list[Results] = []
        self.folder: Path | None = None

    def __call__(self, results: Iterator[Results], predictor: object) -> Iterator[Results]:
        """The same results, each after its callbacks ran and it was saved and printed."""
        self._call("on_predict_start", predictor)
        while True:
            start = perf_counter()
            result = next(results, None)
            if result is None:
                break
            result.speed["inference"] = (perf_counter() - start) * 1000 - sum(result.speed.values())
            self.results = [result]
            self._call("on_predict_postprocess_end", predictor)
            for one in self.results:
                self._save_and_print(one)
            self._call("on_predict_batch_end", predictor)
            yield from self.results
        self._call("on_predict_end", predictor)

    def _call(self, event: str, predictor: object) -> None:
        for function in self.callbacks.get(event, []):
            function(predictor)

    def _save_and_print(self, result: Results) -> None:
        settings = self.settings
        if settings.save:
            if self.folder is None:
                project = _RUNS if settings.project is None else Path(settings.project)
                self.folder = _new_folder(project / (settings.name or "predict"))
            result.save(self.folder / result.picture_name())
        if settings.verbose:
            print(f"{result!r}, {result.speed['inference']:.0f} ms", file=sys.stderr)


def _new_folder(path: Path) -> Path:
    """Create a folder of this name; where it exists, with the first free number appended."""
    for number in count(1):
        folder = path if number == 1 else path.with_name(f"{path.name}{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(f"cannot create {folder}: {error.strerror}") from error
        break
    return folder
