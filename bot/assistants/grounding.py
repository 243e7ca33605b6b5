"""Is a generated sentence covered by its sources? Every identifier must come from one.

Identifiers are what people act on: commands, hosts, paths, addresses, versions, hashes, names in
code, numbers with their units. They must stand in a source as a whole: `rm -rf /`, cut from
`rm -rf /srv/cache`, is another command, and a host without its subdomain is another host.
Besides, most words of the sentence must be the sources', or it is about something else, and it
must say more than the question did.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from bot.assistants.vocabulary import COMMON, NUMBER_WORDS, PROGRAMS, UNITS

WORDS_FROM_SOURCES = 0.6
"""Least share of a sentence's meaningful words that the sources must have."""
NEW_WORDS = 2
"""Least number of meaningful words of a sentence that are the passages' and not the question's."""
PAIRS_FROM_SOURCES = 0.6
"""Least share of a sentence's neighbouring words that are neighbours in the sources, too, where
the model is too weak to be trusted with words of its own."""

_BROADCAST = re.compile(r"<[!@#]|@(?:channel|here|everyone)\b|\]\(", re.IGNORECASE)
_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_FENCED = re.compile(r"^ *(```|~~~)[^\n]*\n(.*?)^ *\1", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[([^\]\n]*)\]\(([^)\s]+)[^)\n]*\)")
_BEFORE = "\"'`([{<,;|\u201c\u2018\u00ab"  # not `-`, `.`, `/`, `~`, `*`: flags, paths, globs
_AFTER = ".:!?\"'`)]}>,;|\u201d\u2019\u00bb\u2026"
_ANY_WORD = re.compile(r"\w+(?:['\u2019]\w+)?")
_WORD = re.compile(r"[^\W\d_]{4,}")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_QUANTITY = re.compile(r"(?<![\w.])(\d+(?:[.,]\d+)*)[\s-]?(%|[a-z]+)", re.IGNORECASE)
_PARAGRAPH_END = re.compile(r"\n(?=\s*\n|\s*(?:[-*|]|\d{1,2}\.)\s)")
_NUMBER_WORD = re.compile(rf"\b({'|'.join(NUMBER_WORDS)})\b", re.IGNORECASE)
_MARK_INSIDE = re.compile(r"\w[^\w\s'\u2019]+\w|[\d_/\\~$#@=&+]")


class Sources:
    """What an answer may take from.

    A sentence must be covered by one place, two neighbouring paragraphs, because true parts of
    different places can be put together to something false.

    Args:
        passages: texts in Markdown, with their headings.
        question: what the person typed; its identifiers may be repeated.
        verbatim: let only sentences pass that hardly differ from the sources'.
    """

    def __init__(self, passages: Iterable[str], question: str, *, verbatim: bool = False) -> None:
        self._verbatim = verbatim
        self._places: list[_Place] = []
        for passage in passages:
            paragraphs = _paragraphs(passage)
            pairs = zip(paragraphs, [*paragraphs[1:], ""], strict=True)
            self._places += [_Place(f"{first}\n\n{second}", question) for first, second in pairs]

    def unsupported(self, sentence: str) -> str | None:
        """Return what speaks against the sentence, for the log; None if it may be shown."""
        if match := _BROADCAST.search(sentence):
            return match[0]
        if repeated := _repeated(sentence):
            return f"{repeated} … {repeated}"
        problem = "there are no sources"
        for place in self._places:
            found = place.unsupported(sentence) or (
                place.reworded(sentence) if self._verbatim else None
            )
            if found is None:
                return None
            problem = found
        return problem


class _Place:
    """One place of the sources, and the question."""

    def __init__(self, text: str, question: str) -> None:
        everything = f"{text}\n{question}"
        self._sequence = _joined(_tokens(everything))
        self._folded = self._sequence.casefold()
        self._spoken = _joined(_spoken(everything))
        self._code = _code_lines(everything)
        self._quantities = _quantities(everything)
        self._numbers = frozenset(_NUMBER.findall(_in_digits(everything)))
        self._words = _meaning(everything)
        self._new = _meaning(text) - _meaning(question)

    def unsupported(self, sentence: str) -> str | None:
        for code in _CODE.finditer(sentence):
            if not self._has_code(_spaced(code[2])):
                return code[2]
        if unknown := _quantities(sentence) - self._quantities:
            return " ".join(min(unknown))
        return self._unknown_token(_tokens(sentence)) or self._off_subject(sentence)

    def reworded(self, sentence: str) -> str | None:
        """The first words that stand together in the sentence only, if there are many such."""
        pairs = list(pairwise(_spoken(sentence)))
        new = [pair for pair in pairs if _joined(pair) not in self._spoken]
        return " ".join(new[0]) if len(new) > (1 - PAIRS_FROM_SOURCES) * len(pairs) else None

    def _has_code(self, code: str) -> bool:
        return code in self._code or (" " not in code and self._has(code))

    def _unknown_token(self, tokens: list[str]) -> str | None:
        for position, token in enumerate(tokens):
            if _NUMBER.fullmatch(token):
                known = token in self._numbers
            else:
                known = not _is_identifier(token, position == 0) or self._has(token)
            if not known:
                return token
            for part in _command_parts(tokens, position):
                if not self._has(*part):
                    return " ".join(part)
        return None

    def _has(self, *tokens: str) -> bool:
        if _joined(tokens) in self._sequence:
            return True
        return all(token.isalpha() for token in tokens) and (
            _joined(tokens).casefold() in self._folded
        )

    def _off_subject(self, sentence: str) -> str | None:
        words = _meaning(sentence)
        strange = words - self._words
        if len(strange) > (1 - WORDS_FROM_SOURCES) * len(words):
            return " ".join(sorted(strange))
        if len(words & self._new) < NEW_WORDS:
            return "nothing but the question's words"
        return None


def _paragraphs(text: str) -> list[str]:
    """Paragraphs, list items and rows of tables; a code block is one."""
    found: list[str] = []
    rest = 0
    for block in _FENCED.finditer(text):
        found += _PARAGRAPH_END.split(text[rest : block.start()])
        found.append(block[0])
        rest = block.end()
    found += _PARAGRAPH_END.split(text[rest:])
    return [paragraph for paragraph in found if paragraph.strip()]


def _tokens(text: str) -> list[str]:
    words = _LINK.sub(r"\1 \2", text).replace("**", "").split()
    stripped = (word.lstrip(_BEFORE).rstrip(_AFTER) or word.strip(_BEFORE) for word in words)
    return [token for token in stripped if token]


def _spoken(text: str) -> list[str]:
    return _ANY_WORD.findall(text.casefold())


def _repeated(sentence: str) -> str | None:
    """Three words that come twice: a small model has lost itself."""
    words = _spoken(sentence)
    seen: set[tuple[str, ...]] = set()
    for position in range(len(words) - 2):
        three = tuple(words[position : position + 3])
        if three in seen:
            return " ".join(three)
        seen.add(three)
    return None


def _joined(tokens: Iterable[str]) -> str:
    return "\0" + "\0".join(tokens) + "\0"


def _is_identifier(token: str, first: bool) -> bool:
    """Anything that is not a plain lower-case word, or one with a capital at the beginning."""
    return bool(
        token in PROGRAMS
        or token.startswith(("-", "."))
        or _MARK_INSIDE.search(token)
        or token[1:] != token[1:].lower()
        or (not first and token[0].isupper())
    )


def _command_parts(tokens: list[str], position: int) -> list[list[str]]:
    """Neighbouring tokens that only mean what they mean together."""
    token = tokens[position]
    if token in PROGRAMS:
        return [tokens[position : position + 3]]
    if token.startswith("-") and len(token) > 1:
        parts = [tokens[max(position - 1, 0) : position + 1]]
        following = tokens[position + 1 : position + 2]
        if following and _is_identifier(following[0], first=False):
            parts.append([token, *following])
        return parts
    return []


def _code_lines(text: str) -> frozenset[str]:
    lines = [line.lstrip("$ ") for block in _FENCED.finditer(text) for line in block[2].split("\n")]
    spans = [code[2] for code in _CODE.finditer(_FENCED.sub("\n", text))]
    return frozenset(_spaced(code) for code in (*lines, *spans))


def _quantities(text: str) -> frozenset[tuple[str, str]]:
    found = set()
    for number, word in _QUANTITY.findall(_in_digits(text)):
        lower = word.lower()
        unit = UNITS.get(lower) or UNITS.get(lower.removesuffix("s"))
        if unit:
            found.add((number, unit))
    return frozenset(found)


def _in_digits(text: str) -> str:
    return _NUMBER_WORD.sub(lambda match: NUMBER_WORDS[match[0].lower()], text)


def _meaning(text: str) -> frozenset[str]:
    """Meaningful words, cut to what their forms have in common."""
    words = (word for word in _WORD.findall(text.casefold()) if word not in COMMON)
    return frozenset(re.sub(r"(?:ing|ed|es|s|e)$", "", word)[:8] for word in words)


def _spaced(text: str) -> str:
    return " ".join(text.split())
