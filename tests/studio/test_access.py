"""What is refused: other hosts and origins, a missing token, bodies that are too large."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from speech2video.studio.access import COOKIE, SECURITY_HEADERS, AccessControl

URL, TOKEN = "http://127.0.0.1:7860", "0123456789abcdef"


async def echo(request: Request) -> PlainTextResponse:
    """Answer with the number of bytes that came."""
    return PlainTextResponse(str(len(await request.body())))


APP = Starlette(routes=[Route("/", echo, methods=["GET", "POST"]), Route("/api", echo)])


def ask(
    method: str = "GET", path: str = "/", *, url: str = URL, token: str | None = None,
    origin: str | None = None, headers: dict[str, Any] | None = None, content: object = None,
    any_address: bool = False,
) -> httpx.Response:  # fmt: skip
    """Return the answer to a request."""
    app = AccessControl(APP, token=token, origin=origin, any_address=any_address, max_bytes=1000)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            return await client.request(method, path, headers=headers, content=content)  # type: ignore[arg-type]

    return asyncio.run(send())


@pytest.mark.parametrize(
    "url", [URL, "http://localhost:7860", "http://[::1]:7860", "http://LocalHost"]
)
def test_own_names_are_served_with_safe_headers(url: str) -> None:
    answer = ask(url=url)
    assert answer.status_code == 200
    assert all(answer.headers[name] == value for name, value in SECURITY_HEADERS.items())


@pytest.mark.parametrize(
    "url", ["http://example.org", "http://127.0.0.1.example.org", "http://2130706433"]
)
def test_other_hosts_are_not_served(url: str) -> None:
    answer = ask(url=url)
    assert answer.status_code == 403 and "not served here" in answer.json()["error"]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://192.0.2.7:7860", 200),
        ("http://[2001:db8::1]:7860", 200),
        ("http://example.org:7860", 403),
        ("http://192.0.2.7.example.org", 403),
        ("http://2130706433", 403),
    ],
)
def test_a_server_of_all_addresses_is_served_under_each_and_no_name(url: str, status: int) -> None:
    assert ask(url=url, any_address=True).status_code == status
    assert ask("POST", url=url, any_address=True, headers={"origin": url}).status_code == status
    assert ask(url=url).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # a program that is no browser
        ({"origin": URL}, 200),
        ({"origin": "http://localhost:7860"}, 403),
        ({"origin": "http://127.0.0.1:80"}, 403),
        ({"origin": "https://127.0.0.1:7860"}, 403),
        ({"origin": "https://example.org"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_pages_of_other_origins_change_nothing(headers: dict[str, Any], status: int) -> None:
    assert ask("POST", headers=headers).status_code == status


def test_behind_a_proxy_its_origin_counts() -> None:
    public = "https://studio.example.org"
    more = {"url": "http://studio.example.org", "origin": public}
    assert ask("POST", headers={"origin": public}, **more).status_code == 200
    assert ask("POST", headers={"origin": URL}, **more).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        ({"authorization": f"bearer {TOKEN}"}, 200),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": f"Bearer {TOKEN}0"}, 401),
        ({"authorization": "Bearer ü".encode()}, 401),
        ({"cookie": f"a=b; {COOKIE}={TOKEN}"}, 200),
        ({"cookie": f"{COOKIE}=wrong"}, 401),
    ],
)
def test_a_token_is_asked_for(headers: dict[str, Any], status: int) -> None:
    answer = ask(path="/api", token=TOKEN, headers=headers)
    assert answer.status_code == status
    assert status == 200 or "a token is needed" in answer.json()["error"]


def test_the_page_takes_the_token_once_and_keeps_it_in_a_cookie() -> None:
    answer = ask(path=f"/?token={TOKEN}", token=TOKEN)
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert TOKEN in cookie and "httponly" in cookie and "samesite=strict" in cookie
    assert ask(path="/?token=wrong", token=TOKEN).status_code == 401
    assert ask(path=f"/api?token={TOKEN}", token=TOKEN).status_code == 401


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size):
        yield b"x"


def test_large_bodies_are_refused_whether_or_not_they_say_their_length() -> None:
    assert ask("POST", content=bytes(1000)).text == "1000"
    for content in (bytes(1001), _chunks(1001)):
        answer = ask("POST", content=content)
        assert answer.status_code == 413 and "at most 0.001 MB" in answer.json()["error"]
    assert ask("POST", content=_chunks(1000)).text == "1000"
