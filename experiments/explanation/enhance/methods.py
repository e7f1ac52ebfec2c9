"""The saliency methods of `evaluate.py enhance`: those that it is about have fixed names, and fit the classifier."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast

from experiments.explanation.subject import Explained
from saliency import LIME, Enhanced, Gradient, GuidedBackprop, Random, SaliencyMethod

ENHANCED: Final = "enhanced_guided_backprop"
PLAIN: Final = "guided_backprop"
GRADIENT: Final = "gradient"
RANDOM: Final = "random"

ALWAYS: Final[Mapping[str, SaliencyMethod]] = {
    GRADIENT: Gradient(),
    PLAIN: GuidedBackprop(),
    ENHANCED: Enhanced(),
    RANDOM: Random(),
}
"""What the paper's figures need, whatever methods are given."""

_SAMPLES: Final = 150
"""Of LIME here, in place of its authors' 1000: a second or more for each map."""


def enhanced_of(every: Explained) -> Enhanced:
    """Return the enhanced method under study.

    Args:
        every: Whose methods are checked, see `with_methods`.
    """
    return cast("Enhanced", every.methods[ENHANCED])


def with_methods(every: Explained, *, given: bool) -> Explained:
    """Return it with the methods that the figures need, and with a quicker LIME where no methods were given.

    Raises:
        ValueError: If a method is not what its name says, or not defined for the classifier.
    """
    methods = {
        name: replace(method, samples=_SAMPLES) if isinstance(method, LIME) and not given else method
        for name, method in every.methods.items()
    }
    missing = {name: method for name, method in ALWAYS.items() if name not in methods}
    found = replace(every, methods={**methods, **missing})
    _check_names(found.methods)
    _check_defined(found)
    return found


def _check_names(methods: Mapping[str, SaliencyMethod]) -> None:
    """Refuse a method that is not what the tables say about its name."""
    for name, usual in ALWAYS.items():
        method = methods[name]
        other_base = isinstance(method, Enhanced) and not isinstance(method.base, GuidedBackprop)
        if not isinstance(method, type(usual)) or other_base:
            raise ValueError(_kept_for(name, method))


def _kept_for(name: str, method: SaliencyMethod) -> str:
    of_what = " of saliency.GuidedBackprop" if name == ENHANCED else ""
    kind = f"saliency.{type(ALWAYS[name]).__name__}{of_what}"
    return f"the name {name} is kept for {kind}, and was given to {method!r}: give that another name"


def _check_defined(every: Explained) -> None:
    """Refuse a method that is not defined for the classifier, by an image."""
    for name in (PLAIN, *every.methods):
        try:
            every.attributions(name, every.images[:1], about="on one image")
        except ValueError as error:
            reason, _, _ = str(error).partition(": ")
            if name in (PLAIN, ENHANCED):
                reason = f"enhance is about guided backpropagation, which is not defined for this classifier ({reason})"
                msg = f"{reason}: give a classifier with ReLUs by --classifier"
            else:
                msg = f"{name} is not defined for this classifier ({reason}): leave it out of --methods"
            raise ValueError(msg) from error
