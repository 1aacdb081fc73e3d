"""Messages of any kind, built from its descriptor: sensible, at the edges, wild, and as bytes that were tampered with."""

from collections.abc import Callable
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
_SENSIBLE = {
    "content": ("Tom has 5 apples. Then Tom buys 3 more apples. How many apples does Tom have now?", "What is 2 + 2?"),
    "tenant": ("", "default", "acme"),
    "plan": ("nano-direct", "small-vote"),
    "plans": ("nano-direct", "small-vote"),
    "policy": ("", "fixed", "allocator"),
    "knob": ("value", "exploration"),
    "pool": ("nano", "small"),
    "strategy": ("direct", "self_consistency"),
}


def messages(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    """Of this kind, each either sensible all over, or wild here and there, or all over."""
    return st.sampled_from((0.0, 0.0, 0.15, 1.0)).flatmap(lambda wild: _built(descriptor, wild, DEPTH))


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


@st.composite
def _built(draw: Callable[..., Any], descriptor: Descriptor, wild: float, depth: int) -> Message:
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if field.message_type and not depth:
            continue
        if draw(st.sampled_from((True, True, False))):
            _fill(draw, message, field, wild, depth)
    return message


def _fill(draw: Callable[..., Any], message: Message, field: FieldDescriptor, wild: float, depth: int) -> None:
    target = getattr(message, field.name)
    if field.message_type and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        for _ in range(draw(st.integers(0, 3))):
            if value.message_type:
                target[draw(_scalar(key, wild))].CopyFrom(draw(_built(value.message_type, wild, depth - 1)))
            else:
                target[draw(_scalar(key, wild))] = draw(_scalar(value, wild))
    elif field.is_repeated:
        one = _built(field.message_type, wild, depth - 1) if field.message_type else _scalar(field, wild)
        target.extend(draw(st.lists(one, max_size=draw(st.sampled_from((1, 1, 3, 40 if wild else 1))))))
    elif field.message_type:
        target.CopyFrom(draw(_built(field.message_type, wild, depth - 1)))
    else:
        setattr(message, field.name, draw(_scalar(field, wild)))


def _scalar(field: FieldDescriptor, wild: float) -> st.SearchStrategy[Any]:
    sensible, odd = _kinds(field)
    if not wild:
        return sensible
    return odd if wild == 1.0 else st.floats(0, 1).flatmap(lambda chance: odd if chance < wild else sensible)


def _kinds(field: FieldDescriptor) -> tuple[st.SearchStrategy[Any], st.SearchStrategy[Any]]:
    """Sensible values of a field, and others."""
    if field.enum_type:
        return st.sampled_from([value.number for value in field.enum_type.values]), st.integers(*_SIGNED)
    if field.type in _INTEGERS:
        low, high = _INTEGERS[field.type]
        return st.integers(1, 4), st.sampled_from((low, high, 0, high // 2)) | st.integers(low, high)
    if field.type in (_F.TYPE_DOUBLE, _F.TYPE_FLOAT):
        return st.floats(0, 1), st.floats(width=32 if field.type == _F.TYPE_FLOAT else 64) | st.sampled_from(
            (-1.0, 1e300 if field.type == _F.TYPE_DOUBLE else 3e38)
        )
    if field.type == _F.TYPE_BOOL:
        return st.booleans(), st.booleans()
    if field.type == _F.TYPE_BYTES:
        return st.binary(max_size=8), st.binary(max_size=200)
    return st.sampled_from(_SENSIBLE.get(field.name, ("a", "d"))), st.sampled_from(_ODD) | st.text(
        st.characters(exclude_categories=("Cs",)), max_size=80
    )
