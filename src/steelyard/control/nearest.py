"""What was probably meant: the known words that are nearest to one that is not known."""

import difflib
from collections.abc import Iterable

# difflib's own measure of likeness: `polcy` and `policy` have 0.91, `rr` and `round_robin` 0.31.
LIKENESS = 0.6
# A list of more words than this is longer than the question.
SHOWN = 12


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """`did you mean policy?`, else the words there are, or None when there are none."""
    words = list(dict.fromkeys(known))
    likely = difflib.get_close_matches(word.lower(), words, n=1, cutoff=LIKENESS)
    if likely:
        return f"did you mean {likely[0]}?"
    if not words:
        return None
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return f"known: {', '.join(words[:SHOWN])}{more}"
