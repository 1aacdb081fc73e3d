"""A scenario: how many of what there are, and how long each takes, as a YAML file says it.

What is not said is what was measured on the machine that this was developed on, two cores of a Xeon at 2.1 GHz, by `make scale`; the engine is an 8B
model on an H100, reckoned from the data sheet: 16 GB of weights read in every step at 3.35 TB/s, 131 kB of keys and values for each of a thousand
tokens of each sample, and half as much again for what is not perfect.
"""

import math
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from router.section import Section

_SETTLED = 6.0  # seconds from the beginning until Redis goes away, where it does
RATE = 100.0  # requests a second for each GPU, where nothing is said


class EngineSettings(Section):
    """One pool on one GPU: a step gives every sample that is drawn one token."""

    step: float = Field(0.008, ge=0)
    """Seconds of a step with nobody in it."""
    sequence: float = Field(0.00005, ge=0)
    """Seconds more for each sample that is drawn at once."""
    prompt: float = Field(0.000016, ge=0)
    """Seconds for a token read, during which nothing is written."""
    slots: int = Field(256, gt=0)
    """Samples at once."""
    queue: int = Field(4_096, ge=0)
    """Samples that may wait."""

    def least(self, tokens: float, prompt: float) -> float:
        """Seconds of the GPU that so many tokens written and read take where all slots are taken."""
        return tokens * (self.step / self.slots + self.sequence) + prompt * self.prompt


class RouterSettings(Section):
    """One router process, which has a core; microseconds of it."""

    call: float = Field(1_900.0, ge=0)
    """For a request, whatever it buys."""
    stage: float = Field(2_000.0, ge=0)
    """For each plan bought, and for the decision before."""
    report: float = Field(900.0, ge=0)
    """For an outcome that is reported."""
    poll: float = Field(250.0, ge=0)
    """For asking one worker how busy it is, four times a second."""
    fold: float = Field(60.0, ge=0)
    """For a row of the log, where policies learn online."""
    spread: float = Field(0.7, gt=0)
    """Standard deviation of such work, of its mean."""
    permits: int = Field(256, gt=0)
    queue: int = Field(256, ge=0)


class WorkerSettings(Section):
    """One worker process, which has a core; microseconds of it."""

    call: float = Field(1_700.0, ge=0)
    """For an execution."""
    sample: float = Field(60.0, ge=0)
    """For each of its samples."""
    poll: float = Field(200.0, ge=0)
    """For telling one router how busy it is."""


class RedisSettings(Section):
    """Redis, which has one core; microseconds of it."""

    reserve: float = Field(60.0, ge=0)
    settle: float = Field(50.0, ge=0)
    """Done twice: again when it is surely on disk."""
    look: float = Field(30.0, ge=0)
    """What the cache reads and claims for a request."""
    keep: float = Field(45.0, ge=0)
    """What the cache keeps of one."""
    row: float = Field(35.0, ge=0)
    """A row of the log into the stream."""
    followed: float = Field(3.0, ge=0)
    """A row read from the stream by one router, where policies learn online."""
    trip: float = Field(300.0, ge=0)
    """On the way and in the router's event loop, there and back."""


class Outage(Section):
    """When Redis is away, in seconds after the simulation begins."""

    begin: float = Field(ge=0)
    seconds: float = Field(gt=0)


class Scenario(Section):
    """One fleet, and what it is asked."""

    name: str = ""
    gpus: int = Field(1, gt=0)
    gpus_per_worker: int = Field(8, gt=0)
    """GPUs that one worker process has behind its address."""
    routers: int | None = Field(None, gt=0)
    """Router processes; none: as many as are busy for three fifths of the time."""
    cells: int = Field(1, gt=0)
    """Fleets side by side, each with its own Redis, routers and workers, and its share of the tenants."""
    rate: float | None = Field(None, gt=0)
    """Requests a second; none: a hundred for each GPU."""
    arrivals: Literal["poisson", "measured"] = "poisson"
    """When requests come: at random, or in bursts as the log has them, at another pace."""
    engine: EngineSettings = EngineSettings()
    """Of pools that are not named."""
    pools: dict[str, EngineSettings] = Field(default_factory=dict)
    router: RouterSettings = RouterSettings()
    worker: WorkerSettings = WorkerSettings()
    redis: RedisSettings = RedisSettings()
    sync: float = Field(0.0005, ge=0)
    """Seconds that forcing rows to disk takes."""
    tenants: int = Field(3, gt=0)
    """Of equal size, beside a small one that comes to the end of its budget."""
    small: float = Field(0.04, ge=0, lt=1)
    """Share of the requests that come from that one."""
    window: float = Field(86_400.0, gt=0)
    """Seconds of its budget's window."""
    left: float = Field(0.5, gt=0)
    """What is left of it when the simulation begins, of what would be spent until it ends."""
    outage: Outage | None = None
    learning: bool = False
    """Whether policies learn online, so that every router follows the log."""
    learning_seconds: float = Field(1.0, gt=0)
    deadline: float = Field(60.0, gt=0)
    """Seconds that a request waits in queues at most."""

    @property
    def asked(self) -> float:
        """Requests a second."""
        return self.rate or RATE * self.gpus

    @property
    def workers(self) -> int:
        """Worker processes."""
        return math.ceil(self.gpus / self.gpus_per_worker)

    def asking(self, *, rate: float | None, learning: bool, outage: float) -> "Scenario":
        """With what the command line says of it."""
        changes: dict[str, object] = {"rate": rate} if rate else {}
        changes |= {"learning": True} if learning else {}
        changes |= {"outage": Outage(begin=_SETTLED, seconds=outage)} if outage else {}
        return self.model_copy(update=changes)

    def of(self, pool: str) -> EngineSettings:
        """The engine of a pool."""
        return self.pools.get(pool, self.engine)


def scenario(file: Path) -> Scenario:
    """As a file says it. Raises ValueError naming what is not in order."""
    told = yaml.safe_load(file.read_text())
    return Scenario.model_validate({"name": file.stem} | (told if isinstance(told, dict) else {}))
