"""Which server gets a request, as a pure function."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigurationError
from core.orchestrator.client.pool import SLACK, Candidate, addresses, pick, prefix_key
from core.services.ai import ChatMessage

KEYS = [f"assistant {number}" for number in range(300)]


def servers(*loads: int) -> list[Candidate]:
    return [Candidate(f"http://gpu-{index}:8000/v1", load) for index, load in enumerate(loads)]


def test_one_beginning_goes_to_one_server_in_whatever_order_they_are_named() -> None:
    for key in KEYS[:20]:
        assert pick(servers(0, 0, 0), key) == pick(servers(0, 0, 0)[::-1], key)


def test_beginnings_are_spread_over_the_servers() -> None:
    share = Counter(pick(servers(0, 0, 0), key).name for key in KEYS)
    assert len(share) == 3
    assert min(share.values()) > 60, share


def test_only_what_the_missing_server_had_moves() -> None:
    for key in KEYS:
        before = pick(servers(0, 0, 0), key)
        left = [server for server in servers(0, 0, 0) if server.name != "http://gpu-1:8000/v1"]
        if before in left:
            assert pick(left, key) == before


def test_what_a_missing_server_had_is_spread_over_the_others() -> None:
    lost = [key for key in KEYS if pick(servers(0, 0, 0), key).name.startswith("http://gpu-1")]
    left = [server for server in servers(0, 0, 0) if server.name != "http://gpu-1:8000/v1"]
    assert len({pick(left, key).name for key in lost}) == 2


@pytest.mark.parametrize(("ahead", "keeps"), [(SLACK, True), (SLACK + 1, False)])
def test_a_server_loses_its_turn_where_another_has_much_less_to_do(ahead: int, keeps: bool) -> None:
    key = next(key for key in KEYS if pick(servers(0, 0), key).name.startswith("http://gpu-0"))
    assert (pick(servers(ahead, 0), key).load == ahead) is keeps


def test_among_hundreds_of_requests_a_few_more_do_not_count() -> None:
    key = next(key for key in KEYS if pick(servers(0, 0), key).name.startswith("http://gpu-0"))
    assert pick(servers(240, 200), key).load == 240
    assert pick(servers(260, 200), key).load == 200


@given(loads=st.lists(st.integers(0, 500), min_size=1, max_size=8), key=st.text(max_size=40))
def test_nobody_is_given_work_beyond_the_slack(loads: list[int], key: str) -> None:
    assert pick(servers(*loads), key).load <= min(loads) * 1.25 + SLACK


def test_a_beginning_is_the_model_and_the_first_message() -> None:
    system = ChatMessage(role="system", content="You are Iris.")
    one = (system, ChatMessage(role="user", content="Why?"))
    other = (system, ChatMessage(role="user", content="Where?"))
    assert prefix_key("a", one) == prefix_key("a", other)
    assert prefix_key("a", one) != prefix_key("b", one)
    assert prefix_key("a", one[1:]) != prefix_key("a", other[1:])


def test_addresses_are_separated_by_commas() -> None:
    assert addresses("http://a/v1") == ["http://a/v1"]
    assert addresses(" http://a/v1/, https://b/v1 ,,http://a/v1") == ["http://a/v1", "https://b/v1"]


@pytest.mark.parametrize("text", ["", ",", "gpu-1:8000", "http://a/v1,gpu-2", "file:///etc/passwd"])
def test_what_is_no_address_names_the_setting(text: str) -> None:
    with pytest.raises(ConfigurationError, match="COUNTERSIGN_ORCHESTRATOR_URL"):
        addresses(text)
