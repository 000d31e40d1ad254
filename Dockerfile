# The studio, on processors: docker build --tag speech2video . (docs/studio.md)
FROM python:3.12-slim-bookworm

# OpenCV's wheel needs these two of a desktop
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

ENV VENV=/opt/venv UV_TORCH_BACKEND=cpu UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
WORKDIR /app
COPY . .
RUN python scripts/install.py

RUN useradd --create-home --uid 1000 studio \
    && mkdir --parents results \
    && chown --recursive studio results checkpoints
USER studio
VOLUME ["/app/checkpoints", "/app/results"]
EXPOSE 7860
# a secret of 16 characters or more, or auto: one that is printed at the start
ENV SPEECH2VIDEO_TOKEN=auto
# any answer will do: without the token it is a refusal
HEALTHCHECK --start-period=60s CMD ["/opt/venv/bin/python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 7860, timeout=9); c.request('GET', '/api/limits'); c.getresponse()"]
ENTRYPOINT ["/opt/venv/bin/python", "scripts/studio.py", "--host", "0.0.0.0"]
