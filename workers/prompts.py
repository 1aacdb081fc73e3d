"""Prompts: what a model is given for a call."""

from collections.abc import Mapping
from typing import cast, get_args

from router.errors import InvalidQuery
from router.types import Call
from workers.reasoner.prompt import Skill, prompt


def bundled(call: Call) -> str:
    """In the bundled reasoners' format, which holds one question: the last thing the user said."""
    if call.skill not in get_args(Skill):
        raise InvalidQuery(f"no skill {call.skill!r}; known: {', '.join(get_args(Skill))}", skill=call.skill)
    return prompt(cast(Skill, call.skill), next((one.content for one in reversed(call.messages) if one.role == "user"), ""))


def templated(call: Call, templates: Mapping[str, str]) -> str:
    """The template of the call's skill with the conversation in place of `{conversation}`; a lone message stands there bare."""
    if call.skill not in templates:
        raise InvalidQuery(f"no template for skill {call.skill!r}; known: {', '.join(sorted(templates))}", skill=call.skill)
    turns = [f"{one.role.title()}: {one.content}" for one in call.messages] if len(call.messages) > 1 else [one.content for one in call.messages]
    return templates[call.skill].replace("{conversation}", "\n\n".join(turns))
