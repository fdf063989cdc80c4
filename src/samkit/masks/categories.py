"""What masks are of: the names of categories and their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from samkit.errors import InputError, shown

__all__ = ["Categories"]


@dataclass(frozen=True, kw_only=True)
class Categories:
    """The categories of N masks.

    Attributes:
        names: all that there are, in the order of their numbers.
        numbers: (N,) from 0, the category of each mask.
    """

    names: tuple[str, ...]
    numbers: tuple[int, ...]

    @classmethod
    def checked(
        cls, category: object, count: int, names: Sequence[str] | None = None
    ) -> "Categories":
        """Categories of so many masks.

        Args:
            category: the name of all, or a list with one for each mask.
            count: number of masks.
            names: all that there are; by default those given, in the order of the alphabet.

        Raises:
            InputError: these are no names, or not as many as masks, or one is not among `names`.
        """
        each = [category] * count if isinstance(category, str) else category
        if not isinstance(each, (list, tuple)) or not all(isinstance(one, str) for one in each):
            raise InputError(
                f"category: expected a name, or a list of one for each mask, got {shown(category)}"
            )
        if len(each) != count:
            raise InputError(f"category: expected a name, or {count} of them, got {len(each)}")
        given = {category} if isinstance(category, str) else set(each)
        known = tuple(sorted(given)) if names is None else tuple(names)
        if unknown := given - set(known):
            raise InputError(f"category: expected one of {', '.join(known)}, got {min(unknown)}")
        return cls(names=known, numbers=tuple(known.index(one) for one in each))

    @property
    def of_each(self) -> list[str]:
        """The name of each mask's category."""
        return [self.names[number] for number in self.numbers]

    @property
    def as_coco(self) -> list[dict[str, object]]:
        """The categories of a COCO data set, with ids from 1."""
        return [{"id": i, "name": name} for i, name in enumerate(self.names, 1)]
