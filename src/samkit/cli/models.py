"""`samkit models`: what can be loaded by name."""

import os

import typer

__all__ = ["models"]


def models() -> None:
    """List the models that can be loaded by name, and which are on this machine already."""
    from rich.console import Console
    from rich.table import Table

    from samkit.weights import MODELS, cache_folder

    cache = cache_folder()
    table = Table("name", "parameters", "year", "licence", "on this machine", box=None)
    for model in MODELS.values():
        cached = cache / model.filename
        where = "bundled" if model.url is None else str(cached) if os.path.isfile(cached) else "no"
        millions = f"{model.parameters / 1e6:.1f} M"
        table.add_row(model.name, millions, str(model.year), model.licence, where)
    Console(soft_wrap=True).print(table)
    typer.echo("\nOthers are downloaded at first use. Any checkpoint file loads too.")
