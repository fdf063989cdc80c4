"""`samkit models`: what can be loaded by name."""

import os
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from samkit.weights import RegisteredModel

__all__ = ["models"]

# With fewer columns, names and licences would be cut.
_WIDTH = 100


def models() -> None:
    """List the models that can be loaded by name, and which are on this machine already."""
    from rich.console import Console
    from rich.table import Column, Table

    from samkit.weights import MODELS

    where = Column("on this machine", overflow="fold")
    table = Table("name", "parameters", "year", "licence", where, box=None)
    for model in MODELS.values():
        millions = f"{model.parameters / 1e6:.1f} M"
        table.add_row(model.name, millions, str(model.year), model.licence, _where(model))
    console = Console(soft_wrap=True)
    console.width = max(console.width, _WIDTH)
    console.print(table)
    typer.echo(
        "\nOthers are downloaded at first use; of those by hand, loading them says where the file "
        "is.\nAny checkpoint file loads too."
    )


def _where(model: "RegisteredModel") -> str:
    from huggingface_hub import try_to_load_from_cache

    from samkit.weights import cache_folder

    if model.is_bundled:
        return "bundled"
    if model.repository is not None:
        cached = try_to_load_from_cache(model.repository, model.hub_file)
        if isinstance(cached, str):
            return cached
        return "no, gated" if model.is_gated else "no"
    path = cache_folder() / model.filename
    if os.path.isfile(path):
        return str(path)
    return "no" if model.sha256 else "no, by hand"
