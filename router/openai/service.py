"""The pages: each reads what is asked, has our own service do it, and tells what came of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

import grpc
from rheostat.v1 import answer_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from router.access.gate import Gate
from router.access.principal import acting_for
from router.errors import UnknownPlan
from router.openai import failures, telling
from router.openai.asking import ChatRequest, CompletionRequest
from router.openai.document import document
from router.openai.profiles import OWN, KnobSettings
from router.openai.wire import DONE, ChatForm, Form, TextForm, event, query_to_pb, trace_of
from router.web.asking import Metadata, json_body, metadata_of
from router.web.presence import while_there
from router.web.refusal import error_from

_ASK = "rheostat.v1.RouterService/AnswerQuery"


class Pages:
    """What is served; `plans` gives the ids of those on offer now. The service behind `stub` decides who may, and does the rest."""

    def __init__(self, stub: RouterServiceStub, gate: Gate, profiles: Mapping[str, KnobSettings], plans: Callable[[], Iterable[str]]) -> None:
        self._stub, self._gate, self._profiles, self._plans = stub, gate, profiles, plans

    def routes(self) -> list[Route]:
        """All pages."""
        return [
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/completions", self.complete, methods=["POST"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/v1/models/{model}", self.model, methods=["GET"]),
            Route("/openapi.json", self.document, methods=["GET"]),
        ]

    async def chat(self, request: Request) -> Response:
        """A conversation."""
        asked = ChatRequest.model_validate_json(await json_body(request))
        return await self._answered(request, asked, ChatForm(asked))

    async def complete(self, request: Request) -> Response:
        """A prompt."""
        asked = CompletionRequest.model_validate_json(await json_body(request))
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
        self._gate.admit(_ASK, _Call(metadata_of(request)))
        acting_for("")

    async def _answered(self, request: Request, asked: ChatRequest | CompletionRequest, form: Form) -> Response:
        metadata, query = metadata_of(request), query_to_pb(asked, self._profiles)
        call = self._stub.AnswerQuery(query, metadata=metadata, timeout=asked.rheostat.deadline)
        try:
            if asked.stream:
                first = await while_there(request, _next(call))
                return StreamingResponse(self._events(call, first, form, self._tracer(asked, metadata)), media_type="text/event-stream")
            final = await while_there(request, _final(call))
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
            yield event(failures.fault_of(error_from(failure)))
        finally:
            call.cancel()

    def _tracer(self, asked: ChatRequest | CompletionRequest, metadata: Metadata) -> "_Traced":
        async def traced(decision_id: str) -> dict[str, Any] | None:
            if not asked.rheostat.trace:
                return None
            wanted = router_service_pb2.ExplainDecisionRequest(decision_id=decision_id, tenant=asked.rheostat.tenant)
            return trace_of(await self._stub.ExplainDecision(wanted, metadata=metadata))

        return traced


_Traced = Callable[[str], Awaitable[dict[str, Any] | None]]


class _Call:
    """A request, as the gate looks at calls: its certificate, if there is one, says nothing here."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {}


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
