"""The client for code that does not await."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import grpc
from rheostat.client.asking import Asked, Question, Source, query, reported
from rheostat.client.errors import explained
from rheostat.client.place import Place
from rheostat.v1 import answer_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub


class Client:
    """A client of the service at `address`, such as `127.0.0.1:50051`, `dns:///name:50051` or `unix:/path`. Threads may share one.

    `key` is an API key or a token; `ca` the PEM file of who signs the service's certificate (`system`: those that this machine trusts). Every call
    raises RheostatError; `deadline` is in seconds, and None has the service's longest.
    """

    def __init__(
        self, address: str, *, key: str = "", ca: str | Path = "", certificate: Path | None = None, certificate_key: Path | None = None
    ) -> None:
        place = Place(address=address, key=key, ca=ca, certificate=certificate, certificate_key=certificate_key)
        secured = place.credentials
        self._channel = (
            grpc.secure_channel(address, secured, options=place.options) if secured else grpc.insecure_channel(address, options=place.options)
        )
        self._metadata = place.metadata
        self.service = RouterServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def answer(self, question: Question, *, deadline: float | None = None, **asked: Unpack[Asked]) -> answer_pb2.FinalAnswer:
        """The answer, its confidence and its receipt; there is no `answer` in it where that was withheld."""
        *_, last = self.stream(question, deadline=deadline, **asked)
        assert isinstance(last, answer_pb2.FinalAnswer)
        return last

    def stream(
        self, question: Question, *, deadline: float | None = None, **asked: Unpack[Asked]
    ) -> Iterator[answer_pb2.StageEvent | answer_pb2.FinalAnswer]:
        """Every stage while it happens, and the final answer last; closing this stops all that was ordered."""
        request = router_service_pb2.AnswerQueryRequest(query=query(question, **asked))
        with explained():
            call = self.service.AnswerQuery(request, timeout=deadline, metadata=self._metadata)
            try:
                for event in call:
                    yield event.final if event.HasField("final") else event.stage
            finally:
                call.cancel()

    def plan(
        self, question: Question, *, curves: bool = False, deadline: float | None = None, **asked: Unpack[Asked]
    ) -> router_service_pb2.PlanQueryResponse:
        """What would be bought first; nothing is spent."""
        request = router_service_pb2.PlanQueryRequest(query=query(question, **asked), curves=curves)
        with explained():
            found: router_service_pb2.PlanQueryResponse = self.service.PlanQuery(request, timeout=deadline, metadata=self._metadata)
            return found

    def report(
        self, decision_id: str, reward: float, *, source: Source, tenant: str = "", stage: int | None = None, deadline: float | None = None
    ) -> None:
        """What an answer was worth, from 0 to 1; it is safely stored when this returns."""
        with explained():
            self.service.ReportOutcome(reported(decision_id, reward, source, tenant, stage), timeout=deadline, metadata=self._metadata)

    def explain(
        self, decision_id: str, *, tenant: str = "", traces: bool = False, deadline: float | None = None
    ) -> router_service_pb2.ExplainDecisionResponse:
        """How an answer came about, stage by stage."""
        request = router_service_pb2.ExplainDecisionRequest(decision_id=decision_id, tenant=tenant, traces=traces)
        with explained():
            found: router_service_pb2.ExplainDecisionResponse = self.service.ExplainDecision(request, timeout=deadline, metadata=self._metadata)
            return found

    def close(self) -> None:
        """End what is under way."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
