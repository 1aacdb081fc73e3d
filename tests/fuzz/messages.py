"""Messages of any kind, built from its descriptor: sensible, at the edges, wild, and as bytes that were tampered with."""

from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

DEPTH = 4
_SIGNED, _LONG, _UNSIGNED, _ULONG = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1), (0, 2**32 - 1), (0, 2**64 - 1)
_F = FieldDescriptor
_INTEGERS = {
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), _SIGNED),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), _LONG),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), _UNSIGNED),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), _ULONG),
}
_ODD = (
    "",
    " ",
    "\0",
    "\u200b",
    "\u202eabc",
    "e\u0301",
    "\U0001f9ee" * 40,
    "x" * 65,
    "x" * 20_000,
    "../../etc/passwd",
    "{tenant}",
    "%s%n",
    "a:b*c?",
    "NaN",
    "-1",
)
_LETTERS = st.characters(exclude_categories=("Cs",))
_MOST, _SOME = st.sampled_from((True,) * 9 + (False,)), st.sampled_from((True, False, False))
_FEW, _MANY = st.sampled_from((1, 1, 1, 2)), st.sampled_from((0, 1, 1, 2, 3, 40))
_SENSIBLE: dict[str, tuple[Any, ...]] = {
    "content": ("Tom has 5 apples. Then Tom buys 3 more apples. How many apples does Tom have now?", "What is 2 + 2?"),
    "tenant": ("", "default", "acme"),
    "plan": ("nano-direct", "small-vote"),
    "plans": ("nano-direct", "small-vote"),
    "policy": ("", "fixed", "allocator"),
    "knob": ("value", "exploration"),
    "pool": ("nano", "small"),
    "strategy": ("direct", "self_consistency"),
    "role": (2, 2, 2, 3),
    "risk": (1.0,),
    "seconds": (1.0, 30.0),
    "decisions": (100, 200),
    "tokens": (50_000,),
    "cost_microdollars": (50_000, 10**6),
    "samples": (20,),
    "calls": (40,),
}


def sensible(**values: Any) -> None:
    """More values that make sense, by the names of fields."""
    _SENSIBLE.update(values)
    _scalar.cache_clear()
    _messages.cache_clear()


def messages(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    """Of this kind, each either sensible all over, or wild here and there, or all over."""
    return st.one_of(*(_messages(descriptor, wild, DEPTH) for wild in (0.0, 0.0, 0.2, 1.0)))


def bodies(descriptor: Descriptor) -> st.SearchStrategy[bytes]:
    """Serialised messages, some with fields that nobody knows, some tampered with, and bytes that never were a message."""
    whole = messages(descriptor).map(lambda message: message.SerializeToString())
    unknown = st.builds(lambda body, extra: body + b"\xc2\x3e" + bytes([len(extra)]) + extra, whole, st.binary(max_size=20))
    return st.one_of(
        whole,
        whole,
        unknown,
        st.builds(_tampered, whole, st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=4)),
        st.binary(max_size=60),
    )


def _tampered(body: bytes, changes: list[tuple[int, int]]) -> bytes:
    """With some bytes changed, or cut off where nothing is."""
    changed = bytearray(body)
    for place, value in changes:
        if changed:
            changed[place % len(changed)] = value
    return bytes(changed) if changes else body[: len(body) // 2]


@cache
def _messages(descriptor: Descriptor, wild: float, depth: int) -> st.SearchStrategy[Message]:
    return _built(descriptor, wild, depth)


@st.composite
def _built(draw: Callable[..., Any], descriptor: Descriptor, wild: float, depth: int) -> Message:
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if field.message_type and not depth:
            continue
        if draw(_MOST if not wild and (field.message_type or field.enum_type or field.type == _F.TYPE_STRING) else _SOME):
            _fill(draw, message, field, wild, depth)
    return message


def _fill(draw: Callable[..., Any], message: Message, field: FieldDescriptor, wild: float, depth: int) -> None:
    target = getattr(message, field.name)
    if field.message_type and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        for _ in range(draw(_FEW)):
            if value.message_type:
                target[draw(_scalar(key, wild))].CopyFrom(draw(_messages(value.message_type, wild, depth - 1)))
            else:
                target[draw(_scalar(key, wild))] = draw(_scalar(value, wild))
    elif field.is_repeated:
        one = _messages(field.message_type, wild, depth - 1) if field.message_type else _scalar(field, wild)
        target.extend(draw(one) for _ in range(draw(_MANY if wild else _FEW)))
    elif field.message_type:
        target.CopyFrom(draw(_messages(field.message_type, wild, depth - 1)))
    else:
        setattr(message, field.name, draw(_scalar(field, wild)))


@cache
def _scalar(field: FieldDescriptor, wild: float) -> st.SearchStrategy[Any]:
    sensible, odd = _kinds(field)
    if not wild:
        return sensible
    return odd if wild == 1.0 else st.one_of(*(sensible,) * 5, odd)


def _kinds(field: FieldDescriptor) -> tuple[st.SearchStrategy[Any], st.SearchStrategy[Any]]:
    """Sensible values of a field, and others."""
    if field.enum_type:
        numbers = [value.number for value in field.enum_type.values]
        return st.sampled_from(_SENSIBLE.get(field.name, numbers[1:3] or numbers)), st.integers(*_SIGNED) | st.sampled_from(numbers)
    if field.type in _INTEGERS:
        low, high = _INTEGERS[field.type]
        return _named(field, int, (1, 2, 3)), st.sampled_from((low, high, 0, high // 2)) | st.integers(low, high)
    if field.type in (_F.TYPE_DOUBLE, _F.TYPE_FLOAT):
        single = field.type == _F.TYPE_FLOAT
        return _named(field, float, (0.0, 0.5, 1.0)), st.floats(width=32 if single else 64) | st.sampled_from((-1.0, 3e38 if single else 1e300))
    if field.type == _F.TYPE_BOOL:
        return st.booleans(), st.booleans()
    if field.type == _F.TYPE_BYTES:
        return st.binary(max_size=8), st.binary(max_size=200)
    return _named(field, str, ("a", "d")), st.sampled_from(_ODD) | st.text(_LETTERS, max_size=80)


def _named(field: FieldDescriptor, kind: type, otherwise: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """What makes sense by the field's name, where that is of its kind."""
    named = tuple(value for value in _SENSIBLE.get(field.name, ()) if isinstance(value, kind))
    return st.sampled_from(named or otherwise)
