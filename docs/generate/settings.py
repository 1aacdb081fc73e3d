"""Every setting, from the settings themselves."""

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.generate.markdown import MADE, table
from router.settings import Choice, Settings

_HEAD = """# Settings

Environment variables come before the file that `RHEOSTAT_CONFIG` names, the file before these defaults. A variable has the setting's name in
capitals, with `RHEOSTAT_` in front and two underscores for each dot: `RHEOSTAT_SERVER__ADDRESS` is `server.address`. `rheostat config show` prints
what is in force, `rheostat config check FILE` reads a file without starting anything. How they go together: [for operators](../operators.md).

"""

_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def page() -> str:
    """A table for the settings, and one for each of their sections."""
    sections: dict[type[BaseModel], str] = {}
    text = table(("setting", "type", "default", "what it is"), _rows(Settings, sections))
    done: set[type[BaseModel]] = set()
    while left := [one for one in sections if one not in done]:
        section = left[0]
        done.add(section)
        about = " ".join((section.__doc__ or "").split())
        text += f"## {_named(section)}\n\n{about}\n\n" + table(("setting", "type", "default", "what it is"), _rows(section, sections))
    return MADE + _HEAD + text


def _named(section: type[BaseModel]) -> str:
    """`PoolSettings` is a pool."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", section.__name__.removesuffix("Settings")).lower()


def _rows(model: type[BaseModel], sections: dict[type[BaseModel], str]) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        described = field.description or next((one.__doc__ for one in _sections(field.annotation)), None)
        if not described:
            raise LookupError(f"{model.__name__}.{name}: nobody has said what it is")
        yield f"`{name}`", _kind(field, sections), _default(field), f"{described}{_bounds(field)}"


def _kind(field: FieldInfo, sections: dict[type[BaseModel], str]) -> str:
    """Its type, linked where it is a section."""
    found = list(_sections(field.annotation))
    for one in found:
        sections.setdefault(one, "")
    linked = ", ".join(f"[{_named(one)}](#{_named(one).replace(' ', '-')})" for one in found)
    plain = _plain(field.annotation)
    return linked if found and plain == found[0].__name__ else f"{linked} by name" if found and plain.startswith("dict") else linked or plain


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - whatever a type is
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in get_args(annotation):
        yield from _sections(one)


def _plain(annotation: Any) -> str:  # noqa: ANN401 - whatever a type is
    text = annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    text = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Za-z])", "", text)
    return text.replace(" | None", "").replace("NoneType", "none")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Choice):
        return f"`{value.name}`"
    if isinstance(value, BaseModel):
        return "see there"
    if isinstance(value, dict) and value:
        return ", ".join(f"`{name}`" for name in value)
    if field.default_factory and value:
        return "by the machine"
    return "none" if value in (None, "", (), {}) else f"`{getattr(value, 'value', value)}`"


def _bounds(field: FieldInfo) -> str:
    """What a value must keep to, where that is a matter of more or less."""
    rules = [(sign, getattr(rule, name, None)) for rule in field.metadata for name, sign in _SIGNS.items()]
    told = [f"{sign} {bound:,g}" for sign, bound in rules if isinstance(bound, int | float)]
    return f" *{', '.join(told)}*" if told else ""
