"""The listing of a bulk run, cut into shards: each becomes one file, whoever makes it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from samkit.bulk.places import Place
from samkit.bulk.sources import Item
from samkit.errors import InputError, count_of

__all__ = ["RUN_NAME", "Shard", "hash_of", "plan", "shard_name", "with_prompts"]

RUN_NAME = "_run.json"
"""What a folder of results says of its run; readers of folders of Parquet pass over such names."""

_MOST_IMAGES = 256
_FEWEST_SHARDS = 64  # as far as there are images, so that many processes have something to do


@dataclass(frozen=True)
class Shard:
    """Images or videos that become one file.

    Attributes:
        number: from 0.
        items: in the order of the listing.
    """

    number: int
    items: tuple[Item, ...]

    @property
    def digest(self) -> str:
        """A hash of its images, by name, and of their prompts."""
        return hash_of([[item.image_id, *item.prompts] for item in self.items])


def plan(items: Sequence[Item], size: int | None = None) -> list[Shard]:
    """The shards of a listing; they depend on nothing else.

    Args:
        items: of the listing, in its order.
        size: how many of them are in a shard; by default 256, and fewer where there would not be
            64 shards.
    """
    if size is None:
        size = max(1, min(_MOST_IMAGES, len(items) // _FEWEST_SHARDS))
    return [
        Shard(number, tuple(items[start : start + size]))
        for number, start in enumerate(range(0, len(items), size))
    ]


def shard_name(number: int) -> str:
    """The file of a shard, in the folder of the run."""
    return f"part-{number:06}.parquet"


def with_prompts(
    items: Iterable[Item],
    prompts: Mapping[str, list[dict[str, Any]]],
    table: str | os.PathLike[str] | Place,
) -> list[Item]:
    """The images of a listing about which something is asked, each with what that is.

    Args:
        items: of the listing.
        prompts: image, by its id or path -> entries.
        table: where they are from, for messages.

    Raises:
        InputError: prompts are about images that are not in the listing.
    """
    asked, known = [], set()
    for item in items:
        for name in dict.fromkeys((item.image_id, str(item.place))):
            if name in prompts:
                known.add(name)
                asked.append(replace(item, prompts=tuple(prompts[name])))
                break
    if missing := [name for name in prompts if name not in known]:
        raise InputError(
            f"{table}: {count_of(len(missing), 'image')} of it not in the source, "
            f"such as {missing[0]!r:.200}"
        )
    return asked


def hash_of(value: object) -> str:
    """A hash of what JSON can hold."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
