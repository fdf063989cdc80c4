"""What is checked of every request before anything else."""

import base64
import hashlib
import hmac
import time
from collections.abc import Collection, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from samkit.server.bodies import LimitedBody, Room
from samkit.server.errors import ApiError, error_response
from samkit.server.metrics import Metrics
from samkit.server.settings import ServerSettings

__all__ = ["Guard"]

# Without a token: for whatever watches the server, and the page, which asks for the token.
_OPEN, _PAGE = ("/healthz", "/"), "/page/"
_VIDEOS = "/v1/videos"
_UPLOADS = ("/v1/embeddings", "/v1/everything", _VIDEOS)
# Tasks of Label Studio come with all that was annotated in them.
_TASKS, _TASK_FACTOR = "/predict", 4
# Bytes of memory that a byte of JSON can become, such as that of an empty list.
_JSON_WEIGHT = 32
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class _Refusal(ApiError):
    """An error before the application is asked, with its reason for the figures."""

    def __init__(self, reason: str, *about: Any) -> None:
        super().__init__(*about)
        self.reason = reason


class Guard:
    """ASGI middleware: host, origin, token, size and pace of a request; its figures.

    The scope's state gets `owner`, which stands for the token: "" without tokens.

    Args:
        app: what answers requests that pass.
        settings: what is allowed.
        metrics: counts requests.
        room: that bodies take.
        passwords: paths to which a token may also come as the password of basic authentication,
            whatever the user name.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServerSettings,
        metrics: Metrics,
        room: Room,
        passwords: Collection[str] = (),
    ) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._tokens = [token.encode() for token in settings.tokens]
        self._room, self._passwords = room, passwords

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        start, status, body = time.perf_counter(), [500], None
        refused: set[str] = set()  # reasons

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        async def limited() -> Message:
            assert body is not None
            try:
                return await body.receive()
            except ApiError as error:
                refused.add(error.code)
                raise

        try:
            scope.setdefault("state", {})["owner"] = self._owner(scope)
            body = self._body(scope, receive)
            await self._app(scope, limited, answer)
        except ApiError as error:
            refused.add(error.reason if isinstance(error, _Refusal) else error.code)
            await error_response(error)(scope, receive, answer)
        finally:
            if body is not None:
                body.release()
            for reason in refused:
                self._metrics.refused.labels(reason).inc()
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(path, str(status[0])).inc()
            self._metrics.request_seconds.labels(path).observe(time.perf_counter() - start)

    def _owner(self, scope: Scope) -> str:
        """Who asks.

        Raises:
            ApiError: they may not.
        """
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        if not self._is_allowed(_host(headers), self._settings.hosts):
            raise _Refusal(
                "host", 403, "forbidden", "this server is not called so; see --allow-host"
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_same(origin, headers):
            message = "pages of other places may not call; see --allow-origin"
            raise _Refusal("origin", 403, "forbidden", message)
        if not self._tokens or scope["path"] in _OPEN or scope["path"].startswith(_PAGE):
            return ""
        if scope["method"] == "OPTIONS":  # browsers ask so without a token; no route answers it
            return ""
        kind, _, given = headers.get("authorization", "").partition(" ")
        kind, token = kind.lower(), given.strip().encode("latin-1")
        if kind == "basic" and scope["path"] in self._passwords:
            kind, token = "bearer", _password(token)
        # All are compared, so that the time does not tell which one is like this.
        known = [hmac.compare_digest(token, one) for one in self._tokens]
        if kind != "bearer" or not any(known):
            wanted = {"WWW-Authenticate": "Bearer"}
            raise _Refusal("token", 401, "unauthorized", "expected a valid token", wanted)
        return hashlib.sha256(token).hexdigest()

    def _is_allowed(self, host: str, hosts: tuple[str, ...]) -> bool:
        return "*" in hosts or host in hosts

    def _is_same(self, origin: str, headers: Mapping[str, str]) -> bool:
        """Whether a page is this server's own, or allowed."""
        return origin in self._settings.origins or origin.partition("://")[2] == headers["host"]

    def _body(self, scope: Scope, receive: Receive) -> LimitedBody:
        """The body of a request.

        Raises:
            ApiError: it says that it is too large.
        """
        headers, settings = dict(scope["headers"]), self._settings
        is_json = headers.get(b"content-type", b"").strip().lower().startswith(b"application/json")
        if scope["path"] not in _UPLOADS or is_json:
            most, weight = settings.json_bytes, _JSON_WEIGHT
            if scope["path"] == _TASKS:
                most *= _TASK_FACTOR
        elif scope["path"] == _VIDEOS:  # to disk as it comes
            most, weight = settings.video_bytes, 0
        else:
            most, weight = settings.body_bytes, 1
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and len(declared) < 20 and int(declared) > most:
            message = f"expected at most {most} bytes"
            raise _Refusal("too_large", 413, "too_large", message)
        return LimitedBody(
            receive, most=most, weight=weight, room=self._room, seconds=settings.body_seconds
        )


def _password(credentials: bytes) -> bytes:
    """The password of basic authentication; empty where it is damaged."""
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _host(headers: Mapping[str, str]) -> str:
    """The name in the Host header, without its port."""
    host = headers.get("host", "").lower()
    name, bracket, _ = host.partition("]")
    return name + bracket if bracket else host.partition(":")[0]
