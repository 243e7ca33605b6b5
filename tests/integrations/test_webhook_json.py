"""Reading a body as JSON: once for each delivery, whoever asks."""

import pytest

from integrations.webhooks import MalformedDeliveryError, read_json


def test_one_body_is_parsed_once() -> None:
    body = b'{"number": [1]}'
    assert read_json(body) is read_json(body)


def test_an_equal_body_is_parsed_anew() -> None:
    """A benchmark that sends one body again and again measures the parser, too."""
    first, second = (bytes(bytearray(b'{"number": [1]}')) for _ in range(2))
    assert first is not second
    assert read_json(first) == read_json(second)
    assert read_json(first) is not read_json(second)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"x": NaN}', "not JSON"),
        (b'"\xed\xa0\x80"', "not UTF-8 at byte 1"),
        (b'{"\xff": 1}', "not UTF-8 at byte 2"),
        (b"1\xc3", "not UTF-8 at byte 1"),
    ],
)
def test_what_is_not_json_is_refused_each_time(body: bytes, problem: str) -> None:
    for _ in range(2):
        with pytest.raises(MalformedDeliveryError, match=problem):
            read_json(body)
