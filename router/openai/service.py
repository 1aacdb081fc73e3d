"""The pages: each reads what is asked, has our own service do it, and tells what came of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import grpc
from pydantic import ValidationError
from rheostat.v1 import answer_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from router.access.gate import Gate
from router.access.principal import acting_for
from router.errors import InvalidCredentials, RouterError, UnknownPlan
from router.openai import failures, telling
from router.openai.asking import ChatRequest, CompletionRequest
from router.openai.document import document
from router.openai.profiles import OWN, KnobSettings
from router.openai.wire import DONE, ChatForm, Form, TextForm, event, query_to_pb, trace_of

_MOST_BYTES = 4 * 2**20  # of a request, as gRPC's door has it
_ASK = "rheostat.v1.RouterService/AnswerQuery"
_PASSED_ON = ("authorization", "traceparent", "tracestate")
_Kind = TypeVar("_Kind", ChatRequest, CompletionRequest)
_Done = TypeVar("_Done")
_Metadata = tuple[tuple[str, str], ...]


class ClientGone(Exception):
    """Nobody is waiting any more."""


class Pages:
    """What is served; `plans` gives the ids of those on offer now. The service behind `stub` decides who may, and does the rest."""

    def __init__(
        self, stub: RouterServiceStub, gate: Gate, profiles: Mapping[str, KnobSettings], plans: Callable[[], Iterable[str]], *, hosts: frozenset[str]
    ) -> None:
        self._stub, self._gate, self._profiles, self._plans, self._hosts = stub, gate, profiles, plans, hosts

    def application(self) -> Starlette:
        """All pages, each error in the one shape."""
        routes = [
            Route("/v1/chat/completions", self._guarded(self.chat), methods=["POST"]),
            Route("/v1/completions", self._guarded(self.complete), methods=["POST"]),
            Route("/v1/models", self._guarded(self.models), methods=["GET"]),
            Route("/v1/models/{model}", self._guarded(self.model), methods=["GET"]),
            Route("/openapi.json", self.document, methods=["GET"]),
        ]
        handlers: dict[Any, Any] = {
            grpc.aio.AioRpcError: failures.on_rpc_error,
            RouterError: failures.on_router_error,
            ValidationError: failures.on_invalid,
            HTTPException: failures.on_http_error,
            Exception: failures.on_bug,
        }
        return Starlette(routes=routes, exception_handlers=handlers)

    async def chat(self, request: Request) -> Response:
        """A conversation."""
        asked = await _read(ChatRequest, request)
        return await self._answered(request, asked, ChatForm(asked))

    async def complete(self, request: Request) -> Response:
        """A prompt."""
        asked = await _read(CompletionRequest, request)
        return await self._answered(request, asked, TextForm(asked))

    async def models(self, request: Request) -> Response:
        """Whatever may be named as a model."""
        self._admit(request)
        return JSONResponse(telling.ModelList(data=list(self._named().values())).model_dump())

    async def model(self, request: Request) -> Response:
        """One of them."""
        self._admit(request)
        if not (found := self._named().get(name := request.path_params["model"])):
            raise UnknownPlan(f"there is no model {name!r}: see /v1/models", field="model")
        return JSONResponse(found.model_dump())

    async def document(self, _: Request) -> Response:
        """What is served, as OpenAPI has it."""
        return JSONResponse(document())

    def _named(self) -> dict[str, telling.Model]:
        profiles = {name: telling.Model(id=name, kind="profile") for name in (OWN, *self._profiles)}
        return profiles | {name: telling.Model(id=name, kind="plan") for name in self._plans()}

    def _admit(self, request: Request) -> None:
        """Models are for those who may ask."""
        self._gate.admit(_ASK, _Call(_metadata(request)))
        acting_for("")

    def _guarded(self, page: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """A page that other web sites cannot have a browser ask for, by a name of theirs that leads here."""

        async def guarded(request: Request) -> Response:
            host = request.headers.get("host", "").rpartition(":")
            if self._hosts and (host[0] if host[2].isdigit() else "".join(host)) not in self._hosts:
                raise HTTPException(403, "without credentials this service answers to the names of its own machine only")
            try:
                return await page(request)
            except ClientGone:
                return Response(status_code=failures.CLIENT_GONE)

        return guarded

    async def _answered(self, request: Request, asked: ChatRequest | CompletionRequest, form: Form) -> Response:
        metadata, query = _metadata(request), query_to_pb(asked, self._profiles)
        call = self._stub.AnswerQuery(query, metadata=metadata, timeout=asked.rheostat.deadline)
        try:
            if asked.stream:
                first = await _while_there(request, _next(call))
                return StreamingResponse(self._events(call, first, form, self._tracer(asked, metadata)), media_type="text/event-stream")
            final = await _while_there(request, _final(call))
        except BaseException:
            call.cancel()
            raise
        told = form.whole(final, await self._tracer(asked, metadata)(final.decision_id))
        return Response(told.model_dump_json(), media_type="application/json", headers={"x-request-id": final.decision_id})

    async def _events(self, call: Any, first: Any, form: Form, traced: "_Traced") -> AsyncIterator[bytes]:  # noqa: ANN401 - gRPC's call
        """However it ends, so does the call: a client that goes stops all that was ordered for it."""
        try:
            for one in form.began(_decision_id(first)):
                yield event(one)
            told: router_service_pb2.AnswerQueryResponse | None = first
            while told is not None:
                if told.HasField("final"):
                    for one in form.ended(told.final, await traced(told.final.decision_id)):
                        yield event(one)
                else:
                    yield event(form.stage(told.stage))
                told = await _next(call)
            yield DONE
        except grpc.aio.AioRpcError as failure:
            yield event(failures.fault_of(failures.error_from(failure)))
        finally:
            call.cancel()

    def _tracer(self, asked: ChatRequest | CompletionRequest, metadata: _Metadata) -> "_Traced":
        async def traced(decision_id: str) -> dict[str, Any] | None:
            if not asked.rheostat.trace:
                return None
            wanted = router_service_pb2.ExplainDecisionRequest(decision_id=decision_id, tenant=asked.rheostat.tenant)
            return trace_of(await self._stub.ExplainDecision(wanted, metadata=metadata))

        return traced


_Traced = Callable[[str], Awaitable[dict[str, Any] | None]]


class _Call:
    """A request, as the gate looks at calls: its certificate, if there is one, says nothing here."""

    def __init__(self, metadata: _Metadata) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> _Metadata:
        return self._metadata

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {}


def _metadata(request: Request) -> _Metadata:
    """What the service is told of who asks, and of the trace that the request belongs to; raises InvalidCredentials for what gRPC cannot carry."""
    found = tuple((name, value) for name in _PASSED_ON for value in request.headers.getlist(name))
    if any(not (value.isascii() and value.isprintable()) for _, value in found):
        raise InvalidCredentials
    return found


async def _read(kind: type[_Kind], request: Request) -> _Kind:
    """The body; raises HTTPException for one that is no JSON or too long, and ValidationError.

    Pages of other sites can have a browser send a body of any other kind without asking us first.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send JSON, with `content-type: application/json`")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            raise HTTPException(413, f"a request has at most {_MOST_BYTES} bytes")
    return kind.model_validate_json(bytes(body))


async def _next(call: Any) -> router_service_pb2.AnswerQueryResponse | None:  # noqa: ANN401 - gRPC's call
    told = await call.read()
    return None if told is grpc.aio.EOF else told


async def _final(call: Any) -> answer_pb2.FinalAnswer:  # noqa: ANN401 - gRPC's call
    final = answer_pb2.FinalAnswer()
    while (told := await _next(call)) is not None:
        final = told.final
    return final


def _decision_id(told: router_service_pb2.AnswerQueryResponse) -> str:
    return told.final.decision_id or told.stage.decision_id


async def _while_there(request: Request, work: Awaitable[_Done]) -> _Done:
    """What the work gives; raises ClientGone, and ends the work, where the client goes first."""
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        gone.cancel()
        working.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
