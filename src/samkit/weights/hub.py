"""Checkpoints on the Hugging Face hub. The hub's client verifies and caches them."""

import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from samkit.errors import CheckpointError, DownloadError
from samkit.weights.checkpoint import FOLDER_WEIGHTS, read_placement
from samkit.weights.download import OFFLINE_VARIABLES, is_offline
from samkit.weights.registry import MODELS, did_you_mean

__all__ = ["fetch_file", "fetch_folder", "is_hub_id"]

# Where nothing answers at all; a packet that was lost is sent again after one second.
_TIMEOUT_SECONDS = 3.0


def is_hub_id(text: str) -> bool:
    """Whether a text has the form ``owner/name``."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", text) is not None


def fetch_folder(repository: str) -> Path:
    """Download the config and the weights of a repository; return their folder.

    What is in the hub's cache is used without network access.

    Raises:
        DownloadError: it does not exist, is not accessible, or the network failed.
        CheckpointError: the repository holds no weights in the layout of transformers.
    """
    if _cached(repository, "config.json") and (folder := _weights(repository, _cached)):
        return folder
    _check_connection(repository)
    _downloaded(repository, "config.json")
    if folder := _weights(repository, _downloaded):
        return folder
    raise CheckpointError(
        f"{repository} on the Hugging Face hub has none of {', '.join(FOLDER_WEIGHTS)}"
    )


def fetch_file(repository: str, filename: str) -> Path:
    """Download one file of a repository, unless it is in the hub's cache; return where it is.

    Raises:
        DownloadError: it does not exist, is not accessible, or the network failed.
    """
    if cached := _cached(repository, filename):
        return cached
    _check_connection(repository)
    if downloaded := _downloaded(repository, filename):
        return downloaded
    raise DownloadError(f"{repository} on the Hugging Face hub has no {filename}")


def _weights(repository: str, get: Callable[[str, str], Path | None]) -> Path | None:
    """The folder with all weights of a repository, or None if there are none.

    Args:
        repository: its id.
        get: repository and file -> where it is; None if it is not there.
    """
    for name in FOLDER_WEIGHTS:
        if whole := get(repository, name):
            return whole.parent
        if index := get(repository, f"{name}.index.json"):
            shards = dict.fromkeys(read_placement(index).values())
            return index.parent if all(get(repository, shard) for shard in shards) else None
    return None


def _cached(repository: str, filename: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, filename, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise DownloadError(f"{repository} is no id of the Hugging Face hub: {error}") from error


def _downloaded(repository: str, filename: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(hf_hub_download(repository, filename))
    except LocalEntryNotFoundError as error:  # the connection was lost
        reason = error.__cause__ or error
        raise DownloadError(f"cannot fetch {filename} of {repository}: {reason}") from error
    except EntryNotFoundError:
        return None
    except GatedRepoError as error:
        raise DownloadError(
            f"{repository} asks for permission: request access at {ENDPOINT}/{repository}, which "
            "its owners may refuse, then log in with the command 'hf auth login', or set HF_TOKEN. "
            "Its files load by their path too, from wherever you have them"
        ) from error
    except RepositoryNotFoundError as error:
        raise DownloadError(
            f"no repository {repository} on the Hugging Face hub (or it is private), and no "
            f"file or folder of that name.{_hint(repository)}"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise DownloadError(f"cannot fetch {filename} of {repository}: {error}") from error


def _check_connection(repository: str) -> None:
    """Check that the hub can be asked: its client would try again and again for half a minute."""
    from huggingface_hub.constants import ENDPOINT

    if is_offline():
        reason = f"downloads are turned off ({' or '.join(OFFLINE_VARIABLES)} is set)"
    elif problem := _connection_problem(ENDPOINT):
        reason = f"there is no connection to {ENDPOINT} ({problem})"
    else:
        return
    raise DownloadError(
        f"{repository} is not in the cache of the Hugging Face hub, and {reason}. Without a "
        "network, give a checkpoint file or a folder, or the bundled model 'pico'."
        f"{_hint(repository)}"
    )


def _connection_problem(address: str) -> str | None:
    """Why the host of an address, or the proxy on the way to it, cannot be reached; None if it can.

    A machine without a network knows at once; where nothing answers, `_TIMEOUT_SECONDS` decide.
    """
    url, proxies = urlsplit(address), getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    outcomes: SimpleQueue[tuple[int, str | None]] = SimpleQueue()

    def connect(family: socket.AddressFamily) -> None:
        problem = None
        try:
            port = url.port or (80 if url.scheme == "http" else 443)
            found = socket.getaddrinfo(url.hostname, port, family, socket.SOCK_STREAM)
            socket.create_connection((str(found[0][4][0]), port), _TIMEOUT_SECONDS).close()
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or str(error)
        outcomes.put((family, problem))

    # Side by side, as one kind of network may be broken; in threads, as names have no timeout.
    families = (socket.AF_INET, socket.AF_INET6)
    for family in families:
        Thread(target=connect, args=(family,), daemon=True).start()
    end = time.monotonic() + _TIMEOUT_SECONDS
    problems: dict[int, str] = {}
    while len(problems) < len(families):
        try:
            of, problem = outcomes.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            return f"no answer within {_TIMEOUT_SECONDS:.0f} seconds"
        if problem is None:
            return None
        problems[of] = problem
    return problems[socket.AF_INET]


def _hint(repository: str) -> str:
    if any(model.repository == repository for model in MODELS.values()):
        return ""  # it was meant
    return did_you_mean(repository.partition("/")[2])
