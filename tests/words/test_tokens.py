"""Tokens are those of CLIP: what its publishers show, and what transformers' tokenizer gives."""

import gzip
import random
import unicodedata
from importlib.resources import files

import pytest
from transformers import CLIPTokenizer

from samkit.errors import InputError
from samkit.words import CONTEXT, VOCABULARY, tokens_of
from samkit.words.cleaning import cleaned

START, END = 49406, 49407


def content(text):
    """The tokens between start and end."""
    tokens = tokens_of(text)
    assert len(tokens) == CONTEXT
    assert tokens[0] == START
    end = tokens.index(END)
    assert set(tokens[end + 1 :]) <= {0}
    return list(tokens[1:end])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("a photo of a cat", [320, 1125, 539, 320, 2368]),
        ("a photo of a dog", [320, 1125, 539, 320, 1929]),
        ("hello world!", [3306, 1002, 256]),
        ("a diagram", [320, 22697]),
        ("", []),
        (" \n", []),
    ],
)
def test_tokens_that_are_known(text, tokens):
    assert content(text) == tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Red  CUP", "red cup"),
        ("\tred\ncup ", "red cup"),
        ("it’s", "it's"),
        ("“red” cup", '"red" cup'),
        ("cafe\u0301", "café"),
        ("cats &amp;amp; dogs", "cats & dogs"),
        ("ｒｅｄ\u3000ｃｕｐ", "red cup"),
        ("\ufb01sh", "fish"),
        ("red\x07 cup\ufeff", "red cup"),
        ("cup \ud800", "cup \ufffd"),
    ],
)
def test_texts_that_are_the_same(one, other):
    assert tokens_of(one) == tokens_of(other)


def test_a_long_text_is_cut_and_has_its_end():
    tokens = tokens_of("cat " * 100)
    assert tokens == (START, *[2368] * 30, END)
    assert tokens_of("cat " * 30) == tokens


@pytest.mark.parametrize("wrong", [None, b"cat", 3, ["cat"]])
def test_no_text(wrong):
    with pytest.raises(InputError, match="expected a text"):
        tokens_of(wrong)


@pytest.fixture(scope="module")
def theirs():
    merges = gzip.decompress((files("samkit.words") / "merges.txt.gz").read_bytes()).decode()
    pairs = [tuple(line.split(" ")) for line in merges.splitlines()]
    # Each byte has a sign; visible ones come first.
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    signs = [chr(byte) for byte in visible] + [chr(256 + i) for i in range(256 - len(visible))]
    parts = [*signs, *(sign + "</w>" for sign in signs), *("".join(pair) for pair in pairs)]
    parts += ["<|startoftext|>", "<|endoftext|>"]
    assert len(parts) == VOCABULARY
    return CLIPTokenizer(vocab={part: i for i, part in enumerate(parts)}, merges=pairs)


WORDS = (
    "a red cup the left-hand dog's people wearing hats we've I'll don't rock'n'roll light café "
    "naïve Straße ÅNGSTRÖM İstanbul 日本語 한국어 Привет ελληνικά مرحبا हिन्दी 100% 3.14 C++ #tag "
    "@me a_b -- !'s ½ ² Ⅷ ❤️ 🇩🇪 😀😀 👩\u200d👧 x\u200by"
)


def random_texts(count):
    rng, words = random.Random(0), WORDS.split()

    def word():
        if rng.random() < 0.6:
            return rng.choice(words)
        starts = ((32, 127), (0xA0, 0x250), (0x370, 0x600), (0x2000, 0x2100), (0x1F300, 0x1F6FF))
        signs = (chr(rng.randrange(*rng.choice(starts))) for _ in range(rng.randrange(1, 8)))
        return "".join(sign for sign in signs if unicodedata.category(sign) != "Cn")

    for _ in range(count):
        yield rng.choice([" ", "", "  "]).join(word() for _ in range(rng.choice([1, 2, 3, 5, 40])))


def test_random_texts_of_many_scripts(theirs):
    for text in random_texts(3000):
        expected = theirs(cleaned(text)).input_ids
        cut = [*expected[: CONTEXT - 1], END]
        assert content(text) == cut[1 : cut.index(END)], text
