"""A dry run's output as people see it before they sign."""

from core.workflows.planning import shown_preview


def test_a_long_one_says_how_much_is_left_out() -> None:
    assert shown_preview("x" * 6000) == "x" * 6000
    assert shown_preview("x" * 6001) == "x" * 6000 + "\n… 1 characters are left out"


def test_one_that_differs_only_after_the_cut_is_told_by_its_length_at_least() -> None:
    assert shown_preview("x" * 7000) != shown_preview("x" * 7001)


def test_what_no_database_holds_is_replaced() -> None:
    assert shown_preview("a\x00b\ud800") == "a\ufffdb\ufffd"
