from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.knowledge.chunking import MAX_CHUNKS, chunk_document
from core.knowledge.outline import Slugger, block_parser, headings
from core.knowledge.pieces import MAX_CHARS, pieces
from core.knowledge.reading import ReadingError, parse_document


def document(text: str):
    return parse_document(textwrap.dedent(text).encode(), "x.md", "x.md")


def chunks(text: str, target_chars: int = 1200):
    return chunk_document(document(text), target_chars)


def test_a_passage_for_each_section_with_its_heading_path_anchor_and_lines():
    found = chunks("""\
        ---
        owner: x
        ---
        before

        # Title

        ## Diagnosis

        look

        ### On the host

        look closer

        ## Diagnosis
        again
        """)
    assert [(c.heading_path, c.anchor, c.text, c.start_line, c.end_line) for c in found] == [
        ((), "", "before", 4, 4),
        (("Title", "Diagnosis"), "diagnosis", "look", 8, 10),
        (("Title", "Diagnosis", "On the host"), "on-the-host", "look closer", 12, 14),
        (("Title", "Diagnosis"), "diagnosis-1", "again", 16, 17),
    ]


def test_an_empty_section_stays_findable():
    assert [(c.heading_path, c.text) for c in chunks("# A\n\n## B\n\n## C\n\nc\n")] == [
        (("A", "B"), "## B"),
        (("A", "C"), "c"),
    ]


def test_a_hash_in_code_or_a_quote_begins_no_section():
    found = chunks("# A\n\n```\n# comment\n```\n\n> # quoted\n\ntext\n")
    assert [c.heading_path for c in found] == [("A",)]


def test_long_sections_are_cut_between_paragraphs():
    text = "# A\n\n" + "\n\n".join(f"{n} " + "word " * 30 for n in range(10)) + "\n"
    found = chunks(text, 400)
    assert len(found) == 5
    assert all(c.anchor == "a" for c in found)
    assert found[0].end_line < found[1].start_line


def test_long_lists_are_cut_between_items_and_then_inside_them():
    item = "1. First:\n\n   ```console\n   kubectl get pods\n   ```\n\n   " + "word " * 20 + "\n"
    found = chunks("# A\n\n" + item * 2, 90)
    assert [c.text.split("\n")[0] for c in found] == ["1. First:", "word " * 20] * 2
    assert found[0].text.endswith("```")


def test_what_ends_with_a_colon_stays_with_what_it_introduces():
    found = chunks("# A\n\n" + "x" * 80 + "\n\nRun this:\n\n```\ncommand\n```\n", 100)
    assert [c.text for c in found] == ["x" * 80, "Run this:\n\n```\ncommand\n```"]


def test_code_and_tables_are_kept_whole_however_long():
    code = "```\n" + "line\n\n" * 500 + "```"
    table = "| a | b |\n| - | - |\n" + "| c | d |\n" * 300
    found = chunks(f"# A\n\n{code}\n\n{table}\n", 200)
    assert [c.text for c in found] == [code, table.rstrip()]


def test_sections_without_end_are_refused_with_the_files_name():
    with pytest.raises(ReadingError, match=r"x\.md: more than 2000 sections"):
        chunks("# a\n" * (MAX_CHUNKS + 1))


def test_deep_nesting_is_cut_without_recursing_to_death():
    lists = "".join(" " * (2 * depth) + "- a\n" for depth in range(90))
    quotes = ">" * 15_000 + " a"
    assert "a" in chunks(lists)[0].text
    assert chunks(quotes)[0].text == quotes


@pytest.mark.parametrize(
    ("title", "anchor"),
    [
        ("Meaning", "meaning"),
        ("What's new in `v1.2`?", "whats-new-in-v12"),
        ("A & B", "a--b"),
        ("snake_case and dash-ed", "snake_case-and-dash-ed"),
        ("Größe prüfen", "größe-prüfen"),
        ("日本語 の見出し", "日本語-の見出し"),
        ("😀 smile", "-smile"),
        ("[link](http://x) and **bold**", "link-and-bold"),
        ("!!!", "section"),
    ],
)
def test_anchors_are_those_of_github(title, anchor):
    (heading,) = headings(block_parser().parse(f"## {title}\n"))
    assert heading.anchor == anchor


def test_repeated_headings_are_numbered_around_what_is_taken():
    slugger = Slugger()
    assert [slugger.anchor(t) for t in ("Foo", "Foo 1", "Foo", "Foo", "foo")] == [
        "foo",
        "foo-1",
        "foo-2",
        "foo-3",
        "foo-4",
    ]


_WORDS = st.text("abc#*`>-|1.: \t\u00e9\u2028\x0c\u00a0", max_size=30)
_BLOCKS = st.one_of(
    _WORDS,
    st.builds("{} {}".format, st.sampled_from(["#", "##", "###"]), _WORDS),
    st.builds("{}\n{}\n{}".format, st.just("```"), _WORDS, st.just("```")),
    st.builds("- {}\n\n  {}\n- {}".format, _WORDS, _WORDS, _WORDS),
    st.builds("1. {}\n   1. {}\n\n      ```\n      {}\n      ```".format, _WORDS, _WORDS, _WORDS),
    st.builds("> {}\n{}".format, _WORDS, _WORDS),
    st.builds("{}\n===".format, _WORDS),
    st.builds("| {} | b |\n|---|---|\n| c | d |".format, _WORDS),
    st.builds("[ref]: {}".format, _WORDS),
    st.just("    indented code"),
)
_MARKDOWN = st.lists(_BLOCKS, max_size=15).map("\n\n".join)


@settings(max_examples=300, deadline=None)
@given(_MARKDOWN, st.sampled_from([20, 80, 1200]))
def test_every_line_is_in_exactly_one_chunk_or_is_a_heading(markdown, target_chars):
    read = parse_document(markdown.encode(), "x.md", "x.md")
    found = chunk_document(read, target_chars)
    lines = read.body.split("\n")
    tokens = block_parser().parse(read.body)
    heading_lines = {
        number
        for token in tokens
        if token.type == "heading_open" and token.level == 0
        for number in range(*token.map)
    }
    covered = [
        number - read.first_line for c in found for number in range(c.start_line, c.end_line + 1)
    ]
    assert len(covered) == len(set(covered))
    for number, line in enumerate(lines):
        if line.strip():
            assert number in covered or number in heading_lines
    for chunk in found:
        own = range(chunk.start_line - read.first_line, chunk.end_line - read.first_line + 1)
        text = [lines[number].strip() for number in own if number not in heading_lines]
        expected = [line for line in text if line]
        given_lines = [line.strip() for line in chunk.text.split("\n") if line.strip()]
        assert given_lines == expected or not expected


@settings(max_examples=300, deadline=None)
@given(_MARKDOWN, st.sampled_from([20, 80, 1200]))
def test_code_blocks_are_whole_and_sections_have_anchors_of_their_own(markdown, target_chars):
    read = parse_document(markdown.encode(), "x.md", "x.md")
    found = chunk_document(read, target_chars)
    spans = [(c.start_line - read.first_line, c.end_line - read.first_line) for c in found]
    tokens = block_parser().parse(read.body)
    lines = read.body.split("\n")
    for token in tokens:
        if token.type in ("fence", "code_block", "table_open"):
            own = [number for number in range(*token.map) if lines[number].strip()]
            if own:  # a block of white space alone is no text
                assert any(start <= own[0] and own[-1] <= end for start, end in spans)
    anchors = [heading.anchor for heading in headings(tokens)]
    assert len(anchors) == len(set(anchors))
    assert all(anchors)
    assert {c.anchor for c in found} <= {"", *anchors}


@settings(max_examples=300, deadline=None)
@given(st.text("ab .\n|-*1\t\u00e9", max_size=2000))
def test_pieces_keep_every_word_and_are_short(text):
    cut = pieces(text)
    assert cut
    assert all(len(piece) <= MAX_CHARS for piece in cut)
    letters = [c for c in text if c.isalpha() or c in "1."]
    assert [c for piece in cut for c in piece if c.isalpha() or c in "1."] == letters
