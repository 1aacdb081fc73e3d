"""Workers in a simulation: executions of plans, sample by sample, through the turnstiles of their pools."""

from collections.abc import Mapping, Sequence

from simpy import Environment, Event

from router.simulation.gate import Gate, Waiter
from router.simulation.measured import Purchase
from router.simulation.scenario import EngineSettings
from router.simulation.stations import Core, Gpu


class Worker:
    """One worker process: its core, its GPUs, and a turnstile before each pool."""

    def __init__(self, env: Environment, engines: Mapping[str, EngineSettings], gpus: int, stolen: float) -> None:
        self.env = env
        self.core = Core(stolen=stolen)
        self.gpus = [Gpu(env, engines) for _ in range(gpus)]
        self.gates = {name: Gate(env, one.slots * gpus, one.queue) for name, one in engines.items()}

    def run(self, purchase: Purchase, tenant: str) -> Event:
        """The event that a plan has run; it fails with Overloaded where a queue is full."""
        return Execution(self, purchase, tenant).done

    @property
    def loads(self) -> Mapping[str, tuple[int, int]]:
        """Of each pool, the samples that it can draw at once, and those that are drawn or wait."""
        return {name: (gate.permits, gate.taken + gate.waiting) for name, gate in self.gates.items()}


class Execution:
    """One plan that runs: its samples, round by round."""

    def __init__(self, worker: Worker, purchase: Purchase, tenant: str) -> None:
        self.done: Event = worker.env.event()
        self._worker, self._purchase, self._tenant = worker, purchase, tenant
        self._round = -1
        self._left = 0
        self._failed = False
        self._next()

    def _next(self) -> None:
        self._round += 1
        if self._round == len(self._purchase.rounds):
            self.done.succeed()
            return
        lengths = self._purchase.rounds[self._round]
        self._left = len(lengths)
        for number, tokens in enumerate(lengths):
            self._sample(tokens, self._purchase.prompt if number == 0 else 0.0)

    def _sample(self, tokens: int, prompt: float) -> None:
        gate = self._worker.gates[self._purchase.pool]

        def entered() -> None:
            waiter.since = self._worker.env.now
            gpu = min(self._worker.gpus, key=_running)
            gpu.draw(self._purchase.pool, tokens, prompt, drawn)

        def drawn() -> None:
            gate.go(waiter)
            self._ended()

        waiter = Waiter(entered, self._refused)
        gate.come(self._tenant, waiter)

    def _refused(self, error: Exception) -> None:
        """What of it runs goes on to its end; the real one is stopped, which takes a step."""
        if not self._failed:
            self._failed = True
            self.done.fail(error)
        self._left -= 1

    def _ended(self) -> None:
        self._left -= 1
        if self._left == 0 and not self._failed:
            self._next()


def _running(gpu: Gpu) -> int:
    return gpu.running


def loads(workers: Sequence[Worker]) -> dict[str, float]:
    """Of each pool, samples that are drawn or wait, of those that can be drawn at once. As `Fleet.loads`."""
    slots: dict[str, int] = {}
    wanted: dict[str, int] = {}
    for worker in workers:
        for name, (most, many) in worker.loads.items():
            slots[name] = slots.get(name, 0) + most
            wanted[name] = wanted.get(name, 0) + many
    return {name: wanted[name] / most for name, most in slots.items()}
