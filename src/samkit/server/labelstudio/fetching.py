"""Files at addresses: of allowed origins alone, bounded in size and time."""

import asyncio
import ipaddress
import json
import re
import socket
import ssl
import time
from urllib.parse import urljoin

import h11

from samkit.errors import InputError
from samkit.server.bodies import Room
from samkit.server.errors import ApiError
from samkit.server.labelstudio.origins import Address, IPAddress, LabelStudio, Origin

__all__ = ["Fetcher"]

_PART = 2**16
_LONGEST = 8192  # letters of an address
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 3
# Bytes of an answer that is a token.
_TOKEN_BYTES = 2**16
# Seconds for which a token that was made of a personal one is used; it is good for five minutes.
_TOKEN_SECONDS = 240.0
_PERSONAL = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")


class Fetcher:
    """Gets files of the allowed origins.

    The address that a name has is looked up once, checked, and connected to, so that a name that
    changes what it means leads nowhere else.

    Args:
        allowed: the origins, and the token.
        most: bytes of a file.
        seconds: for one file, in all.
        room: that files take while they are held.
    """

    def __init__(self, allowed: LabelStudio, *, most: int, seconds: float, room: Room) -> None:
        self._origins, self._token = allowed.allowed, allowed.token
        self._most, self._seconds, self._room = most, seconds, room
        self._access, self._access_ends = "", 0.0

    def address(self, text: str) -> Address:
        """An address, of Label Studio itself where it has no origin.

        Raises:
            ApiError: it is none, or its origin is not allowed.
        """
        if text.startswith("/") and not self._origins:
            raise ApiError(
                403, "forbidden", "it is not said where Label Studio is; see --label-studio-origin"
            )
        try:
            if len(text) > _LONGEST:
                raise ValueError
            if text.startswith("/"):
                text = urljoin(f"{self._origins[0]}/", text)
            address = Address.of(text)
        except (InputError, ValueError):
            raise ApiError(422, "invalid", "image: expected an address of http or https") from None
        if address.origin not in self._origins:
            raise ApiError(
                403, "forbidden", f"no images from {address.origin}; see --label-studio-origin"
            )
        return address

    async def get(self, address: Address) -> bytes:
        """The file at an address. Its size is taken from the room; the caller gives it back.

        Raises:
            ApiError: it does not come as it should.
        """
        try:
            return await asyncio.wait_for(self._followed(address), self._seconds)
        except asyncio.TimeoutError:
            raise _problem(address.origin, f"no answer within {self._seconds:g} seconds") from None

    async def _followed(self, address: Address) -> bytes:
        for _ in range(_MOST_REDIRECTS + 1):
            origin = address.origin
            headers = await self._credentials(origin)
            status, location, content = await self._ask(address, "GET", self._most, headers)
            if status == 200:
                return content
            self._room.give_back(len(content))
            if status not in _REDIRECTS or location is None:
                raise _problem(origin, f"it answered {status}")
            try:
                address = Address.of(urljoin(f"{origin}{address.target}", location))
            except ValueError:
                raise _problem(origin, "it redirects to what is no address") from None
            if address.origin != origin:
                raise ApiError(403, "forbidden", f"{origin} redirects to another place")
        raise _problem(address.origin, f"it redirects more than {_MOST_REDIRECTS} times")

    async def _credentials(self, origin: Origin) -> list[tuple[str, str]]:
        """The headers with the token, for the origin to which it belongs."""
        if not self._token or origin != self._origins[0]:
            return []
        if not _PERSONAL.fullmatch(self._token):
            return [("Authorization", f"Token {self._token}")]
        if time.monotonic() > self._access_ends:
            self._access = await self._exchanged(origin)
            self._access_ends = time.monotonic() + _TOKEN_SECONDS
        return [("Authorization", f"Bearer {self._access}")]

    async def _exchanged(self, origin: Origin) -> str:
        """What is sent in place of a personal token."""
        address = Address(origin, "/api/token/refresh/")
        body = json.dumps({"refresh": self._token}).encode()
        headers = [("Content-Type", "application/json")]
        status, _, content = await self._ask(address, "POST", _TOKEN_BYTES, headers, body)
        self._room.give_back(len(content))
        try:
            access = json.loads(content)["access"] if status == 200 else None
        except (ValueError, KeyError, TypeError, RecursionError):
            access = None
        if not isinstance(access, str) or not _PERSONAL.fullmatch(access):
            raise _problem(origin, f"it answered {status} to the token")
        return access

    async def _ask(
        self,
        address: Address,
        method: str,
        most: int,
        headers: list[tuple[str, str]],
        body: bytes = b"",
    ) -> tuple[int, str | None, bytes]:
        """Ask once -> status, where it redirects to, and content, which takes room."""
        origin = address.origin
        always = [
            ("Host", origin.authority),
            ("User-Agent", "samkit"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        if body:
            always.append(("Content-Length", str(len(body))))
        client = h11.Connection(h11.CLIENT)
        request = h11.Request(method=method, target=address.target, headers=[*always, *headers])
        content = bytearray()
        try:
            reader, writer = await self._connected(origin)
            try:
                for part in (request, h11.Data(data=body), h11.EndOfMessage()):
                    writer.write(client.send(part) or b"")
                await writer.drain()
                status, location = await self._read(client, reader, most, content, origin)
            finally:
                writer.transport.abort()
        except BaseException as error:
            self._room.give_back(len(content))
            if isinstance(error, h11.RemoteProtocolError):
                raise _problem(origin, "its answer is damaged") from None
            if isinstance(error, OSError):  # also of names and certificates
                raise _problem(origin, str(error.strerror or error)) from None
            raise
        return status, location, bytes(content)

    async def _read(
        self,
        client: h11.Connection,
        reader: asyncio.StreamReader,
        most: int,
        content: bytearray,
        origin: Origin,
    ) -> tuple[int, str | None]:
        """Add an answer to the content -> its status, and where it redirects to."""
        status, location = 0, None
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                client.receive_data(await reader.read(_PART))
            elif isinstance(event, h11.Response):
                status = event.status_code
                found = dict(event.headers).get(b"location")
                location = None if found is None else found.decode("latin-1")
                if status != 200:
                    break
            elif isinstance(event, h11.Data):
                if len(content) + len(event.data) > most:
                    raise ApiError(413, "too_large", f"expected at most {most} bytes")
                self._room.take(len(event.data))
                content += event.data
            elif not isinstance(event, h11.InformationalResponse):
                raise _problem(origin, "its answer ended early")
        return status, location

    async def _connected(self, origin: Origin) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        hosts = list(dict.fromkeys(str(where[0]) for *_, where in found))
        may_be_private = origin == self._origins[0] or origin.is_private_by_name
        allowed = [one for one in hosts if _is_allowed(ipaddress.ip_address(one), may_be_private)]
        if not allowed:
            raise ApiError(403, "forbidden", f"{origin} is at a private address")
        is_secret = origin.scheme == "https"
        for host in allowed:
            try:
                return await asyncio.open_connection(
                    host,
                    origin.port,
                    ssl=ssl.create_default_context() if is_secret else None,
                    server_hostname=origin.host if is_secret else None,
                )
            except OSError:
                if host == allowed[-1]:
                    raise
        raise AssertionError


def _is_allowed(address: IPAddress, may_be_private: bool) -> bool:
    """Whether to connect. Never to link-local addresses, where clouds keep their secrets."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return may_be_private or address.is_global


def _problem(origin: Origin, reason: str) -> ApiError:
    return ApiError(422, "image", f"cannot get the image from {origin}: {reason}")
