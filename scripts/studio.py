"""Serve the studio: a web page and an HTTP API that make videos of trained speakers.

python scripts/studio.py [--port 7860]
"""

import dataclasses
import os
import secrets
import socket

import _checkout  # noqa: F401

from speech2video.options.studio import ALL_ADDRESSES, AUTO_TOKEN, LOOPBACK, StudioOptions
from speech2video.util.errors import DataError, UserError, run_command

IDLE_SECONDS = 15  # that an unused connection stays open


def main() -> None:
    options = StudioOptions.parse()
    shown_token = "…"
    if options.token == AUTO_TOKEN:
        shown_token = secrets.token_urlsafe()
        options = dataclasses.replace(options, token=shown_token)
    try:
        import uvicorn

        from speech2video.studio.app import create_app
    except ImportError as error:
        missing = error.name or error
        raise UserError(f"no {missing}: pip install 'speech2video[studio]' brings it") from None
    with listen(options.host, options.port) as listener:
        config = uvicorn.Config(
            create_app(options, threads=max(1, (os.cpu_count() or 1) // options.workers)),
            log_level="warning",
            timeout_keep_alive=IDLE_SECONDS,
            server_header=False,
            date_header=False,
        )
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        if options.host in ALL_ADDRESSES:
            shown = LOOPBACK[0]
        token = "" if options.token is None else f"?token={shown_token}"
        print(f"http://{shown}:{port}/{token}", flush=True)
        uvicorn.Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises `DataError` where the address cannot be used."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"--host {host} --port {port}: cannot be used ({reason})") from None
    return listener


if __name__ == "__main__":
    run_command(main)
