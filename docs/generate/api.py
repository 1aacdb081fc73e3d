"""The calls and messages of the contract, from the comments and rules that stand in it."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from buf.validate import validate_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodOptions,
    ServiceDescriptorProto,
)
from google.protobuf.message import Message

from docs.generate.markdown import MADE, cell, table

PROTO = Path(__file__).parents[2] / "proto"
PUBLIC = ("RouterService", "TenantService", "OperationsService", "AccessService", "WorkerService")  # in the order of readers
_SERVICE, _MESSAGE, _ENUM, _MEMBER = 6, 4, 5, 2  # field numbers in descriptor.proto, of which paths to comments are made
_IDEMPOTENCE = {MethodOptions.NO_SIDE_EFFECTS: "Changes nothing.", MethodOptions.IDEMPOTENT: "A repetition changes nothing."}
_BOUNDS = {"gt": ">", "gte": "≥", "lt": "<", "lte": "≤"}


def described() -> list[FileDescriptorProto]:
    """The files of the contract, with their comments."""
    files = sorted(path.relative_to(PROTO).as_posix() for path in PROTO.glob("rheostat/v1/*.proto"))
    with tempfile.NamedTemporaryFile() as out:
        command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--include_source_info", f"--descriptor_set_out={out.name}", *files]
        subprocess.run(command, cwd=PROTO, check=True)  # noqa: S603 - our own files
        return list(FileDescriptorSet.FromString(Path(out.name).read_bytes()).file)


class Comments:
    """What stands above the parts of one file."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._by_path = {tuple(one.path): one.leading_comments for one in file.source_code_info.location}

    def of(self, *path: int) -> str:
        """Raises KeyError for a part that nobody has described."""
        if text := " ".join(self._by_path.get(path, "").split()):
            return text
        raise KeyError(path)


def page() -> str:
    """All services, then all messages and enumerations, in the order of the alphabet."""
    services: dict[str, str] = {}
    types: dict[str, str] = {}
    for file in described():
        comments = Comments(file)
        services |= {one.name: _service(one, comments, index) for index, one in enumerate(file.service)}
        types |= {one.name: _message(one, comments, index) for index, one in enumerate(file.message_type)}
        types |= {one.name: _enum(one, comments, index) for index, one in enumerate(file.enum_type)}
    assert set(services) == set(PUBLIC), services.keys()
    return (
        f"{MADE}# The API\n\nThe package `rheostat.v1`, as `proto/rheostat/v1` has it. WorkerService is between routers and workers; "
        "all others are for callers. How to call: [for callers](../callers.md). What can be refused: [errors](errors.md).\n\n"
        + "".join(services[name] for name in PUBLIC)
        + "## Messages\n\n"
        + "".join(types[name] for name in sorted(types))
    )


def _service(service: ServiceDescriptorProto, comments: Comments, index: int) -> str:
    text = f"## {service.name}\n\n{comments.of(_SERVICE, index)}\n\n"
    rows = []
    for number, method in enumerate(service.method):
        told = comments.of(_SERVICE, index, _MEMBER, number)
        takes, gives = _linked(method.input_type), _linked(method.output_type)
        stream = "stream of " if method.server_streaming else ""
        asks = "stream of " if method.client_streaming else ""
        extra = _IDEMPOTENCE.get(method.options.idempotency_level, "")
        extra = "" if extra.lower().rstrip(".") in told.lower() else extra
        rows.append((f"`{method.name}`", f"{asks}{takes}", f"{stream}{gives}", f"{told} {extra}"))
    return text + table(("call", "takes", "gives", ""), rows)


def _message(message: DescriptorProto, comments: Comments, index: int) -> str:
    text = f"### {message.name}\n\n{comments.of(_MESSAGE, index)}\n\n"
    if not message.field:
        return text
    maps = {f".rheostat.v1.{message.name}.{one.name}": one for one in message.nested_type if one.options.map_entry}
    rows = [
        (f"`{field.name}`", _kind(field, message, maps), f"{comments.of(_MESSAGE, index, _MEMBER, number)} {_rules(field)}")
        for number, field in enumerate(message.field)
    ]
    return text + table(("field", "type", ""), rows)


def _enum(enum: EnumDescriptorProto, comments: Comments, index: int) -> str:
    rows = [(f"`{value.name}`", str(value.number), comments.of(_ENUM, index, _MEMBER, number)) for number, value in enumerate(enum.value)]
    return f"### {enum.name}\n\n{comments.of(_ENUM, index)}\n\n" + table(("value", "number", ""), rows)


def _kind(field: FieldDescriptorProto, message: DescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    if entry := maps.get(field.type_name):
        key, value = entry.field
        return f"map of {_name(key)} to {_name(value)}"
    if field.label == field.LABEL_REPEATED:
        return f"list of {_name(field)}"
    if field.proto3_optional:
        return f"{_name(field)}, may be absent"
    if field.HasField("oneof_index"):
        return f"{_name(field)}, one of `{message.oneof_decl[field.oneof_index].name}`"
    return _name(field)


def _name(field: FieldDescriptorProto) -> str:
    return _linked(field.type_name) if field.type_name else f"`{field.Type.Name(field.type).removeprefix('TYPE_').lower()}`"


def _linked(name: str) -> str:
    short = name.rpartition(".")[2]
    return f"[{short}](#{short.lower()})" if name.startswith(".rheostat.") else f"`{name.lstrip('.')}`"


def _rules(field: FieldDescriptorProto) -> str:
    """The validation rules, as people say them."""
    rules = validate_pb2.FieldRules.FromString(field.options.Extensions[validate_pb2.field].SerializeToString())  # type: ignore[index]
    told = [*(["required"] if rules.required else []), *_told(rules)]
    return f"*{', '.join(told)}*" if told else ""


def _told(rules: Message, of: str = "") -> Iterator[str]:
    for rule, value in rules.ListFields():
        name = rule.name
        if name in _BOUNDS:
            yield f"{of}{_BOUNDS[name]} {value:,g}" if isinstance(value, float) else f"{of}{_BOUNDS[name]} {value:,}"
        elif name in ("min_len", "max_len", "min_items", "max_items"):
            unit = "characters" if name.endswith("len") else "entries"
            yield f"{of}{'at least' if name.startswith('min') else 'at most'} {value:,} {unit}"
        elif name == "pattern":
            yield f"{of}matches `{cell(value)}`"
        elif name in ("finite", "unique", "defined_only"):
            yield f"{of}{ {'finite': 'finite', 'unique': 'no entry twice', 'defined_only': 'one of those below'}[name] }"
        elif name == "cel":
            yield from (f"{of}{one.message}" for one in value)
        elif isinstance(value, Message):
            yield from _told(value, "each " if name == "items" else of)
