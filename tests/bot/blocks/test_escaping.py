"""Outsiders' text, made inert: whole, in streams cut anywhere, and as rich text."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slackblocks import RichTextObject

from bot.blocks.layout import dicts, rich
from bot.blocks.markdown import plain_markdown, render_markdown
from bot.slack.escaping import (
    LinkPolicy,
    StreamNeutraliser,
    escape_mrkdwn,
    neutralise_markdown,
    plain_url,
)
from bot.slack.incoming import straight, typed, without_mention
from tests.bot.blocks.inspection import assert_inert, links, objects, shown
from tests.bot.blocks.samples import HOSTILE

POLICY = LinkPolicy(hosts=frozenset({"github.com"}), bases=("http://127.0.0.1:8800/",))
LIVE = re.compile(
    r"<[!@#/a-z]|@(here|channel|everyone)\b|!\[|\]\((?!https://github\.com)|"
    r"https?://(?!github\.com)|\]:",
    re.IGNORECASE,
)
PIECES = st.sampled_from(
    ["<", "!", "channel", ">", "@", "here", "everyone", "[", "]", "(", ")", ":", "/", "//", "\n",
     "https", "http", "evil.example", "github.com", " ", "a", "|", "U0BOB", "mailto", "`", "\\"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40).map("".join))
def test_nothing_live_is_left_whatever_is_written(text: str) -> None:
    assert LIVE.search(neutralise_markdown(text, POLICY)) is None


@given(st.lists(PIECES, max_size=40).map("".join), st.lists(st.integers(0, 60), max_size=8))
def test_a_stream_cut_anywhere_gives_the_same_as_the_whole(text: str, cuts: list[int]) -> None:
    stream = StreamNeutraliser(POLICY)
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [text[a:b] for a, b in pairwise(borders)]

    streamed = "".join(stream.feed(part) for part in parts) + stream.close()

    assert streamed == neutralise_markdown(text, POLICY)


@pytest.mark.parametrize("tail", ["<!channel>", "https://evil.example/", "![x](https://a.b)"])
@pytest.mark.parametrize("shift", range(-12, 13))
def test_a_word_too_long_to_hold_back_is_broken_safely(tail: str, shift: int) -> None:
    text = "x" * (2_000 + shift) + tail * 3
    stream = StreamNeutraliser(POLICY)

    streamed = "".join(stream.feed(character) for character in text) + stream.close()

    assert LIVE.search(streamed) is None


def test_ordinary_markdown_and_allowed_links_stay_as_they_are() -> None:
    text = (
        "# Title\n\nRun `kubectl get pods -n shop` and see [the job](https://github.com/a/b) or "
        "https://github.com/a. Mail me@example.com; 3 < 4 and a[0]=1.\n"
    )

    assert neutralise_markdown(text, POLICY) == text


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://github.com/a", True),
        ("https://api.github.com/a", True),
        ("http://127.0.0.1:8800/runbooks/a.md#b", True),
        ("http://github.com/a", False),
        ("https://github.com.evil.example/", False),
        ("https://evil.example/github.com", False),
        ("https://github.com/?to=https://evil.example/", False),
        ("https://user@github.com/", False),
        ("https://github.com@evil.example/", False),
        ("http://127.0.0.1:8800.evil.example/", False),
        ("http://127.0.0.1:8800@evil.example/", False),
        ("javascript:alert(1)", False),
        ("https://github.com/|x", False),
        ("https://github.com/ a", False),
        ("https://[::1", False),
        ("//github.com/", False),
    ],
)
def test_only_known_hosts_over_https_and_our_own_pages_are_links(url: str, allowed: bool) -> None:
    assert POLICY.allows(url) is allowed


def test_an_odd_address_has_no_host() -> None:
    assert plain_url("https://ci.example/job?id=1") == "ci.example"
    assert plain_url("ftp://ci.example/") is None
    assert plain_url("https://x.example/" + "a" * 3_000) is None


def test_mrkdwn_is_escaped() -> None:
    assert escape_mrkdwn("<!here> & co") == "&lt;!here&gt; &amp; co"


def test_markdown_becomes_rich_text_without_anything_live() -> None:
    blocks = _blocks(render_markdown(HOSTILE, POLICY, 3_000))

    assert_inert(blocks)
    assert links(blocks) == set()
    assert "x (evil.example)" in shown(blocks).replace("\n", "")
    assert "[image: i]" in shown(blocks)
    assert "<!channel>" in shown(blocks)


def test_markdown_keeps_its_structure() -> None:
    source = (
        "# Head\n\nSome **bold**, *italic*, ~~gone~~ and `code`.\n\n- one\n- two\n  1. deep\n\n"
        "> said\n\n```sh\nls -l\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "[job](https://github.com/a/b)\n"
    )
    blocks = _blocks(render_markdown(source, POLICY, 3_000))

    styles = {o["text"]: o.get("style") for o in objects(blocks) if o.get("type") == "text"}
    assert styles["Head"] == styles["bold"] == {"bold": True}
    assert styles["italic"] == {"italic": True}
    assert styles["gone"] == {"strike": True}
    assert styles["code"] == {"code": True}
    lists = [o for o in objects(blocks) if o.get("type") == "rich_text_list"]
    assert [(len(o["elements"]), o["style"], o["indent"]) for o in lists] == [
        (2, "bullet", 0),
        (1, "ordered", 1),
    ]
    kinds = {o["type"] for o in objects(blocks) if "type" in o}
    assert {"rich_text_quote", "rich_text_preformatted"} <= kinds
    assert links(blocks) == {"https://github.com/a/b"}
    assert {"1", "2", " | "} <= set(styles)


def test_markdown_is_cut_to_its_room() -> None:
    blocks = _blocks(render_markdown("word " * 5_000, POLICY, 1_000))

    assert len(shown(blocks)) < 1_100
    assert "(cut)" in shown(blocks)


def test_markdown_is_read_out_without_its_marks() -> None:
    assert plain_markdown("# A\n\n- **b** `c`\n\n```\nd\n```", 100) == "A b c d"


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("<@U0BOB|bob> &lt;x&gt; &amp;", "U0BOB <x> &"),
        ("<#C1|deploys> <!here> <!subteam^S1|@oncall>", "#deploys @here @oncall"),
        ("<https://ci.example/1>", "https://ci.example/1"),
        ("<http://ci.example|ci.example>", "ci.example"),
        ("<mailto:a@b.example|a@b.example>", "a@b.example"),
        ("<https://ci.example|click>", "https://ci.example"),
    ],
)
def test_what_slack_sends_is_read_as_it_was_typed(sent: str, meant: str) -> None:
    assert typed(sent) == meant


def test_mentions_at_the_beginning_and_curly_quotes_go() -> None:
    assert without_mention("<@U1> <@U1|bot>: hello <@U1>", "U1") == "hello <@U1>"
    assert straight("a=“two words”") == 'a="two words"'


def _blocks(found: list[RichTextObject]) -> list[dict[str, object]]:
    return dicts([rich(*found)])
