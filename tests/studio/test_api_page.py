"""The page of the HTTP API: all that the schema says, as text, from this server alone."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

for module in ("fastapi", "multipart"):
    pytest.importorskip(module, reason="the extra `studio` is not installed")

from fastapi import Body, FastAPI  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402

from speech2video.options.studio import StudioOptions  # noqa: E402
from speech2video.studio.api_page import render_api  # noqa: E402
from speech2video.studio.app import STATIC, create_app  # noqa: E402

HTML = "<script>alert(1)</script>"


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    folder = tmp_path_factory.mktemp("docs")
    options = StudioOptions(checkpoints=folder, output=folder / "results")
    return TestClient(create_app(options), base_url="http://127.0.0.1:7860")


def fields_of(schema: dict[str, Any]) -> set[str]:
    """Return the names of all parameters and fields of bodies."""
    bodies = [one for name, one in schema["components"]["schemas"].items() if "Body" in name]
    operations = [one for methods in schema["paths"].values() for one in methods.values()]
    parameters = {one["name"] for each in operations for one in each.get("parameters", ())}
    return parameters | {name for one in bodies for name in one["properties"]}


def test_the_page_says_all_of_the_schema(client: TestClient) -> None:
    answer = client.get("/api/docs")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    schema, page = client.get("/api/openapi.json").json(), Reader(answer.text)
    words = page.text.split()
    assert set(schema["paths"]) <= {*words} and fields_of(schema) <= {*words}
    anchors = {values["id"] for tag, values in page.tags if tag == "article"}
    operations = [one for methods in schema["paths"].values() for one in methods.values()]
    assert anchors == {one["operationId"] for one in operations}
    links = [values["href"] or "" for tag, values in page.tags if tag == "a"]
    assert {link[1:] for link in links if link.startswith("#")} == anchors


def test_the_page_needs_no_script_and_no_other_host(client: TestClient) -> None:
    page = Reader(client.get("/api/docs").text)
    assert not [tag for tag, values in page.tags if tag in ("script", "style", "iframe", "img")]
    assert not [tag for tag, values in page.tags if "style" in values]
    assert not [name for _, values in page.tags for name in values if name.startswith("on")]
    addresses = [values.get("href") or "" for _, values in page.tags if "href" in values]
    assert all(one.startswith(("/", "#")) and not one.startswith("//") for one in addresses)
    for one in addresses:
        if one.startswith("/static/"):
            assert (STATIC / Path(one).name).is_file()


def test_every_request_names_errors_and_no_field_is_without_meaning(client: TestClient) -> None:
    schema = client.get("/api/openapi.json").json()
    for methods in schema["paths"].values():
        for operation in methods.values():
            assert "4XX" in operation["responses"] and "422" not in operation["responses"]
    form = schema["components"]["schemas"]["Body_make_video_api_videos_post"]
    assert all(one.get("description") for one in form["properties"].values())


def test_whatever_is_in_the_schema_is_shown_as_text() -> None:
    app = FastAPI(title=HTML, description=f"`{HTML}` and {HTML}", version=HTML)

    @app.post("/<b>", tags=[HTML], description=HTML, response_description=HTML)
    def post(a: int = Body(7, alias=HTML, embed=True, ge=1, le=9, description=HTML)) -> None:
        pass

    page = render_api(app.openapi())
    assert "<script" not in page and "<b>" not in page
    text = Reader(page).text
    assert text.count(HTML) >= 6 and "whole number from 1 to 9, by default 7" in text
