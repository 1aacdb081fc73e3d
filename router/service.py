"""RouterService over the pipeline: whose knobs a call has, and how long it may take."""

import math
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

import grpc
from rheostat.v1 import evaluation_pb2, query_pb2
from rheostat.v1 import router_service_pb2 as pb
from rheostat.v1.router_service_pb2_grpc import RouterServiceServicer
from structlog.contextvars import bind_contextvars

from router import wire
from router.access.principal import noted
from router.errors import DeadlineExceeded
from router.tenants import Tenant
from router.types import Query

if TYPE_CHECKING:
    from router.evaluation.desk import Desk
    from router.pipeline import Pipeline

MARGIN = 0.1  # seconds, but at most a tenth of what is left, kept back for bringing the answer home


class RouterService(RouterServiceServicer):
    """The public service. `terms_of` gives a tenant by id or raises UnknownTenant; no call takes longer than `max_deadline` seconds."""

    def __init__(self, pipeline: "Pipeline", desk: "Desk", terms_of: Callable[[str], Tenant], max_deadline: float = 120.0) -> None:
        self._pipeline = pipeline
        self._desk = desk
        self._terms_of = terms_of
        self._max_deadline = max_deadline

    async def PlanQuery(
        self, request: pb.PlanQueryRequest, context: grpc.aio.ServicerContext[pb.PlanQueryRequest, pb.PlanQueryResponse]
    ) -> pb.PlanQueryResponse:
        """Decides, and spends nothing."""
        query = self._query(request.query, math.inf)  # the caller carries the plan out, in its own time
        planned = await self._pipeline.plan(query, curves=request.curves)
        bind_contextvars(decision_id=planned.decision_id)
        return wire.planned_to_pb(planned)

    async def PlanBatch(
        self, request: pb.PlanBatchRequest, context: grpc.aio.ServicerContext[pb.PlanBatchRequest, pb.PlanBatchResponse]
    ) -> pb.PlanBatchResponse:
        """Decides for many queries, and spends nothing."""
        queries = [self._query(query, math.inf) for query in request.queries]
        return wire.batch_to_pb(await self._pipeline.plan_batch(queries, request.budget_microdollars))

    async def AnswerQuery(
        self, request: pb.AnswerQueryRequest, context: grpc.aio.ServicerContext[pb.AnswerQueryRequest, pb.AnswerQueryResponse]
    ) -> None:
        """Answers, an event at a time; however the call ends, the pipeline's generator is closed before it does."""
        query = self._query(request.query, self._deadline(context.time_remaining()))
        async with aclosing(self._pipeline.answer(query)) as events:
            async for event in events:
                bind_contextvars(decision_id=event.decision_id)
                await context.write(wire.event_to_pb(event))

    async def ReportOutcome(
        self, request: pb.ReportOutcomeRequest, context: grpc.aio.ServicerContext[pb.ReportOutcomeRequest, pb.ReportOutcomeResponse]
    ) -> pb.ReportOutcomeResponse:
        """Stores a reward."""
        tenant = noted(request.tenant)
        bind_contextvars(decision_id=request.decision_id)
        await self._pipeline.report(wire.reward_from_pb(request, at=time.time()), tenant)
        return pb.ReportOutcomeResponse()

    async def ExplainDecision(
        self, request: pb.ExplainDecisionRequest, context: grpc.aio.ServicerContext[pb.ExplainDecisionRequest, pb.ExplainDecisionResponse]
    ) -> pb.ExplainDecisionResponse:
        """Tells what was logged of a decision."""
        tenant = noted(request.tenant)
        bind_contextvars(decision_id=request.decision_id)
        return wire.explanation_to_pb(await self._pipeline.explain(request.decision_id, tenant), traces=request.traces)

    async def EvaluatePolicy(
        self,
        request: evaluation_pb2.EvaluatePolicyRequest,
        context: grpc.aio.ServicerContext[evaluation_pb2.EvaluatePolicyRequest, evaluation_pb2.EvaluatePolicyResponse],
    ) -> evaluation_pb2.EvaluatePolicyResponse:
        """Judges a policy by the log."""
        return wire.evaluation_to_pb(await self._desk.ask(noted(request.tenant), wire.stated(request.knobs), request.decisions))

    async def PreviewKnob(
        self,
        request: evaluation_pb2.PreviewKnobRequest,
        context: grpc.aio.ServicerContext[evaluation_pb2.PreviewKnobRequest, evaluation_pb2.PreviewKnobResponse],
    ) -> evaluation_pb2.PreviewKnobResponse:
        """Turns a knob on paper."""
        tenant, knobs = noted(request.tenant), wire.stated(request.knobs)
        return wire.preview_to_pb(await self._desk.ask(tenant, knobs, request.decisions, knob=request.knob, values=tuple(request.values)))

    def _query(self, query: query_pb2.Query, deadline: float) -> Query:
        return wire.query_from_pb(query, self._terms_of(noted(query.tenant)), deadline)

    def _deadline(self, remaining: float | None) -> float:
        """When the work must be done, on the monotonic clock, for a client that waits for so many more seconds (None: for ever)."""
        left = self._max_deadline if remaining is None else min(remaining, self._max_deadline)
        if left <= 0:
            raise DeadlineExceeded("the deadline passed before the work began")
        return time.monotonic() + left - min(MARGIN, left / 10)
