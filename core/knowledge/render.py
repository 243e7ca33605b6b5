"""Document -> an HTML page of its own: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import MutableMapping, Sequence
from html import escape
from typing import Any

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from core.knowledge.outline import Heading, headings, markdown_parser
from core.knowledge.reading import Document

_STYLE = """
:root { color-scheme: light dark; --text: #1d1c1d; --muted: #616061; --line: #dddddd;
  --back: #ffffff; --code: #f6f6f6; --link: #1264a3; }
@media (prefers-color-scheme: dark) { :root { --text: #d1d2d3; --muted: #ababad; --line: #3c3f44;
  --back: #1a1d21; --code: #26292e; --link: #5eb5f7; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 48rem; margin: 0 auto; padding: 1.5rem 1.25rem 5rem; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; margin-top: 2.25rem; padding-bottom: 0.25rem;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; }
:target { scroll-margin-top: 1rem; background: color-mix(in srgb, var(--link) 15%, transparent); }
a { color: var(--link); }
code, pre { font: 0.875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { background: var(--code); padding: 0.1em 0.3em; border-radius: 4px; }
pre { background: var(--code); border: 1px solid var(--line); border-radius: 6px;
  padding: 0.75rem 1rem; overflow-x: auto; }
pre code { background: none; padding: 0; font-size: 1em; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: 0.35rem 0.7rem; text-align: left;
  vertical-align: top; }
blockquote { margin: 0; padding-left: 1rem; border-left: 4px solid var(--line);
  color: var(--muted); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: 0.5rem 0 1rem;
  color: var(--muted); font-size: 0.875rem; }
dd { margin: 0; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; padding: 0; list-style: none;
  font-size: 0.9rem; }
@media print { nav { display: none; } }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)


def render_document(document: Document) -> str:
    """Return a whole HTML page. Heading ids are the anchors of `Passage`; raw HTML stays text.

    CPU-bound: a document of the greatest size allowed takes seconds, so call it in a thread.
    """
    parser = markdown_parser()
    parser.add_render_rule("link_open", _open_link)
    tokens = parser.parse(document.body)
    found = list(headings(tokens))
    for heading in found:
        tokens[heading.token].attrSet("id", heading.anchor)
    body = parser.renderer.render(tokens, parser.options, {})
    title = escape(document.title)
    head = "" if any(heading.level == 1 for heading in found) else f"<h1>{title}</h1>\n"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{head}{_facts(document)}{_contents(found)}<article>\n{body}</article>\n"
        "</main>\n</body>\n</html>\n"
    )


def _facts(document: Document) -> str:
    matter = document.front_matter
    rows = {
        "Alerts": ", ".join(matter.alerts),
        "Services": ", ".join(matter.services),
        "Owner": matter.owner or "",
        "File": document.path,
    }
    cells = "".join(
        f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows.items() if value
    )
    return f"<dl>{cells}</dl>\n"


def _contents(found: Sequence[Heading]) -> str:
    items = "".join(
        f'<li><a href="#{escape(heading.anchor)}">{escape(heading.title)}</a></li>'
        for heading in found
        if heading.level == 2
    )
    return f'<nav aria-label="Sections"><ul>{items}</ul></nav>\n' if items else ""


def _open_link(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    if not str(tokens[index].attrGet("href") or "").startswith("#"):
        tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    return renderer.renderToken(tokens, index, options, env)
