"""Repositories of the Hugging Face hub, without a network."""

import json
import socket
import threading
from pathlib import Path

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError

from samkit.errors import CheckpointError, DownloadError
from samkit.weights import hub, load_network
from samkit.weights.hub import fetch_folder


class FakeHub:
    """Some files of one repository, some of them in the cache.

    Attributes:
        published, cached: names of files.
        asked: names of those that the network was asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.published: set[str] = set()
        self.cached: set[str] = set()
        self.asked: list[str] = []

    def download(self, repository: str, filename: str, *, local_files_only: bool = False) -> str:
        assert repository == "somebody/sam2-hiera-tiny"
        path = self.folder / filename
        if filename in self.cached:
            return str(path)
        if local_files_only:
            raise LocalEntryNotFoundError("not in the cache")
        self.asked.append(filename)
        if filename not in self.published:
            raise EntryNotFoundError("no such file")
        self.cached.add(filename)
        return str(path)


REQUEST = httpx.Request("GET", "https://huggingface.co")
REPOSITORY = "somebody/sam2-hiera-tiny"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path)
    placement = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / INDEX).write_text(json.dumps(placement))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake.download)
    return fake


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_connection_problem", lambda address: None)


def test_without_a_network_the_hub_is_not_asked(fake, no_network) -> None:
    with pytest.raises(DownloadError) as caught:
        load_network(REPOSITORY)
    message = str(caught.value)
    assert "there is no connection to https://huggingface.co (Name or service not known)" in message
    assert "give a checkpoint file or a folder, or the bundled model 'pico'" in message
    assert "Did you mean 'sam2-tiny'?" in message
    assert fake.asked == []


@pytest.mark.parametrize("name", ["sam3", "facebook/sam3", "sam3.1"])
def test_what_was_asked_for_is_not_what_was_meant(no_network, monkeypatch, tmp_path, name) -> None:
    def none(*_: object, **__: object) -> None:
        raise LocalEntryNotFoundError("not in the cache")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", none)
    with pytest.raises(DownloadError, match="is not in the cache") as caught:
        load_network(name)
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "SAMKIT_OFFLINE"])
def test_what_turns_downloads_off_is_named(fake, variable, monkeypatch) -> None:
    monkeypatch.setattr(hub, "_connection_problem", lambda address: pytest.fail("not to be asked"))
    monkeypatch.setenv(variable, "1")
    with pytest.raises(DownloadError, match=rf"turned off \(.*{variable}.* is set\).*'pico'"):
        fetch_folder(REPOSITORY)
    assert fake.asked == []


@pytest.mark.parametrize(
    "files",
    [("model.safetensors",), ("pytorch_model.bin",), (INDEX, "one.safetensors", "two.safetensors")],
)
def test_what_is_cached_needs_no_network(fake, no_network, files) -> None:
    fake.cached = {"config.json", *files}
    assert fetch_folder(REPOSITORY) == fake.folder


@pytest.mark.parametrize("files", [(), (INDEX, "one.safetensors")])
def test_a_part_of_it_is_not_enough(fake, no_network, files) -> None:
    fake.cached = {"config.json", *files}
    with pytest.raises(DownloadError, match="no connection"):
        fetch_folder(REPOSITORY)


def test_the_rest_is_fetched(fake, network) -> None:
    fake.published = {"config.json", INDEX, "one.safetensors", "two.safetensors"}
    fake.cached = {"config.json", INDEX, "one.safetensors"}
    assert fetch_folder(REPOSITORY) == fake.folder
    assert fake.cached == fake.published


def test_a_repository_without_weights(fake, network) -> None:
    fake.published = {"config.json", "README.md"}
    with pytest.raises(CheckpointError, match=r"has none of model\.safetensors, pytorch_model"):
        fetch_folder(REPOSITORY)


def test_a_connection_that_is_lost(fake, network, monkeypatch) -> None:
    def lost(repository: str, filename: str, *, local_files_only: bool = False) -> str:
        raise LocalEntryNotFoundError("check your connection") from OSError("reset by peer")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lost)
    with pytest.raises(DownloadError, match=r"cannot fetch config\.json of .*: reset by peer"):
        fetch_folder(REPOSITORY)


def test_an_id_that_cannot_be() -> None:
    with pytest.raises(DownloadError, match="is no id of the Hugging Face hub"):
        fetch_folder("some--body/sam..2")


# The check of the connection, on this machine alone.


@pytest.fixture
def server() -> object:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield "{}:{}".format(*server.getsockname())


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_host_that_answers(server) -> None:
    assert hub._connection_problem(f"http://{server}") is None


def test_a_host_that_does_not(server) -> None:
    with socket.socket() as closed:  # nobody listens
        closed.bind(("127.0.0.1", 0))
        host, port = closed.getsockname()
        assert "refused" in (hub._connection_problem(f"https://{host}:{port}") or "").lower()


def test_a_proxy_is_asked_instead(server, no_network_but_here, monkeypatch) -> None:
    assert hub._connection_problem("https://hub.invalid") == "Name or service not known"
    monkeypatch.setenv("https_proxy", f"http://{server}")
    assert hub._connection_problem("https://hub.invalid") is None
    monkeypatch.setenv("no_proxy", "hub.invalid")
    assert hub._connection_problem("https://hub.invalid") == "Name or service not known"


@pytest.fixture
def no_network_but_here(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = socket.getaddrinfo

    def local(host: str, *arguments: object) -> object:
        if host != "127.0.0.1":
            raise socket.gaierror(-2, "Name or service not known")
        return plain(host, *arguments)

    monkeypatch.setattr(socket, "getaddrinfo", local)


def test_a_network_that_is_silent(monkeypatch) -> None:
    over = threading.Event()

    def silent(*_: object) -> None:
        over.wait()
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    monkeypatch.setattr(hub, "_TIMEOUT_SECONDS", 0.01)
    assert (hub._connection_problem("https://hub.invalid") or "").startswith("no answer within")
    over.set()


def test_a_repository_that_asks_for_permission(network, monkeypatch) -> None:
    def refused(repository: str, filename: str, *, local_files_only: bool = False) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not in the cache")
        raise GatedRepoError("403", response=httpx.Response(403, request=REQUEST))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refused)
    with pytest.raises(DownloadError) as caught:
        load_network("sam3")
    message = str(caught.value)
    assert "request access at https://huggingface.co/facebook/sam3" in message
    assert "'hf auth login'" in message
    assert "HF_TOKEN" in message
