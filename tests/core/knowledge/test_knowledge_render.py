from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.knowledge import render_document
from core.knowledge.chunking import chunk_document
from core.knowledge.reading import parse_document
from core.knowledge.render import CONTENT_SECURITY_POLICY
from tests.core.knowledge.conftest import RUNBOOKS

TAGS = set(
    re.findall(
        r"\w+",
        """html head meta title style body main article nav h1 h2 h3 h4 h5 h6 p br hr a em strong s
        code pre ul ol li blockquote table thead tbody tr th td img dl dt dd""",
    )
)


class Page(HTMLParser):
    """What a browser would make of a page: tags with attributes, ids, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]


def page(markdown: str) -> Page:
    return Page(render_document(parse_document(markdown.encode(), "a/x.md", "x.md")))


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_every_passage_of_the_starter_has_its_anchor_on_the_page(path):
    document = parse_document(path.read_bytes(), path.name, path.name)
    shown = Page(render_document(document))
    ids = shown.values("id")
    assert len(ids) == len(set(ids))
    assert {chunk.anchor for chunk in chunk_document(document)} <= set(ids)
    inside = [href[1:] for href in shown.values("href") if href.startswith("#")]
    assert inside
    assert set(inside) <= set(ids)
    assert document.front_matter.owner in shown.text


def test_raw_html_is_text():
    shown = page("# <script>alert(1)</script>\n\n<img src=x onerror=alert(2)>\n\n<b>bold</b>\n")
    names = {tag for tag, _ in shown.tags}
    assert not names & {"script", "img", "b"}
    assert "<script>alert(1)</script>" in shown.text


def test_front_matter_and_path_are_escaped():
    document = parse_document(
        b"---\nowner: '<script>'\nalerts: ['<b>']\ntitle: '</title><script>'\n---\ntext\n",
        '"><script>.md',
        "x.md",
    )
    shown = Page(render_document(document))
    assert "script" not in {tag for tag, _ in shown.tags}
    assert "</title><script>" in shown.text


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        "java&#115;cript:alert(1)",
        "vbscript:x",
        "data:text/html,<script>",
        "file:///etc/passwd",
    ],
)
def test_links_that_run_code_are_not_links(link):
    shown = page(f"[click]({link})\n\n[other][r]\n\n[r]: {link}\n\n<{link}>\n")
    assert shown.values("href") == []


def test_ordinary_links_work_and_give_nothing_away():
    shown = page("[other](other.md#impact) [web](https://example.com/?a=1&b=2) [here](#x)\n\n# x\n")
    links = {attrs["href"]: attrs.get("rel") for tag, attrs in shown.tags if tag == "a"}
    assert links == {
        "other.md#impact": "noopener noreferrer nofollow",
        "https://example.com/?a=1&b=2": "noopener noreferrer nofollow",
        "#x": None,
    }
    assert {"content": CONTENT_SECURITY_POLICY, "http-equiv": "Content-Security-Policy"} in [
        attrs for tag, attrs in shown.tags if tag == "meta"
    ]
    assert "script-src" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY


def test_a_title_is_shown_where_the_document_has_none():
    assert [tag for tag, _ in page("---\ntitle: Given\n---\ntext\n").tags].count("h1") == 1
    assert [tag for tag, _ in page("# Own\n\ntext\n").tags].count("h1") == 1


@settings(max_examples=200, deadline=None)
@given(st.text("<>&\"'`[]()!#*_-|=:/ab \n", max_size=300))
def test_whatever_the_markdown_no_foreign_tag_or_handler_appears(markdown):
    shown = page(markdown)
    assert {tag for tag, _ in shown.tags} <= TAGS
    assert not any(name.startswith("on") for _, attrs in shown.tags for name in attrs)
