"""What `samkit find` and `samkit track --find` have in common: words, and models that find them."""

import typer

from samkit.cli.usage import as_usage_error, usage_error

__all__ = ["cannot_find", "check_finds", "parse_words"]


def parse_words(text: str, option: str) -> list[str]:
    """Words with commas between.

    Raises:
        typer.BadParameter: some are none, or there twice.
    """
    from samkit import Concept

    words = [name.strip() for name in text.split(",")]
    if not all(words) or len(set(words)) < len(words):
        raise usage_error(
            f"expected words, each once, several with commas between, got {text!r}", option
        )
    with as_usage_error(option):
        return [Concept(word).name for word in words]


def check_finds(model: str) -> None:
    """Check that a model that is known by its name is of SAM 3, before it is downloaded.

    Raises:
        typer.BadParameter: it is not.
    """
    from samkit.sizes import Sam3Config
    from samkit.weights import MODELS

    if model in MODELS and not isinstance(MODELS[model].config, Sam3Config):
        raise cannot_find(model)


def cannot_find(model: str) -> typer.BadParameter:
    """The error about a model that has no detector."""
    return usage_error(f"{model} cannot find by words; SAM 3 alone can: -m sam3", "--model")
