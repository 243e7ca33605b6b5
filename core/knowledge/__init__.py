"""Runbooks: reading, cutting into passages, searching and showing them."""

from core.knowledge.index import IndexReport, KnowledgeBase, Passage
from core.knowledge.reading import Document, FrontMatter, ReadingError
from core.knowledge.render import render_document

__all__ = [
    "Document",
    "FrontMatter",
    "IndexReport",
    "KnowledgeBase",
    "Passage",
    "ReadingError",
    "render_document",
]
