"""What is secret, blotted out of text that others may read: the last resort, where a caller puts a secret into a field that is told on."""

import re
from collections.abc import MutableMapping
from typing import Any

_SECRETS = re.compile(
    r"(?P<key>rheo_[^_\s]{0,64}_)[0-9A-Za-z_-]{8,}"  # API keys, of which the id may be seen
    r"|(?P<token>eyJ)[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]*)?"  # JSON Web Tokens
    r"|(?P<url>[a-z]{2,10}://[^\s/@:]*:)[^\s/@]+(?=@)"  # passwords in URLs
)


def masked(text: str) -> str:
    """The text with what looks like a secret replaced."""
    return _SECRETS.sub(lambda found: f"{next(filter(None, found.groups()))}***", text)


def redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor."""
    return {name: masked(value) if isinstance(value, str) else value for name, value in event.items()}
