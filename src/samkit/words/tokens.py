"""Texts to tokens: byte pairs (1508.07909) of CLIP's vocabulary (2103.00020)."""

import gzip
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

from samkit.errors import InputError, shown
from samkit.words.cleaning import cleaned

__all__ = ["CONTEXT", "PADDING", "VOCABULARY", "tokens_of"]

CONTEXT = 32
"""Tokens of a text, with those of its start and its end."""

PADDING = 0
"""The token after the end of a text."""

VOCABULARY = 49408
"""Number of different tokens."""

_START, _END = VOCABULARY - 2, VOCABULARY - 1
_WORD_END = "</w>"
# The long s is there because CLIP's own pattern ignores case.
_CONTRACTIONS = ("'s", "'ſ", "'t", "'re", "'ve", "'m", "'ll", "'d")
# More than most people's words.
_WORDS_KEPT = 2**14


def tokens_of(text: str) -> tuple[int, ...]:
    """The `CONTEXT` tokens of a text; a long one is cut, and still has its end.

    >>> tokens_of("red cup")[:5]
    (49406, 736, 1937, 49407, 0)

    Args:
        text: anything; case, kinds of quotes and numbers of spaces do not matter.

    Raises:
        InputError: not a text.
    """
    if not isinstance(text, str):
        raise InputError(f"expected a text, got {shown(text)}")
    tokens = [token for piece in _pieces(cleaned(text)) for token in _word(piece)]
    tokens = [_START, *tokens[: CONTEXT - 2], _END]
    return (*tokens, *[PADDING] * (CONTEXT - len(tokens)))


def _pieces(text: str) -> Iterator[str]:
    """Words, single digits, and runs of other signs; the endings of contractions are words."""
    start = 0
    while start < len(text):
        ending = next((one for one in _CONTRACTIONS if text.startswith(one, start)), None)
        end = start + (1 if ending is None else len(ending))
        kind = _kind(text[start])
        if ending is None and kind != "N":
            while end < len(text) and _kind(text[end]) == kind:
                end += 1
        if kind != " ":
            yield text[start:end]
        start = end


def _kind(sign: str) -> str:
    """L for letters, N for digits, a space, or "" for all others."""
    if sign.isspace():
        return " "
    category = unicodedata.category(sign)[0]
    return category if category in "LN" else ""


@lru_cache(_WORDS_KEPT)
def _word(word: str) -> tuple[int, ...]:
    """The tokens of a word: its bytes, of which the pair that comes first is joined each time."""
    ids, ranks = _vocabulary()
    alphabet = _alphabet()
    parts = [alphabet[byte] for byte in word.encode()]
    parts[-1] += _WORD_END
    while len(parts) > 1:
        rank, pair = min((ranks.get(pair, len(ranks)), pair) for pair in pairwise(parts))
        if rank == len(ranks):
            break
        joined: list[str] = []
        for part in parts:
            # Not twice the same part: what was joined is longer than the first of the pair.
            if joined and (joined[-1], part) == pair:
                joined[-1] += part
            else:
                joined.append(part)
        parts = joined
    return tuple(ids[part] for part in parts)


@cache
def _alphabet() -> list[str]:
    """A visible sign for each byte: itself if it is one in Latin-1, else one from 256 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in visible]
    signs = {byte: chr(byte) for byte in visible}
    signs |= {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [signs[byte] for byte in range(256)]


@cache
def _vocabulary() -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Parts of words -> tokens; pairs -> their order."""
    text = gzip.decompress(Path(__file__).with_name("merges.txt.gz").read_bytes()).decode()
    pairs = [(left, right) for left, right in (line.split() for line in text.splitlines())]
    signs = sorted(_alphabet(), key=lambda sign: (ord(sign) >= 256, ord(sign)))
    parts = [*signs, *(sign + _WORD_END for sign in signs), *(a + b for a, b in pairs)]
    return {part: i for i, part in enumerate(parts)}, {pair: i for i, pair in enumerate(pairs)}
