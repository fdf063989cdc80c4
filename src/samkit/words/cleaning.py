"""Texts in the form that CLIP's vocabulary was made for."""

import html
import re
import unicodedata

__all__ = ["cleaned"]

_QUOTES = str.maketrans(
    {**dict.fromkeys("\u02bc\u2018\u2019\u201a\u201b", "'"), **dict.fromkeys("“”„‟", '"')}
)
# Letters that are one sign with another, and such as are as wide as Chinese ones, or half as wide.
_COMPATIBLE = re.compile(
    "[\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb06\u3000\uff01-\uffef]"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]")


def cleaned(text: str) -> str:
    """A text in lower case with single spaces, straight quotes and composed letters.

    HTML entities become what they stand for. Text that was decoded wrongly stays as it is.
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # lone surrogates
    text = html.unescape(html.unescape(text))
    text = _COMPATIBLE.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    text = unicodedata.normalize("NFC", _CONTROL.sub("", text.translate(_QUOTES)))
    return " ".join(text.split()).lower()
