from __future__ import annotations

import os

import pytest

from core.knowledge.reading import (
    MAX_DOCUMENTS,
    MAX_FILE_BYTES,
    MAX_FOLDER_DEPTH,
    MAX_FRONT_MATTER_CHARS,
    MAX_LINE_CHARS,
    ReadingError,
    parse_document,
    read_folders,
)


def read(text: str | bytes):
    raw = text.encode() if isinstance(text, str) else text
    return parse_document(raw, "a/b.md", "runbooks/a/b.md")


def refusal(text: str | bytes) -> str:
    with pytest.raises(ReadingError) as caught:
        read(text)
    assert "runbooks/a/b.md" in str(caught.value)
    return str(caught.value)


def problems(folder) -> list[str]:
    files, others = read_folders([folder])
    return [file.problem for file in files.values() if file.problem] + others


def paths(*folders) -> list[str]:
    files, _ = read_folders(folders)
    return [file.document.path for file in files.values() if file.document]


def test_front_matter_title_and_body():
    document = read(
        "---\nalerts: [HighErrorRate]\nservices: web\nowner: sre\nx: 1\n---\n\n# Errors *rise*\n"
    )
    assert document.front_matter.alerts == ("HighErrorRate",)
    assert document.front_matter.services == ("web",)
    assert document.front_matter.owner == "sre"
    assert document.title == "Errors rise"
    assert document.body == "\n# Errors *rise*\n"
    assert document.first_line == 7


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("text only", "b"),
        ("---\ntitle: Given\n---\ntext", "Given"),
        ("---\ntitle: Given\n---\n# Written", "Written"),
        ("```\n# not a heading\n```\n\n# Real\n", "Real"),
        ("---\n\n# After a thematic break\n", "After a thematic break"),
        ("---\nowner: x\n---", "b"),
        ("", "b"),
    ],
)
def test_title(text, title):
    assert read(text).title == title


def test_line_ends_and_byte_order_mark_do_not_matter():
    windows = read(b"\xef\xbb\xbf---\r\nowner: x\r\n---\r\n# T\r\n\r\ntext\r\n")
    assert windows.body == "# T\n\ntext\n"
    assert windows.front_matter.owner == "x"
    assert windows.first_line == 4


def test_what_is_not_utf8_is_named_with_its_line():
    message = refusal(b"# fine\n\ncaf\xe9\n")
    assert "line 3" in message
    assert "0xe9" in message
    assert "UTF-8" in message


def test_binary_is_not_text():
    assert "NUL" in refusal(b"\x00\x01\x02\x03")


def test_a_huge_line_is_refused():
    assert "line 2" in refusal("# x\n" + "y" * (MAX_LINE_CHARS + 1))
    assert read("y" * MAX_LINE_CHARS).body


@pytest.mark.parametrize(
    ("front_matter", "expected"),
    [
        (
            "a: &a [x, x]\n"
            + "\n".join(
                f"{c}: &{c} [*{p}, *{p}]" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
            )
            + "\nalerts: *i",
            "anchors",
        ),
        ("alerts: " + "[" * 5000 + "]" * 5000, "nested too deep"),
        ("alerts: " + "{a: " * 3000 + "1" + "}" * 3000, "nested too deep"),
        ("owner: !!python/object/apply:os.system [id]", "tags"),
        ("owner: !!bool nonsense", "tags"),
        ("owner: [unclosed", "line 2: front matter is not YAML"),
        ("owner: a\nowner: b", "front matter is not YAML"),
        ("owner: 2024-13-41", "quotes"),
        ("owner: " + "9" * 5000, "quotes"),
        ("alerts: {a: b}", "alerts"),
        ("alerts: [1]", "alerts.0"),
        ("alerts: ['']", "alerts.0"),
        ("- a list", "front matter"),
        ("just words", "front matter"),
        ("owner: " + "x" * MAX_FRONT_MATTER_CHARS, "shorten"),
        ("owner: \x07", "front matter"),
    ],
)
def test_hostile_front_matter_is_refused_with_its_reason(front_matter, expected):
    assert expected in refusal(f"---\n{front_matter}\n---\n# x\n")


def test_folders_are_read_in_a_fixed_order_without_hidden_files(tmp_path):
    for name in ("b.md", "a/z.md", "a/c.MD", ".hidden.md", ".git/x.md", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# x")
    assert paths(tmp_path) == ["b.md", "a/c.MD", "a/z.md"]
    assert problems(tmp_path) == []


def test_a_missing_folder_is_a_problem_and_stops_nothing(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.md").write_text("# a")
    files, found = read_folders([tmp_path / "gone", tmp_path / "here"])
    assert len(files) == 1
    assert found == [f"{tmp_path}/gone: there is no such folder; create it or correct the setting"]


def test_the_same_name_in_two_folders_is_taken_from_the_first(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.md").write_text(f"# {folder}")
    files, found = read_folders([tmp_path / "one", tmp_path / "two"])
    assert [file.document.title for file in files.values()] == ["one"]
    assert "two/a.md" in found[0]
    assert "rename" in found[0]


def test_links_that_leave_the_folder_are_refused(tmp_path):
    folder, outside = tmp_path / "runbooks", tmp_path / "secret"
    folder.mkdir()
    outside.mkdir()
    (outside / "secret.md").write_text("# secret")
    (folder / "link.md").symlink_to(outside / "secret.md")
    (folder / "dangling.md").symlink_to(outside / "gone.md")
    (folder / "circle.md").symlink_to(folder / "circle.md")
    (folder / "folder").symlink_to(outside)
    (folder / "up").symlink_to(folder)
    (folder / "real.md").write_text("# real")
    (folder / "inside.md").symlink_to(folder / "real.md")
    assert paths(folder) == ["inside.md", "real.md"]
    found = problems(folder)
    assert len(found) == 3
    assert any("link.md: is a link that leaves" in problem for problem in found)
    assert any("dangling.md: cannot be read" in problem for problem in found)
    assert any("circle.md: cannot be read" in problem for problem in found)


def test_what_is_not_a_regular_file_does_not_hang_the_reader(tmp_path):
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "folder.md").mkdir()
    assert [("pipe.md: is not a regular file" in problem) for problem in problems(tmp_path)] == [
        True
    ]


def test_a_file_that_is_too_large_is_refused(tmp_path):
    (tmp_path / "large.md").write_bytes(b"a\n" * (MAX_FILE_BYTES // 2) + b"a")
    assert "large.md: is larger than" in problems(tmp_path)[0]


def test_folders_may_not_be_nested_without_end(tmp_path):
    deep = tmp_path
    for _ in range(MAX_FOLDER_DEPTH + 5):
        deep /= "d"
        deep.mkdir()
        (deep / f"{len(deep.parts)}.md").write_text("# x")
    assert len(paths(tmp_path)) == MAX_FOLDER_DEPTH
    assert "folders deep" in problems(tmp_path)[0]


def test_the_number_of_documents_is_limited(tmp_path, monkeypatch):
    assert MAX_DOCUMENTS >= 1000
    monkeypatch.setattr("core.knowledge.reading.MAX_DOCUMENTS", 3)
    for number in range(5):
        (tmp_path / f"{number}.md").write_text("# x")
    assert len(paths(tmp_path)) == 3
    assert "more than 3 documents" in problems(tmp_path)[0]


def test_unchanged_files_are_not_read_again(tmp_path):
    (tmp_path / "a.md").write_text("# a")
    first, _ = read_folders([tmp_path])
    path = str(tmp_path / "a.md")
    again, _ = read_folders([tmp_path], first)
    assert again[path] is first[path]

    os.utime(tmp_path / "a.md", ns=(1, 1))
    touched, _ = read_folders([tmp_path], again)
    assert touched[path].document is first[path].document

    (tmp_path / "a.md").write_text("# b")
    changed, _ = read_folders([tmp_path], touched)
    assert changed[path].document.title == "b"
