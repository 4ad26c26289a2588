"""The page of the API documents, `docs/api/index.html`, without a script; the gateway serves it at `/docs/`."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]

STYLE = """:root { color-scheme: light dark; --line: #8884; --soft: #8882; --link: light-dark(#0b57d0, #8ab4f8); }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; }
a { color: var(--link); text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
nav { position: fixed; inset: 0 auto 0 0; width: 19rem; overflow: auto; padding: 1rem; box-sizing: border-box;
  border-right: 1px solid var(--line); font-size: 13px; }
nav ul { list-style: none; margin: 0 0 1rem; padding: 0; }
main { margin-left: 19rem; padding: 1rem 2rem 50vh; max-width: 60rem; }
section { border-top: 1px solid var(--line); padding: .5rem 0 1rem; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem; overflow: auto; border-radius: 6px; max-height: 30rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); }
nav a { display: flex; }
nav .method { flex: none; width: 4rem; font-weight: 600; }
h2 code { font-size: 1.15rem; }
.roles { opacity: .75; font-size: 13px; }
summary { cursor: pointer; }
@media (max-width: 60rem) { nav { position: static; width: auto; border: 0; } main { margin: 0; padding: 1rem; } }
"""


def page(api: Document, topics: Document) -> str:
    """One HTML document of both."""
    body = "".join([*_operations(api), *_channels(topics), *_schemas(api)])
    title = f"{api['info']['title']} {api['info']['version']}: API"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<link rel="stylesheet" href="style.css">
</head>
<body>
<nav aria-label="Contents">{"".join(_contents(api, topics))}</nav>
<main>
<h1>{_text(title)}</h1>
<p>{_text(api["info"]["summary"])} All paths are behind one address; members send <code>Authorization: Bearer</code>
with a token of their identity provider. Every refusal is <code>application/problem+json</code> with a stable
<code>code</code>.</p>
<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1),
<a href="asyncapi.json">asyncapi.json</a> (AsyncAPI 3: the topics and the live stream).</p>
{body}</main>
</body>
</html>
"""


def _contents(api: Document, topics: Document) -> Iterator[str]:
    for tag in api["tags"]:
        rows = [
            f'<li><a href="#{operation["operationId"]}"><span class="method">{method.upper()}</span> '
            f"{_text(re.sub('{[a-z_]+}', '{id}', path.removeprefix('/v1')))}</a></li>"
            for path, operations in api["paths"].items()
            for method, operation in operations.items()
            if tag["name"] in operation["tags"]
        ]
        if rows:
            yield f"<strong>{_text(tag['name'])}</strong><ul>{''.join(rows)}</ul>"
    links = "".join(f'<li><a href="#topic-{_text(name)}">{_text(name)}</a></li>' for name in topics["channels"])
    yield f"<strong>topics</strong><ul>{links}</ul>"


def _operations(api: Document) -> Iterator[str]:
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            yield f'<section id="{operation["operationId"]}"><h2><code>{method.upper()} {_text(path)}</code></h2>'
            yield f"<p>{_text(operation['summary'])}. <span class=roles>{_who(operation)}</span></p>"
            yield from _parameters(operation.get("parameters", []))
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                yield f"<h3>Body <code>{_text(media_type)}</code></h3>{_schema(content['schema'])}"
            yield "<h3>Answers</h3><table>"
            for status, response in operation["responses"].items():
                yield f"<tr><th>{status}</th><td>{_marked(response['description'])}{_answer(response)}</td></tr>"
            yield "</table></section>\n"


def _who(operation: Document) -> str:
    if not operation["security"]:
        return "No token: the request proves itself by its signature."
    return "For " + ", ".join(f"{role}s" for role in operation["x-roles"]) + "."


def _parameters(parameters: list[Document]) -> Iterator[str]:
    if parameters:
        yield "<h3>Parameters</h3><table>"
        for one in parameters:
            needed = "required" if one.get("required") else ""
            kind = _text(json.dumps(one["schema"], ensure_ascii=False))
            yield f"<tr><th><code>{_text(one['name'])}</code></th><td>{one['in']} {needed}</td>"
            yield f"<td><code>{kind}</code></td></tr>"
        yield "</table>"


def _answer(response: Document) -> str:
    for media_type, content in response.get("content", {}).items():
        if "problem" not in media_type:
            return f" <code>{_text(media_type)}</code>{_schema(content['schema'])}"
    return ""


def _schema(schema: Document) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f' <a href="#schema-{_text(name)}">{_text(name)}</a>'
    return f"<pre>{_text(json.dumps(schema, indent=1, ensure_ascii=False))}</pre>"


def _channels(topics: Document) -> Iterator[str]:
    yield '<h1 id="topics">Topics</h1>'
    for name, channel in topics["channels"].items():
        yield f'<section id="topic-{_text(name)}"><h2><code>{_text(channel["address"])}</code></h2>'
        yield f"<p>{_text(channel['description'])}</p><p>"
        carried = (topics["components"]["messages"][message]["name"] for message in channel["messages"])
        yield ", ".join(f"<code>{_text(message)}</code>" for message in carried) + "</p></section>\n"


def _schemas(api: Document) -> Iterator[str]:
    yield '<h1 id="schemas">Schemas</h1>'
    for name, schema in api["components"]["schemas"].items():
        text = schema.get("description", "")
        rest = {key: value for key, value in schema.items() if key not in ("title", "description")}
        yield f'<section id="schema-{_text(name)}"><h2>{_text(name)}</h2><p>{_marked(text)}</p>'
        yield f"<details><summary>JSON Schema</summary>{_schema(rest)}</details></section>\n"


def _text(text: str) -> str:
    return html.escape(text)


def _marked(text: str) -> str:
    """Text with `code` in it."""
    parts = html.escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
