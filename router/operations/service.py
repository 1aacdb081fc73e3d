"""OperationsService: what operators look at, and which candidate is on its way."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import grpc
from google.protobuf import timestamp_pb2
from rheostat.v1 import operations_service_pb2 as pb
from rheostat.v1.operations_service_pb2_grpc import OperationsServiceServicer

from router import paging
from router.access.principal import noted
from router.congestion import Congestion
from router.errors import InvalidQuery
from router.ledger.ledger import RedisLedger
from router.operations import wire
from router.operations.recent import Decisions
from router.operations.summary import Summary
from router.pipeline import Pipeline
from router.ports import Pacer
from router.promotion.keeper import begin, standing, stopped
from router.promotion.review import CANDIDATE
from router.promotion.state import begun
from router.settings import Settings
from router.store import Store
from router.tenancy.register import Register
from workers.fleet import Fleet

_SUMMED = 2_000  # decisions, where nobody says how many


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What this looks at."""

    settings: Settings
    register: Register
    store: Store
    ledger: RedisLedger
    pipeline: Pipeline
    fleet: Fleet
    congestion: Congestion
    pacers: Mapping[str, Pacer]


class OperationsService(OperationsServiceServicer):
    """The public service. Who may call what is decided before; here only for which tenant."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._decisions = Decisions(seen.settings.data)
        self._began = timestamp_pb2.Timestamp()
        self._began.GetCurrentTime()

    async def ListDecisions(
        self, request: pb.ListDecisionsRequest, context: grpc.aio.ServicerContext[pb.ListDecisionsRequest, pb.ListDecisionsResponse]
    ) -> pb.ListDecisionsResponse:
        """Tells decisions, a page at a time."""
        first, size = _place(request.page_token), paging.size(request.page_size)
        lines = await self._decisions.of(noted(request.tenant))
        found = await asyncio.to_thread(wire.search_from_pb(request), lines)
        following = str(first + size) if first + size < len(found) else ""
        return pb.ListDecisionsResponse(
            decisions=map(wire.line_to_pb, found[first : first + size]), next_page_token=paging.token(following), total=len(found)
        )

    async def SummarizeDecisions(
        self, request: pb.SummarizeDecisionsRequest, context: grpc.aio.ServicerContext[pb.SummarizeDecisionsRequest, pb.SummarizeDecisionsResponse]
    ) -> pb.SummarizeDecisionsResponse:
        """Sums decisions up."""
        lines = await self._decisions.of(noted(request.tenant))
        return await asyncio.to_thread(wire.summary_to_pb, Summary(lines=lines[: request.decisions or _SUMMED]))

    async def GetStanding(
        self, request: pb.GetStandingRequest, context: grpc.aio.ServicerContext[pb.GetStandingRequest, pb.GetStandingResponse]
    ) -> pb.GetStandingResponse:
        """Tells how a tenant stands."""
        tenant, seen = noted(request.tenant), self._seen
        terms, now = seen.register[tenant], time.time()
        spent, stands = await asyncio.gather(seen.ledger.all_spent(tenant), standing(seen.store, tenant))
        pacer = seen.pacers.get(tenant)
        found = pb.GetStandingResponse(
            budgets=[wire.budget_to_pb(window, *spent[window.name], now) for window in terms.tenant.windows if window.name in spent],
            pace=wire.pace_to_pb(pacer.standing(now)) if pacer else None,
            guard=wire.guard_to_pb(stands.guard, enabled=terms.terms.guard),
        )
        if stands.promotion:
            found.promotion.CopyFrom(wire.promotion_to_pb(stands.promotion, self._share(tenant)))
        return found

    async def GetFleet(
        self, request: pb.GetFleetRequest, context: grpc.aio.ServicerContext[pb.GetFleetRequest, pb.GetFleetResponse]
    ) -> pb.GetFleetResponse:
        """Tells what serves."""
        seen = self._seen
        found = wire.fleet_to_pb(seen.settings, seen.pipeline.catalogue, seen.fleet, seen.congestion.shares)
        found.predictor = f"{seen.settings.predictor.name} {seen.pipeline.predictor.version}"
        found.start_time.CopyFrom(self._began)
        return found

    async def BeginPromotion(
        self, request: pb.BeginPromotionRequest, context: grpc.aio.ServicerContext[pb.BeginPromotionRequest, pb.BeginPromotionResponse]
    ) -> pb.BeginPromotionResponse:
        """Puts a candidate into the shadow."""
        tenant, seen = noted(request.tenant), self._seen
        _ = seen.register[tenant]  # raises where there is none
        try:
            promotion = begun(wire.candidate_from_pb(request, seen.settings), time.time())
            stands = await begin(seen.store, seen.settings, tenant, promotion)
        except ValueError as error:
            raise InvalidQuery(str(error), field="candidate") from error
        return pb.BeginPromotionResponse(promotion=wire.promotion_to_pb(stands.promotion or promotion, 0.0))

    async def StopPromotion(
        self, request: pb.StopPromotionRequest, context: grpc.aio.ServicerContext[pb.StopPromotionRequest, pb.StopPromotionResponse]
    ) -> pb.StopPromotionResponse:
        """Takes a candidate back."""
        tenant = noted(request.tenant)
        _ = self._seen.register[tenant]
        stands = await stopped(self._seen.store, tenant)
        return pb.StopPromotionResponse(promotion=wire.promotion_to_pb(stands.promotion, 0.0) if stands.promotion else None)

    def _share(self, tenant: str) -> float:
        """That the candidate decides now, on this router."""
        return sum(arm.share for arm in self._seen.pipeline.arms.get(tenant, ()) if arm.name == CANDIDATE)


def _place(token: str) -> int:
    place = paging.place(token)
    if place and not place.isdecimal():
        raise paging.foreign()
    return int(place or 0)
