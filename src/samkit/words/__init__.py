"""Words as numbers, for the text encoder of SAM 3 (2511.16719).

- `cleaning`: texts in the form that the vocabulary was made for
- `tokens`: texts to tokens, by byte pairs (1508.07909)
- `merges.txt.gz`: the vocabulary, which is CLIP's (2103.00020; MIT, see LICENSE.CLIP)
"""

from samkit.words.tokens import CONTEXT, PADDING, VOCABULARY, tokens_of

__all__ = ["CONTEXT", "PADDING", "VOCABULARY", "tokens_of"]
