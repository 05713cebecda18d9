"""What errors suggest to somebody who has mistyped a name."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str], introduction: str = "there are") -> str:
    """Return the end of a sentence: the name that was probably meant, or the names that there are."""
    names = list(known)
    close = get_close_matches(word, names, n=1)
    return f'did you mean "{close[0]}"?' if close else f"{introduction}: {', '.join(names) or 'none'}"
