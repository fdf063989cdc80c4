"""Names of tensors: literal rename tables that work in both directions.

A table holds rows ``(name in samkit, name elsewhere)``. In a row ``{i}`` and ``{j}`` stand for a
number and ``{rest}`` for anything; both sides of a row have the same placeholders, so that every
row can be read backwards. The first row that fits a whole name is used; a name that no row fits
is kept (the strict check of `samkit.weights.loading` reports it if no network has it).

Where another layout splits or repeats a tensor, `Stacked` and `Repeated` convert it, in both
directions.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from samkit.errors import CheckpointError

__all__ = ["Layout", "RenameTable", "Repeated", "Stacked", "name_pattern"]

_PLACEHOLDERS = {"{i}": r"(?P<i>\d+)", "{j}": r"(?P<j>\d+)", "{rest}": r"(?P<rest>.+)"}


@dataclass(frozen=True, kw_only=True)
class Stacked:
    """Several tensors of ours, of equal sizes, are one of theirs, along the first axis."""

    ours: tuple[str, ...]
    theirs: str


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """One tensor of ours has several names elsewhere.

    Attributes:
        ours: its name in samkit.
        theirs: its names elsewhere; any one is enough, several have to be equal.
        written: the names under which it is written back.
    """

    ours: str
    theirs: tuple[str, ...]
    written: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RenameTable:
    """Names of the tensors of one family in one layout.

    Attributes:
        rows: ``(samkit, other)`` patterns.
        stacked, repeated: tensors that are converted and not only renamed.
        class_positions: (name of the first row in samkit, their name) of position tables
            (1, 1 + N, C), whose first row is of a class token, which no network of ours has. Where
            there is none, zeros are written.
        transposed: their names of matrices (C, D) that are (D, C) in samkit.
        beginnings: (another beginning of their names, what stands for it in all other parts of the
            table). Names are written without the former.
        left_out: patterns of their tensors that no network of ours has, and that are not read.
    """

    rows: tuple[tuple[str, str], ...]
    stacked: tuple[Stacked, ...] = ()
    repeated: tuple[Repeated, ...] = ()
    class_positions: tuple[tuple[str, str], ...] = ()
    transposed: tuple[str, ...] = ()
    beginnings: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()

    def leaves_out(self, name: str) -> bool:
        """Whether a tensor (by its name elsewhere) is not read."""
        name = self._begun(name)
        return any(name_pattern(pattern).fullmatch(name) for pattern in self.left_out)

    def _begun(self, name: str) -> str:
        """Their name of a tensor as the other parts of the table have it."""
        for other, usual in self.beginnings:
            if name.startswith(other):
                return usual + name.removeprefix(other)
        return name

    def to_samkit(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename every tensor to samkit's own names; the order is kept.

        Raises:
            CheckpointError: tensors that should be equal differ, or two get the same name.
        """
        repeated = {name: step for step in self.repeated for name in step.theirs}
        stacked = {step.theirs: step for step in self.stacked}
        class_rows = {theirs: ours for ours, theirs in self.class_positions}
        backwards = [(theirs, ours) for ours, theirs in self.rows]
        result: dict[str, Tensor] = {}
        for name, tensor in state.items():
            if self.leaves_out(name):
                continue
            name = self._begun(name)
            if name in class_rows:
                _check_axes(name, tensor, 3)
                _put(result, class_rows[name], tensor[:, :1])
                tensor = tensor[:, 1:]
            if name in self.transposed:
                _check_axes(name, tensor, 2)
                tensor = tensor.t()
            if name in stacked:
                step = stacked[name]
                if tensor.ndim == 0 or tensor.shape[0] % len(step.ours):
                    raise CheckpointError(
                        f"expected {name} to hold {len(step.ours)} equal parts, "
                        f"got shape {tuple(tensor.shape)}"
                    )
                for ours, part in zip(step.ours, tensor.chunk(len(step.ours)), strict=True):
                    _put(result, ours, part)
            elif name in repeated:
                ours = repeated[name].ours
                if ours not in result:
                    result[ours] = tensor
                elif not torch.equal(result[ours], tensor):
                    raise CheckpointError(f"expected {name} to equal its other copy; they differ")
            else:
                _put(result, _rename(name, backwards), tensor)
        return result

    def from_samkit(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of `to_samkit`.

        Raises:
            CheckpointError: two tensors get the same name, or a stack is incomplete or of
                mixed dtypes.
        """
        repeated = {step.ours: step for step in self.repeated}
        stacked = {name: step for step in self.stacked for name in step.ours}
        class_rows = dict(self.class_positions)
        first_rows = {theirs: state.get(ours) for ours, theirs in self.class_positions}
        result: dict[str, Tensor] = {}
        for name, tensor in state.items():
            if name in class_rows:
                continue  # it is written with the rest of its table
            if name in stacked:
                step = stacked[name]
                missing = [part for part in step.ours if part not in state]
                if missing:
                    raise CheckpointError(f"cannot write {step.theirs} without {missing[0]}")
                parts = [state[part] for part in step.ours]
                if len({part.dtype for part in parts}) > 1:
                    raise CheckpointError(f"cannot write {step.theirs}: its parts differ in dtype")
                if step.theirs not in result:
                    result[step.theirs] = torch.cat(parts)
            elif name in repeated:
                for theirs in repeated[name].written:
                    _put(result, theirs, tensor)
            else:
                theirs = _rename(name, self.rows)
                if theirs in first_rows:
                    first = first_rows[theirs]
                    first = torch.zeros_like(tensor[:, :1]) if first is None else first.to(tensor)
                    tensor = torch.cat([first, tensor], 1)
                _put(result, theirs, tensor.t() if theirs in self.transposed else tensor)
        return result


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A layout in which checkpoints of one family are found.

    Attributes:
        family: as in `NetworkConfig.family`.
        names: "samkit", "meta" or "hugging-face".
        sign: pattern of a tensor's name that this layout has, and none of those after it.
        table: the names.
    """

    family: str
    names: str
    sign: str
    table: RenameTable = RenameTable(rows=())


def _check_axes(name: str, tensor: Tensor, count: int) -> None:
    if tensor.ndim != count:
        raise CheckpointError(
            f"expected {name} to have {count} axes, got shape {tuple(tensor.shape)}"
        )


def _put(result: dict[str, Tensor], name: str, tensor: Tensor) -> None:
    if name in result:
        raise CheckpointError(f"two tensors of the checkpoint both mean {name}")
    result[name] = tensor


def _rename(name: str, rows: Iterable[tuple[str, str]]) -> str:
    for old, new in rows:
        match = name_pattern(old).fullmatch(name)
        if match:
            return new.format(**match.groupdict())
    return name


@cache
def name_pattern(text: str) -> re.Pattern[str]:
    """The regular expression of a name with placeholders."""
    parts = re.split(r"(\{\w+\})", text)
    return re.compile("".join(_PLACEHOLDERS.get(part, re.escape(part)) for part in parts))
