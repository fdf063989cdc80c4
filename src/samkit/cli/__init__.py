"""The `samkit` command. Modules here import what is heavy only when a command runs."""

import io
import re
import sys
import warnings

import typer

from samkit.cli.annotate import annotate
from samkit.cli.benchmark import benchmark
from samkit.cli.bulk import bulk
from samkit.cli.convert import convert
from samkit.cli.eval import evaluate
from samkit.cli.everything import everything
from samkit.cli.export import export
from samkit.cli.find import find
from samkit.cli.models import models
from samkit.cli.predict import predict
from samkit.cli.serve import serve
from samkit.cli.signals import TERMINATION, interrupt, signal_handler
from samkit.cli.track import track
from samkit.cli.train import train
from samkit.errors import SamkitError

__all__ = ["app", "main"]

app = typer.Typer(
    name="samkit",
    help="Promptable segmentation: click, box or scribble on an image or video and get masks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(predict)
app.command()(everything)
app.command()(find)
app.command()(bulk)
app.command()(track)
app.command()(models)
app.command("eval")(evaluate)
app.command()(train)
app.command()(convert)
app.command()(export)
app.command()(benchmark)
app.command()(annotate)
app.command()(serve)


@app.callback(invoke_without_command=True)
def _samkit(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        import samkit

        print(samkit.__version__)
        raise typer.Exit


class _Warnings:
    """Warnings on stderr, of each kind one: a stack of 500 pages would give 500 that are alike."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def show(self, message: Warning | str, *_: object, **__: object) -> None:
        """Print it without its place in the code, which means nothing on the command line."""
        kind = re.sub(r"\d+", "", str(message).rpartition(": ")[2])
        if kind not in self._told:
            self._told.add(kind)
            print(f"warning: {message}", file=sys.stderr)


def main() -> None:
    """Run the command line. Exits with 2 for wrong usage and with 1 for a failure."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may be no text
            stream.reconfigure(errors="backslashreplace")
    try:
        with signal_handler(TERMINATION, interrupt), warnings.catch_warnings():
            warnings.showwarning = _Warnings().show
            app()
    except SamkitError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # the reader of a pipe, such as head, has closed it
        sys.stderr.close()
        sys.exit(1)
