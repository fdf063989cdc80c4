"""Checkpoints on the Hugging Face hub. The hub's client verifies and caches them."""

import re
from pathlib import Path

from samkit.errors import CheckpointError, DownloadError
from samkit.weights.checkpoint import FOLDER_WEIGHTS, read_placement
from samkit.weights.download import is_offline

__all__ = ["fetch_folder", "is_hub_id"]


def is_hub_id(text: str) -> bool:
    """Whether a text has the form ``owner/name``."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", text) is not None


def fetch_folder(repository: str) -> Path:
    """Download the config and the weights of a repository; return their folder.

    Files in the hub's cache are used without network access.

    Raises:
        DownloadError: it does not exist, is not accessible, or the network failed.
        CheckpointError: the repository holds no weights in the layout of transformers.
    """
    _fetch(repository, "config.json")
    for name in FOLDER_WEIGHTS:
        weights = _fetch(repository, name)
        if weights is not None:
            return weights.parent
        index = _fetch(repository, f"{name}.index.json")
        if index is not None:
            for shard in dict.fromkeys(read_placement(index).values()):
                _fetch(repository, shard)
            return index.parent
    raise CheckpointError(
        f"{repository} on the Hugging Face hub has none of {', '.join(FOLDER_WEIGHTS)}"
    )


def _fetch(repository: str, filename: str) -> Path | None:
    """The cached file, or None where the repository has no such file."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(hf_hub_download(repository, filename, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        pass  # not there yet, or a name that the next call complains about
    try:
        return Path(hf_hub_download(repository, filename, local_files_only=is_offline()))
    except LocalEntryNotFoundError as error:
        if filename != "config.json":
            return None
        raise DownloadError(
            f"{repository} is not in the cache of the Hugging Face hub and could not be fetched: "
            "there is no network, or downloads are turned off (SAMKIT_OFFLINE or "
            "HF_HUB_OFFLINE is set). The bundled model 'pico' works without a network"
        ) from error
    except EntryNotFoundError:
        return None
    except GatedRepoError as error:
        raise DownloadError(
            f"{repository} asks for permission: accept its terms on the hub, then log in with "
            "the command 'hf auth login'"
        ) from error
    except RepositoryNotFoundError as error:
        raise DownloadError(
            f"no repository {repository} on the Hugging Face hub (or it is private), and no "
            "file or folder of that name"
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise DownloadError(f"cannot fetch {filename} of {repository}: {error}") from error
