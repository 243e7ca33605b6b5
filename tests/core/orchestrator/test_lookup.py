"""Guesses of what comes next, from what was said before."""

from __future__ import annotations

from core.orchestrator.server.engine.lookup import PromptLookup


def said(*tokens: int) -> PromptLookup:
    lookup = PromptLookup()
    lookup.extend(tokens)
    return lookup


def test_what_followed_the_last_words_before_is_guessed() -> None:
    assert said(1, 2, 3, 4, 5, 6, 9, 1, 2, 3).guess(7) == [4, 5, 6]


def test_the_longer_beginning_counts() -> None:
    assert said(1, 2, 3, 4, 7, 2, 3, 5, 1, 2, 3).guess(1) == [4]


def test_of_two_places_the_last_one_counts() -> None:
    assert said(1, 2, 4, 1, 2, 5, 1, 2).guess(1) == [5]


def test_nothing_is_guessed_where_nothing_was_said_before() -> None:
    assert said(1, 2, 3).guess(7) == []
    assert said(1).guess(7) == []
    assert said().guess(7) == []


def test_no_more_is_guessed_than_there_is_room_for() -> None:
    assert said(1, 2, 3, 4, 5, 1, 2).guess(2) == [3, 4]
    assert said(1, 2, 3, 4, 5, 1, 2).guess(0) == []


def test_guesses_grow_with_what_was_right_and_shrink_with_what_was_wrong() -> None:
    lookup = said(*range(20), 0, 1)
    assert len(lookup.guess(20)) == 3
    lookup.judge(3)
    assert len(lookup.guess(20)) == 7
    lookup.judge(7)
    assert len(lookup.guess(20)) == 7
    lookup.judge(0)
    assert lookup.guess(20) == [2]
