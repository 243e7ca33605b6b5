"""What a generated sentence may say."""

from __future__ import annotations

import pytest

from bot.assistants.grounding import Sources
from bot.assistants.sentences import SentenceBuffer, is_whole

RUNBOOK = """\
# Disk is full: Mitigation

1. Free the cache on `db-1.shop.example` first; it grows by 5 GB in ten minutes.
2. Delete old archives with `rm -rf /srv/cache/old` as the user postgres.

Look at the volume before and after:

```console
$ df -h /srv
kubectl exec -n shop db-1 -- du -sh /srv/cache
```

The dashboard is at https://grafana.shop.example/d/disk and the commit was 3f9c2ab.

3. When main is green again and a release was waiting, `/ops run tag-release` tags it.
"""
SOURCES = Sources([RUNBOOK], "is the disk of db-1 full")


@pytest.mark.parametrize(
    "sentence",
    [
        "Free the cache on `db-1.shop.example` first.",
        "The cache grows by 5 GB in 10 minutes.",
        "Delete old archives with `rm -rf /srv/cache/old`.",
        "Look at the volume with `df -h /srv` before and after.",
        "The dashboard is at https://grafana.shop.example/d/disk.",
        "The release was waiting, so tag it with `/ops run tag-release`.",
    ],
)
def test_a_sentence_that_the_runbook_covers_is_shown(sentence: str) -> None:
    assert SOURCES.unsupported(sentence) is None


@pytest.mark.parametrize(
    ("sentence", "problem"),
    [
        ("Free the cache on `db-2.shop.example` first.", "another host"),
        ("Free the cache on shop.example first.", "a host without its subdomain"),
        ("Delete old archives with `rm -rf /`.", "a command cut from a longer one"),
        ("Delete old archives with rm -rf / as postgres.", "the same without quotes"),
        ("Delete old archives with `rm -rf /srv`.", "another path"),
        ("Delete old archives in /srv/cache/new.", "another path in prose"),
        ("Free the cache with sudo first.", "a program that is not named"),
        ("The cache grows by 5 MB in ten minutes.", "another unit"),
        ("The cache grows by 6 GB in ten minutes.", "another number"),
        ("The cache grows by 5 GB in thirty minutes.", "another number in words"),
        ("The dashboard is at https://grafana.example/d/disk.", "another address"),
        ("The dashboard is at [grafana](https://grafana.shop.example/d/disk).", "a drawn link"),
        ("The commit was 3f9c2ac and the dashboard shows it.", "another commit"),
        ("The dashboard of Kafka is waiting for the commit.", "a name that is not there"),
        ("<!channel> free the cache first.", "a broadcast"),
        ("Tell @here to free the cache first.", "another broadcast"),
        ("Ask <@U123> to free the cache first.", "a mention"),
        ("The weather makes people happy, and the disk likes it.", "other matters"),
        ("The disk of db-1 is full.", "only what was asked"),
        ("Delete the cache with `/ops run tag-release` first.", "parts of different places"),
        ("Free the cache first and then free the cache first.", "a loop"),
    ],
)
def test_a_sentence_with_something_of_its_own_is_not(sentence: str, problem: str) -> None:
    assert SOURCES.unsupported(sentence) is not None, problem


def test_a_weak_model_may_not_reword() -> None:
    weak = Sources([RUNBOOK], "is the disk of db-1 full", verbatim=True)
    assert weak.unsupported("Free the cache on `db-1.shop.example` first.") is None
    reworded = "First archives of the cache must be old, delete postgres."
    assert weak.unsupported(reworded) is not None
    assert SOURCES.unsupported(reworded) is None


def test_without_sources_nothing_is_covered() -> None:
    assert Sources([], "a question").unsupported("A question is a question.") is not None


def test_sentences_come_when_they_are_complete() -> None:
    buffer = SentenceBuffer()
    pieces = ["Use v1.2", ".3, e.g. on ma", "in. Then run `a. b", "` twice! 1. Do", " this\nand"]
    found = [sentence for piece in pieces for sentence in buffer.add(piece)]
    assert found == ["Use v1.2.3, e.g. on main.", "Then run `a. b` twice!", "Do this"]
    assert buffer.rest() == "and"


def test_a_text_without_an_end_is_cut() -> None:
    buffer = SentenceBuffer()
    assert [len(sentence) for sentence in buffer.add("x" * 700)] == [700]


@pytest.mark.parametrize(
    ("sentence", "whole"),
    [("It is so.", True), ("`df` shows it.", True), ("and so on.", False), ("Mitigation", False)],
)
def test_only_whole_sentences_count(sentence: str, whole: bool) -> None:
    assert is_whole(sentence) is whole
