"""A stream of questions whose equivalences are known: one meaning in several wordings, and meanings that differ in one word."""

from collections.abc import Iterator

import numpy as np

OPENINGS = ("", "Please: ", "Hello. ", "Quick question: ", "I wonder: ", "Sorry to ask again. ")
WORDINGS = {
    "capital": ("What is the capital of {}?", "What is the capital city of {}?", "Which city is the capital of {}?", "Tell me the capital of {}."),
    "currency": ("What is the currency of {}?", "What currency is used in {}?", "Which currency does {} use?", "Tell me the currency of {}."),
    "language": ("What is the language of {}?", "Which language is spoken in {}?", "What do people speak in {}?", "Tell me the language of {}."),
    "anthem": ("What is the anthem of {}?", "What is the national anthem of {}?", "Which anthem is sung in {}?", "Tell me the anthem of {}."),
}
_PLACES = """
Niger Nigeria Guinea Mali Malawi Chad Gabon Ghana Kenya Zambia Angola Benin Togo Egypt Sudan Norway Sweden Finland Denmark Iceland Spain Portugal
France Italy Greece Turkey Poland Austria Hungary Romania Peru Chile Bolivia Brazil Ecuador Japan China India Nepal Bhutan Laos Vietnam
"""


def stream(count: int, seed: int, places: int = 20) -> Iterator[tuple[str, str]]:
    """Questions with what they mean; every meaning comes many times, mostly in other words."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(_PLACES.split(), places, replace=False)
    for _ in range(count):
        place, relation = str(rng.choice(chosen)), str(rng.choice(list(WORDINGS)))
        opening, wording = str(rng.choice(OPENINGS)), str(rng.choice(WORDINGS[relation]))
        yield opening + wording.format(place), f"{relation} of {place}"
