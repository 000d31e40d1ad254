"""The HTTP API as a page: plain HTML of the application's OpenAPI schema, without any script."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import dominate

from speech2video.util.html_report import Content, Tag, table, tags

METHODS = ("get", "post", "put", "patch", "delete")
OTHERS = "Others"  # of operations without a tag
USUAL_ANSWER = "Successful Response"  # where FastAPI was given nothing else
FILE_BODY = ("binary", "application/octet-stream")
TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "json object",
    "array": "list",
}


def render_api(schema: dict[str, Any]) -> str:
    """Return the page of an OpenAPI schema; whatever text is in it, is shown as text."""
    groups: dict[str, list[Tag]] = {}
    links: dict[str, list[Tag]] = {}
    for path, method, operation in _operations(schema):
        group, anchor = operation.get("tags", [OTHERS])[0], operation["operationId"]
        groups.setdefault(group, []).append(_operation(schema, path, method, operation))
        link = tags.a(_method(method), " ", tags.code(path), href=f"#{anchor}")
        links.setdefault(group, []).append(tags.li(link))
    about = schema["info"]
    page: Any = dominate.document(title=f"{about['title']} API")
    page["lang"] = "en"
    page.head.add(
        tags.meta(charset="utf-8"),
        tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
        tags.meta(name="color-scheme", content="light dark"),
        tags.link(rel="icon", href="/static/icon.svg", type="image/svg+xml"),
        tags.link(rel="stylesheet", href="/static/studio.css"),
        tags.link(rel="stylesheet", href="/static/api.css"),
    )
    brand = tags.h1(about["title"], " ", tags.span("API"), cls="brand")
    others = tags.nav(
        tags.a("Studio", href="/"), " ", tags.a("openapi.json", href="/api/openapi.json")
    )
    contents = [tags.section(tags.h2(name), tags.ul(items)) for name, items in links.items()]
    page.body.add(
        tags.header(brand, others, cls="top narrow"),
        tags.main(
            tags.div(
                *_marked(about.get("description", "")),
                tags.p(f"Version {about['version']}", cls="hint"),
                cls="intro",
            ),
            tags.nav(contents, cls="contents", aria_label="Requests"),
            *(tags.section(tags.h2(name), *items) for name, items in groups.items()),
            cls="api",
        ),
    )
    return page.render()


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method in METHODS:
            if method in methods:
                yield path, method, methods[method]


def _operation(schema: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Tag:
    """Return what is said of one request."""
    parts = [
        tags.h3(_method(method), " ", tags.code(path)),
        *_marked(operation.get("description", "")),
    ]
    for place in ("path", "query"):
        given = [one for one in operation.get("parameters", ()) if one["in"] == place]
        rows = [_field(schema, one["name"], one, one.get("required", False)) for one in given]
        parts += _fields(f"In the {place}", rows)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        body = _resolved(schema, content["schema"])
        needed = body.get("required", ())
        rows = [
            _field(schema, name, {"schema": one, **one}, name in needed)
            for name, one in body.get("properties", {}).items()
        ]
        parts += _fields(f"Body: {kind}", rows)
    answers = [
        (status, ", ".join(answer.get("content", {})), _code(_unless_usual(answer["description"])))
        for status, answer in operation.get("responses", {}).items()
    ]
    parts += _fields("Answers", answers)
    return tags.article(*parts, cls="panel", id=operation["operationId"])


def _unless_usual(description: str) -> str:
    return "" if description == USUAL_ANSWER else description


def _fields(title: str, rows: list[tuple[Content, ...]]) -> list[Tag]:
    return [tags.h4(title), tags.div(table(rows), cls="scroll")] if rows else []


def _field(
    schema: dict[str, Any], name: str, field: dict[str, Any], needed: bool
) -> tuple[Content, ...]:
    """Return a row: name, kind of value, meaning."""
    kind = _kind(schema, field["schema"])
    default = _resolved(schema, field["schema"]).get("default")
    if needed:
        kind += ", needed"
    elif default not in (None, ""):
        kind += f", by default {str(default).lower() if isinstance(default, bool) else default}"
    return tags.code(name), kind, _code(field.get("description", ""))


def _kind(schema: dict[str, Any], value: dict[str, Any]) -> str:
    """Return what a value may be, in words."""
    value = _resolved(schema, value)
    if "anyOf" in value:
        kinds = [_kind(schema, one) for one in value["anyOf"] if one.get("type") != "null"]
        return " or ".join(kinds)
    if "enum" in value:
        return ", ".join(map(str, value["enum"]))
    if {value.get("format"), value.get("contentMediaType")} & {*FILE_BODY}:
        return "file"
    kind = TYPES.get(value.get("type", ""), "json")
    low = value.get("minimum")
    high = value.get("maximum")
    if low is not None:
        kind += f" from {low:g}" + (f" to {high:g}" if high is not None else "")
    if "maxLength" in value:
        kind += f" of at most {value['maxLength']:,} characters"
    return kind


def _resolved(schema: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Return a value's schema itself where it is a reference to one."""
    if "$ref" not in value:
        return value
    found: Any = schema
    for part in value["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def _method(name: str) -> Tag:
    return tags.span(name.upper(), cls=f"method {name}")


def _marked(text: str) -> Iterable[Tag]:
    """Return the paragraphs of a docstring, with its code between backticks."""
    return [tags.p(_code(part)) for part in re.split(r"\n\s*\n", text.strip()) if part]


def _code(text: str) -> Tag:
    parts = re.split(r"`([^`]*)`", " ".join(text.split()))
    return tags.span(*(tags.code(part) if n % 2 else part for n, part in enumerate(parts)))
