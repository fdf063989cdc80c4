"""Logs of a run: CSV files and, optionally, TensorBoard's."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samkit.errors import InputError
from samkit.media import write_atomically
from samkit.media.writing import check_writable
from samkit.training.trainer import Report
from samkit.training.validation import Validation

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["Log"]

_STEP = re.compile(r"[0-9]{1,18}")


class Log:
    """Writes reports and validations.

    Args:
        checkpoint: of the run. Reports go beside it into NAME.training.csv, validations into
            NAME.validation.csv.
        tensorboard: folder for TensorBoard, or None.
        step: from which the run starts or resumes; rows after it are dropped.

    Raises:
        InputError: TensorBoard is not installed, or a file cannot be written.
    """

    def __init__(self, checkpoint: Path, *, tensorboard: Path | None = None, step: int = 0) -> None:
        self.reports = checkpoint.with_suffix(".training.csv")
        self.validations = checkpoint.with_suffix(".validation.csv")
        files = (self.reports, self.validations)
        for file in files:
            check_writable(file)
        self._writer = None if tensorboard is None else _writer(tensorboard, step)
        for file in files:
            _drop_after(file, step)

    def write(self, event: Report | Validation) -> None:
        """A row of a CSV, and the scalars `train/...` or `validation/...`.

        Raises:
            InputError: the CSV cannot be written any more, as on a full disk.
        """
        if isinstance(event, Report):
            values = {name: getattr(event, name) for name in Report.__dataclass_fields__}
            path, group = self.reports, "train"
        else:
            values = {"step": event.step, "objects": event.objects, **event.iou()}
            path, group = self.validations, "validation"
        try:
            _append(path, values)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error
        if self._writer is not None:
            for name, value in values.items():
                if name != "step":
                    self._writer.add_scalar(f"{group}/{name}", value, event.step)
            self._writer.flush()

    def close(self) -> None:
        """Flush and close TensorBoard's file."""
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path, step: int) -> "SummaryWriter":
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(folder), purge_step=step + 1)
    except ImportError as error:
        raise InputError(
            "TensorBoard is not installed: pip install 'samkit[tensorboard]'"
        ) from error
    except OSError as error:
        raise InputError(
            f"cannot write TensorBoard's files into {folder}: {error.strerror or error}"
        ) from error


def _drop_after(path: Path, step: int) -> None:
    """Keep the rows up to a step; without any, no file."""
    rows: Sequence[list[str]] = []
    if step and path.is_file():
        with path.open(newline="", errors="replace") as file:
            try:
                header, *rows = list(csv.reader(file)) or [[]]
            except csv.Error as error:
                raise InputError(f"{path} is no log of a run ({error}): move it away") from error
        # An incomplete row, of a run that was killed, is dropped too.
        whole = [row for row in rows if len(row) == len(header) and _STEP.fullmatch(row[0])]
        rows = [row for row in whole if int(row[0]) <= step]
    if rows:
        with write_atomically(path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    else:
        path.unlink(missing_ok=True)


def _append(path: Path, values: Mapping[str, float]) -> None:
    new = not path.is_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(values)
        writer.writerow(f"{v:.6g}" if isinstance(v, float) else v for v in values.values())
