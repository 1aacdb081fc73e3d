"""Every metric, by making all instruments with a meter that writes down what it is asked for."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from docs.generate.markdown import MADE, table
from router.telemetry.gauges import Gauges
from router.telemetry.metrics import Metrics

_HEAD = """# Metrics

By OTLP where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and at `telemetry.prometheus` for scraping, where dots are underscores, the unit is at the end of
the name, and counters end in `_total`. Attributes are bounded; see [for operators](../operators.md#looking-on). Recording rules and alerts are in
`deploy/prometheus`, dashboards in `deploy/grafana`.

"""


class Instrument(NamedTuple):
    """As it was asked for."""

    name: str
    kind: str
    unit: str
    about: str


class Meter:
    """Notes instruments instead of making them."""

    def __init__(self) -> None:
        self.found: list[Instrument] = []

    def get_meter(self, _: str) -> "Meter":
        """Itself: a provider too."""
        return self

    def __getattr__(self, name: str) -> Callable[..., None]:
        def create(*words: str, unit: str = "", description: str = "", **_: Any) -> None:  # noqa: ANN401 - buckets and callbacks
            texts = [one for one in words if isinstance(one, str)]
            given = dict(zip(("name", "unit", "about"), texts, strict=False))
            kind = name.removeprefix("create_").replace("observable_", "").replace("_", " ")
            self.found.append(Instrument(given["name"], kind, unit or given.get("unit", ""), description or given.get("about", "")))

        return create


def instruments() -> list[Instrument]:
    """All of a router, by name."""
    meter = Meter()
    Metrics(meter)  # type: ignore[arg-type]
    gauges = Gauges(meter)  # type: ignore[arg-type]
    for name, watch in inspect.getmembers(gauges, inspect.ismethod):
        if name.startswith("watch_"):
            needed = [one for one in inspect.signature(watch).parameters.values() if one.default is one.empty]
            watch(*(dict for _ in needed))
    return sorted(meter.found)


def page() -> str:
    """A line for each."""
    rows = [(f"`{one.name}`", one.kind, f"`{one.unit}`", f"{one.about}.") for one in instruments()]
    return MADE + _HEAD + table(("metric", "kind", "unit", "what it tells"), rows)
