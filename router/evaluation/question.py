"""What is asked of a log, and what single requests came to."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from router.settings import CandidateSettings

KNOBS = ("value", "abstain_below", "risk", "exploration")  # those with a range that a curve can be drawn along
MOST = 4_000  # episodes: enough for two digits, and seconds of work


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """About a candidate for one tenant, or with `knob` about the candidate along a range of that knob (`values`, or else all of it)."""

    candidate: CandidateSettings
    tenant: str = "default"
    source: Path | None = None  # Parquet files; the data folder's journal, if not given
    most: int = MOST
    knob: str = ""
    values: tuple[float, ...] = ()


class Return(NamedTuple):
    """What one request came to: who decided (see `Record.arm`), the quality of its answer, its micro-dollars, and those a right answer was worth."""

    arm: str
    quality: float
    cost: float
    value: float
