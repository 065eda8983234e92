"""Translate the error messages of Hydra and OmegaConf. Only this module knows their wording.

    words(error)    # "the environment variable 'HOME2' is not set"

Messages that are not in the table pass without the parts about Hydra itself: search paths, internal keys, links.
"""

from __future__ import annotations

import re

from omegaconf.errors import OmegaConfBaseException

NOISE = re.compile(r"\s*(See http|Error parsing override|full_key:|object_type=|Set the environment|Or add a second)")
RECIPE = "+optimize@recipes.NAME=lucid"

OF_CHOICES = (
    (
        r"Could not override '(optimize(?:/\w+)?@recipes\.([\w-]+)[^']*)'.*",
        r"there is no \1 to change; add the recipe first, with a '+': +optimize@recipes.\2=lucid",
    ),
    (
        r"Could not override '([^']*)'.*list use (\+\S+)",
        r"there is no choice for \1 yet; to add one write it with a '+': \2",
    ),
    (r"Could not delete from config\. '([^']*)' does not exist", r"there is no setting '\1' to leave out"),
    (r"Could not delete from config\. The value of '([^']*)' is .* and not .*", r"'\1' has another value"),
    (r"Could not delete '([^']*)'\. No match in the defaults list", r"there is no choice \1 to leave out"),
    (
        r"Could not append to config\. An item is already at '([^']*)'.*",
        r"\1 has a value already; write it without the '+'",
    ),
    (r"force-add of config groups is not supported: '\+\+(.*)'", r"write a choice with one '+' at most: +\1"),
    (
        r"Multiple values for (\S+)\. To override.*",
        r"\1 is chosen already; to choose another write it without the '+'",
    ),
    (
        r"Override (\S+) looks like a config group override, but config group '([^']*)' does not exist",
        r"\1: there is no group '\2' of choices",
    ),
)
NOT_WELL_FORMED = "its text is not well formed"
OF_TEXT = (
    (r"\w+ while evaluating '(.*?)': (.*)", r"in '\1': \2"),
    (r"Unknown function '([^']*)' Available: .*", r"there is no function '\1'; text with brackets needs quotes"),
    (r"missing EQUAL at .*", "there is no '='"),
    # Here the parser lists its own tokens, which help nobody who does not know its grammar.
    (
        r"(LexerNoViableAlt|extraneous input|mismatched input|no viable alternative|token recognition).*",
        NOT_WELL_FORMED,
    ),
)
OF_INTERPOLATIONS = (
    (r"Interpolation key '([^']*)' not found", r"it refers to \1, which is not there"),
    (r"Recursive interpolation detected", "it refers to itself"),
    (r"Unsupported interpolation type (\S+)", r"${\1:...} is not available: a run must mean the same tomorrow"),
    (r".*\"Environment variable '([^']*)' not found\"", r"the environment variable '\1' is not set"),
    (r"\w+ raised while resolving interpolation: (.*)", r"\1"),
)
MEANINGS = (*OF_CHOICES, *OF_TEXT, *OF_INTERPOLATIONS)
"""Patterns of foreign sentences with their translations. All are applied, in this order."""


def words(error: BaseException) -> str:
    """Return the message of a foreign error in our words."""
    cause = error.__cause__
    text = str(error).split("Config search path")[0]
    if isinstance(cause, OmegaConfBaseException):
        text = f"{text}: {cause}".replace("Error merging override ++", "").removeprefix(": ")
    lines = [line.strip() for line in text.splitlines() if not NOISE.match(line)]
    sentence = " ".join(line for line in lines if line).rstrip(".") or type(error).__name__
    for pattern, meaning in MEANINGS:
        sentence = re.sub(pattern, meaning, sentence)
    return sentence
