"""A page that lists what can be asked, made of the OpenAPI description alone."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

__all__ = ["REFERENCE_POLICY", "reference_page"]

_STYLE = """
:root { color-scheme: light dark; }
body { max-width: 60em; margin: 2em auto; padding: 0 1em; font: 15px/1.5 system-ui, sans-serif; }
h2 { margin: 2em 0 0; text-transform: capitalize; }
h3 { margin: 1.5em 0 0; font: 600 15px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
p { margin: .2em 0; white-space: pre-line; }
td { padding: 0 1.5em 0 0; vertical-align: top; }
td:nth-child(2) { white-space: nowrap; }
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

REFERENCE_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page."""


def reference_page(openapi: Mapping[str, Any]) -> str:
    """All routes with what they take, as HTML.

    Args:
        openapi: the description, as FastAPI makes it.
    """
    groups: dict[str, list[str]] = {}
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            parts = groups.setdefault(operation["tags"][0], [])
            parts.append(f"<h3>{method.upper()} {escape(path)}</h3>")
            parts.append(f"<p>{escape(operation['description'])}</p>")
            parts.extend(_table(_fields(operation, openapi)))
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(parts)}" for tag, parts in groups.items())
    title = escape(f"{openapi['info']['title']} {openapi['info']['version']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1><p>For programs: openapi.json, beside this page."
        f"</p>{body}</html>"
    )


def _fields(
    operation: Mapping[str, Any], openapi: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Name, where it is, and type of what an operation takes."""
    for one in operation.get("parameters", ()):
        yield one["name"], one["in"], _type(one["schema"])
    for form, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        if "$ref" not in schema:
            yield "body", form, operation["requestBody"].get("description", _type(schema))
            continue
        schema = openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        for name, field in schema["properties"].items():
            yield name, "JSON", _type(field)


def _type(schema: Mapping[str, Any]) -> str:
    """Such as `integer`, `rle | png`, with the default."""
    choices = schema.get("enum") or [_type(one) for one in schema.get("anyOf", ())]
    text = " | ".join(choices) or schema.get("type", schema.get("$ref", "any").rpartition("/")[2])
    default = schema.get("default")
    return str(text) if default is None else f"{text} = {json.dumps(default)}"


def _table(fields: Iterator[tuple[str, str, str]]) -> Iterator[str]:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(where)}<td>{escape(kind)}"
        for name, where, kind in fields
    )
    if rows:
        yield f"<table>{rows}</table>"
