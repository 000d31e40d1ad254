"""Who may use the server: hosts, origins, a token, and the size of a request.

A page of another origin can send a browser's requests here, and a name that resolves to this
machine can make it read the answers: so the Host is one that is served, and a request that changes
something comes from the own page, or from a program that is no browser.
"""

import contextlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "speech2video_token"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; media-src 'self' blob:; frame-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
}
# of a report that the page embeds: no scripts, whatever names of files are in it
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; media-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-same-origin"
)


class TooLarge(Exception):
    """Raised where a request's body is larger than is taken."""


class AccessControl:
    """Answers what may not be done with one line, and passes on the rest.

    Args:
        app: the application.
        hosts: names and addresses, without port, under which it is served.
        any_address: whether it is served under every numeric address, too. A name that resolves to
            this machine stays refused.
        origin: of the page where a proxy stands before it; by default the request's own.
        token: secret that every request needs; None for none.
        max_bytes: of a request's body.
        max_bytes_of: the same, of requests to some paths.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Sequence[str] = LOCAL_HOSTS,
        any_address: bool = False,
        origin: str | None = None,
        token: str | None = None,
        max_bytes: int,
        max_bytes_of: Mapping[str, int] | None = None,
    ) -> None:
        self._app, self._token, self._max_bytes = app, token, max_bytes
        self._max_bytes_of = max_bytes_of or {}
        self._origin, self._any_address = origin, any_address
        proxied = [] if origin is None else [urlsplit(origin).hostname or ""]
        self._hosts = {host.lower() for host in (*hosts, *proxied)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if answer is None:
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        if answer is not None:
            await answer(scope, receive, _with_headers(send))
            return
        received, started, most = 0, False, self._most(scope)

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise TooLarge
            return message

        async def answering(message: Message) -> None:
            nonlocal started
            if received > most and not started:
                return  # the application's own answer to the exception
            started = True
            await _with_headers(send)(message)

        with contextlib.suppress(TooLarge):
            await self._app(scope, limited, answering)
        if not started:
            await self._too_large(scope)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the answer to a request that is not passed on; None for one that is."""
        host = headers.get("host", "")
        name = (urlsplit(f"//{host}").hostname or "").lower()
        known = {one.strip("[]") for one in self._hosts}
        if name not in known and not (self._any_address and _is_address(name)):
            return _error(403, f"host {host!r:.60}: not served here")
        if scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS:
            own = self._origin or f"{scope.get('scheme', 'http').replace('ws', 'http')}://{host}"
            origin = headers.get("origin")
            if origin is not None and _normal_origin(origin) != _normal_origin(own):
                return _error(403, f"origin {origin!r:.60}: another page than the own one")
            if origin is None and headers.get("sec-fetch-site", "none") not in (
                "none",
                "same-origin",
            ):
                return _error(403, "a request of another page than the own one")
        if self._token is not None:
            given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
            if scope["type"] == "http" and scope["path"] == "/" and self._is_token(given):
                response = RedirectResponse("/", 303)
                secure = (self._origin or "").startswith("https:")
                response.set_cookie(
                    COOKIE, given, httponly=True, samesite="strict", secure=secure, path="/"
                )
                return response
            if not self._is_token(_sent_token(headers)):
                return _error(401, "a token is needed: Authorization: Bearer …, or /?token=… once")
        if content_length(headers) > self._most(scope):
            return self._too_large(scope)
        return None

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), (self._token or "").encode())

    def _most(self, scope: Scope) -> int:
        return self._max_bytes_of.get(scope["path"], self._max_bytes)

    def _too_large(self, scope: Scope) -> Response:
        limit = f"{self._most(scope) / 1e6:g} MB"
        return _error(413, f"the request is too large; at most {limit} are taken")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _sent_token(headers: Headers) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if cookie is None else cookie.value


def content_length(headers: Headers) -> int:
    """Return the size of a request's body as it says it, 0 where it does not."""
    text = headers.get("content-length", "0")
    return int(text) if text.isdecimal() else 0


def _normal_origin(text: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return ("", text, None)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", default if port is None else port


def _error(status: int, line: str) -> Response:
    return JSONResponse({"error": line}, status)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
