"""A call notifies exactly the people who are needed, and nobody whom a text names."""

from __future__ import annotations

from bot.blocks.call import call


def test_groups_and_people_are_mentioned_before_the_words() -> None:
    content = call("sign this", {"oncall": "S0ONCALL"}, ["U0BOB"])
    assert content.text == "<!subteam^S0ONCALL> <@U0BOB> sign this"
    (block,) = content.blocks
    elements = block["elements"][0]["elements"]
    assert [e["type"] for e in elements if e.get("text") != " "] == ["usergroup", "user", "text"]
    assert elements[0]["usergroup_id"] == "S0ONCALL"


def test_a_group_that_slack_does_not_know_is_named_only() -> None:
    content = call("x", {"gone": None, "odd": "<!channel>"}, ["schedule:weekly", "<!here>"])
    assert content.text == "@gone @odd schedule:weekly &lt;!here&gt; x"
    assert {e["type"] for e in content.blocks[0]["elements"][0]["elements"]} == {"text"}


def test_who_is_named_in_the_words_is_shown_as_a_person() -> None:
    content = call("broken by U0BOB, not U0EVE", {}, [], ["U0BOB"])
    (section,) = content.blocks[0]["elements"]
    assert [one.get("user_id", one.get("text")) for one in section["elements"]] == [
        "broken by ",
        "U0BOB",
        ", not U0EVE",
    ]


def test_mentions_in_the_words_stay_text() -> None:
    content = call("<!channel> <@U0BOB>", {}, [])
    assert content.text == "&lt;!channel&gt; &lt;@U0BOB&gt;"
    assert content.blocks[0]["elements"][0]["elements"][-1] == {
        "type": "text",
        "text": "<!channel> <@U0BOB>",
    }
