"""A video over HTTP while it is made: the file of a running job is read as it grows."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from speech2video.studio.jobs import JobQueue
from speech2video.util.files import partial_of

CHUNK = 2**16  # bytes
POLL_SECONDS = 0.05  # between two reads of a file that grows


def open_growing(path: Path) -> BinaryIO | None:
    """Return the file that is written, or was written, at `path`; None while it is empty."""
    for one in (partial_of(path), path):
        if one is not None:
            with contextlib.suppress(FileNotFoundError):
                file = one.open("rb")
                if os.fstat(file.fileno()).st_size:
                    return file
                file.close()
    return None


class VideoStream(Response):
    """The video of a job, sent as it is written; a client that goes away cancels the job.

    Where the job fails, the connection is closed before the end of the answer, so that no client
    takes what it has for the whole.

    Args:
        jobs: the queue of the job.
        path: of the video once it is complete.
        file: of the video as far as it is written; closed at the end.
        url: of the video once it is complete.
    """

    media_type = "video/mp4"

    def __init__(self, jobs: JobQueue, job_id: str, path: Path, file: BinaryIO, url: str) -> None:
        super().__init__(headers={"content-location": url})
        del self.headers["content-length"]
        self._jobs, self._job_id, self._path, self._file = jobs, job_id, path, file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        body = {"type": "http.response.body"}
        request, complete = Request(scope, receive), False
        try:
            await send(start)
            while not await request.is_disconnected():
                job = self._jobs.get(self._job_id)
                complete = complete or self._path.exists()
                if chunk := self._file.read(CHUNK):
                    await send({**body, "body": chunk, "more_body": True})
                elif complete:
                    await send({**body, "body": b"", "more_body": False})
                    return
                elif job is None or job.is_over:
                    return
                else:
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            self._file.close()
            if not complete:
                self._jobs.cancel(self._job_id)
