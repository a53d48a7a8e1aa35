"""What an error says after a name that is not in a list: the nearest ones that are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import SequenceMatcher

from cartpole_phys.utils.errors import InputError

SIMILAR = 0.65  # share of matching characters from which on a name may have been meant
AS_SIMILAR = 0.05  # below the most similar name: still suggested
MOST = 2  # suggestions
LONG_LIST = 20  # names, which an error lists only where none is similar
LONGEST = 200  # characters of what was given that are compared, which takes quadratic time
NO_TITLES: Mapping[str, str] = {}


def nearest(
    given: object, known: Collection[str], titles: Mapping[str, str] = NO_TITLES, similar: float = SIMILAR
) -> list[str]:
    """The one or two known names most similar to a given one, the most similar first; none if none is.

    Args:
        given: what the user named; capitals do not matter.
        known: the names that there are.
        titles: other names of some of them, which may be given in full or by their initials.
        similar: share of matching characters, from 0 to 1, from which on a name counts as similar.
    """
    if not isinstance(given, str):
        return []
    matcher = SequenceMatcher(b=given[:LONGEST].casefold())
    shares = {}
    for name in known:
        forms = [name, *_forms(titles[name])] if name in titles else [name]
        shares[name] = max(_share(matcher, form.casefold()) for form in forms)
    best = max(shares.values(), default=0.0)
    meant = [name for name in known if shares[name] >= max(similar, best - AS_SIMILAR)]
    return sorted(meant, key=lambda name: -shares[name])[:MOST]


def _forms(title: str) -> tuple[str, str]:
    """A title, and its initials."""
    return title, "".join(word[0] for word in title.replace("-", " ").split())


def _share(matcher: SequenceMatcher[str], text: str) -> float:
    matcher.set_seq1(text)
    return matcher.ratio()


def choices(
    given: object, known: Collection[str], others: str = "", titles: Mapping[str, str] = NO_TITLES
) -> str:
    """What a user may choose instead of an unknown name: all names, or of a long list the nearest ones.

    Args:
        given: what the user named.
        known: the names that there are.
        others: what else may be chosen, such as `` or MODULE:FACTORY``.
        titles: other names of some of them, see ``nearest``.

    Returns:
        the end of an error's message.
    """
    meant = " or ".join(nearest(given, known, titles))
    if meant and len(known) > LONG_LIST:
        return f"did you mean {meant}?"
    return f"choose from {', '.join(known)}{others}." + (f" Did you mean {meant}?" if meant else "")


def unknown(what: str, given: object, known: Collection[str], others: str = "") -> InputError:
    """The error for a name that is not in a list; see ``choices``."""
    return InputError(f"Unknown {what} {given!r}; {choices(given, known, others)}")
