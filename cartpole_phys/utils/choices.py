"""Suggestions in errors about unknown names: the known names, or the most similar ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import SequenceMatcher

from cartpole_phys.utils.errors import InputError

SIMILAR = 0.65  # minimum similarity ratio of a suggestion
AS_SIMILAR = 0.05  # a second suggestion may be this much less similar than the first
MOST = 2  # suggestions
LONG_LIST = 20  # names; an error lists more than this only if none is similar
LONGEST = 200  # compared characters of the given name: comparison takes quadratic time
NO_TITLES: Mapping[str, str] = {}


def nearest(
    given: object, known: Collection[str], titles: Mapping[str, str] = NO_TITLES, similar: float = SIMILAR
) -> list[str]:
    """The one or two known names most similar to a given one, most similar first; empty if none is similar.

    Args:
        given: the name from the user; case-insensitive.
        known: the known names.
        titles: alternative names of some of them, matched in full or by their initials.
        similar: minimum similarity ratio, from 0 to 1.
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
    """The alternatives to an unknown name: all known names, or the nearest ones of a long list.

    Args:
        given: the name from the user.
        known: the known names.
        others: further alternatives, such as `` or MODULE:FACTORY``.
        titles: alternative names of some of them, see ``nearest``.

    Returns:
        the end of an error message.
    """
    meant = " or ".join(nearest(given, known, titles))
    if meant and len(known) > LONG_LIST:
        return f"did you mean {meant}?"
    return f"choose from {', '.join(known)}{others}." + (f" Did you mean {meant}?" if meant else "")


def unknown(what: str, given: object, known: Collection[str], others: str = "") -> InputError:
    """The error for a name that is not in a list; see ``choices``."""
    return InputError(f"Unknown {what} {given!r}; {choices(given, known, others)}")
