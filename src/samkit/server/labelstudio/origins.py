"""From where images may be fetched."""

import ipaddress
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias
from urllib.parse import quote, urlsplit

from samkit.errors import InputError, shown

__all__ = ["Address", "LabelStudio", "Origin"]

IPAddress: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
_PORTS = {"http": 80, "https": 443}
_SAFE = "%!$&'()*+,;=:@/~"  # in a path, besides letters and digits; what is escaped stays so


class Origin(NamedTuple):
    """A scheme, a host in lower case, and a port: who answers for an address."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The host as the header `Host` has it, with the port where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def is_private_by_name(self) -> bool:
        """Whether the name itself says that this is no public place.

        That is a private address, or a name without a dot.
        """
        try:
            return not ipaddress.ip_address(self.host).is_global
        except ValueError:
            return "." not in self.host


class Address(NamedTuple):
    """An address of a file: its origin, and what is asked for there (path and query)."""

    origin: Origin
    target: str

    @classmethod
    def of(cls, text: str) -> "Address":
        """Take an address apart; a fragment is dropped.

        Raises:
            InputError: it is none of http or https, or has a user name or odd signs.
        """
        problem = InputError(f"expected an address such as https://example.org, got {shown(text)}")
        try:
            parts = urlsplit(text)
            host, port = (parts.hostname or "").lower(), parts.port
            netloc = parts.netloc.encode("ascii").decode()
            path = quote(parts.path or "/", safe=_SAFE)
            query = quote(parts.query, safe=_SAFE + "?")
        except ValueError:  # also of letters that are not ASCII, and halves of surrogates
            raise problem from None
        is_plain = not set(netloc) & set("@\\% \t\r\n") and host.isprintable()
        if parts.scheme not in _PORTS or not host or not is_plain or port == 0:
            raise problem
        origin = Origin(parts.scheme, host, port or _PORTS[parts.scheme])
        return cls(origin, f"{path}?{query}" if query else path)


@dataclass(frozen=True, kw_only=True)
class LabelStudio:
    """That Label Studio may ask a server, and from where its images are fetched.

    Attributes:
        origins: such as "https://studio.example.org"; nothing is fetched from others. The first is
            Label Studio's own: addresses without an origin are there, it gets the token, and may
            lie within the operator's network. The others may so only where their names say it: a
            private address, or a name without a dot.
        token: of Label Studio's API, sent to the first origin alone; "" for none.

    Raises:
        InputError: an origin is none, or there is a token without one.
    """

    origins: tuple[str, ...] = ()
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.origins, tuple) or not all(isinstance(o, str) for o in self.origins):
            raise InputError(f"origins: expected a tuple of texts, got {shown(self.origins)}")
        for text in self.origins:
            try:
                is_origin = Address.of(text).target == "/" and not text.endswith(("?", "#"))
            except InputError as error:
                raise InputError(f"origins: {error}") from None
            if not is_origin:
                raise InputError(f"origins: expected one without a path, got {shown(text)}")
        is_token = isinstance(self.token, str) and self.token.isascii() and self.token.isprintable()
        if not is_token or " " in self.token:
            raise InputError("token: expected a text without spaces, as Label Studio shows it")
        if self.token and not self.origins:
            raise InputError("token: expected an origin to which it belongs")

    @property
    def allowed(self) -> tuple[Origin, ...]:
        """The origins; the first one is Label Studio's own."""
        return tuple(Address.of(text).origin for text in self.origins)
