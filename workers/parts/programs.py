"""Programs as models write them."""

import re

_FENCE = re.compile(r"```(?:python|py)?\s*\n(.*?)(?:```|\Z)", re.DOTALL)


def source(text: str) -> str:
    """The program in a text: what stands in its last fence, or all of it."""
    fenced = _FENCE.findall(text)
    return fenced[-1] if fenced else text
