"""Recipes that leave training images out: which recipe each varies, and which it is compared with."""

from collections.abc import Iterable

from robustlens.report.context import Context

RANDOM = "random"  # the group of `leave_out` that says nothing of an image


def whole(recipe: str, recipes: Iterable[str], context: Context) -> str:
    """The recipe that one which leaves images out changes, if it is among `recipes`; of any other, itself."""
    found = _whole(recipe, context)
    return found if found in recipes else recipe


def baseline(recipe: str, recipes: Iterable[str], context: Context) -> str | None:
    """What a recipe is compared with: the one that leaves random images out, because fewer images alone make a
    difference; where there is none, the whole one. None for what others are compared with."""
    own = _whole(recipe, context)
    at_random = [name for name in recipes if _leaves_out(name, context) == RANDOM and context.changes(name) == own]
    compared = at_random[0] if at_random else own
    return compared if compared != recipe else None


def _whole(recipe: str, context: Context) -> str:
    changed = context.changes(recipe)
    return changed if changed and _leaves_out(recipe, context) else recipe


def _leaves_out(recipe: str, context: Context) -> str:
    return context.recipes[recipe].leaves_out if recipe in context.recipes else ""
