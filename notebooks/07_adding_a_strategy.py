# %% [markdown]
# # Adding a strategy
#
# **Question.** What does it take to teach Rheostat a new way of spending compute, and is it bought?
#
# A *strategy* says how to spend samples of a model on one question. Budget, deadline, metering and cancellation are not its affair: it is handed
# *tools* that enforce them. Ours is a small one, *tie break*: two samples; where they agree that is the answer, and where they do not a third
# decides.

# %%
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import matplotlib.pyplot as plt
from anyio.from_thread import start_blocking_portal
from rheostat.client import Client

from policies.controls import wilson
from router.app import service
from router.exam import draw, is_right
from router.logs import write_logs
from router.settings import ServerSettings, Settings, WorkerSettings
from workers.strategies import strategies

ROOT = Path(sys.modules["router.settings"].__file__).parents[1]
write_logs()
stack = ExitStack()  # what it has opened is closed in the last cell
data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rheostat-notebook-")))

# %% [markdown]
# **One file** is all: a frozen dataclass whose fields are its options, and a line that registers it under a name. In the repository it would lie in
# `workers/strategies/`, where it is found by itself; here it goes to a folder of its own.
#
# `attempt` orders one sample and adds what it gave to the candidates. `together` lets several run side by side. `choose` says which candidate is
# the answer, in a way that is blind to their order.

# %%
_ = (data / "tie_break.py").write_text('''
"""Two samples, and a third where they disagree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.sampling import Sampling
from workers.parts.vote import choose, leads
from workers.strategies import strategies


@strategies.register("tie_break")
@dataclass(frozen=True, slots=True, kw_only=True)
class TieBreak(Sampling):
    """As many samples as it takes for `agree` of them to say the same, at most one less than twice that."""

    needs: ClassVar[frozenset[str]] = frozenset()
    agree: int = 2

    @property
    def spends(self) -> str:
        """Two, or three."""
        return f"{self.agree} to {2 * self.agree - 1} samples"

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy what would agree, then one after the other."""
        await tools.together(self.attempt(query, tools) for _ in range(self.agree))
        for _ in range(self.agree - 1):
            if leads(tools.candidates)[0] >= self.agree:
                return "agreed"
            await self.attempt(query, tools)
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The majority's."""
        return choose(candidates, "majority")
''')
sys.path.insert(0, str(data))
import tie_break  # noqa: F401 - to import it is to register it

print("tie_break:", strategies.describe()["tie_break"])

# %% [markdown]
# **Its family's test.** Every strategy must pass the same conformance test, whatever it does: usage is the sum of everything bought, the budget is
# kept to the token, a deadline and a caller who goes away stop every sample, what cannot be read is never a vote, the same seed gives the same
# outcome, and a recorded run replays to the same answer without any model. We start it now and look at it later.

# %%
environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(data), *filter(None, sys.path)])}
command = [sys.executable, "-m", "pytest", "-q", "-p", "tie_break", "-p", "no:randomly", "-p", "no:cacheprovider", "--color=no"]
command += ["tests/contract/test_strategies.py", "-k", "tie_break"]
conformance = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
_ = stack.callback(conformance.kill)

# %% [markdown]
# **In the service.** A plan is what makes a strategy something that can be bought: a name, a pool of models, the strategy, and ceilings. The models
# run in a worker process, so it is the worker that must know the file, too.

# %%
bundled = Settings()
tie = bundled.plans["small-vote"].model_copy(update={"strategy": "tie_break", "options": {}, "tokens": 3_000, "cost": 1_500})
settings = Settings(
    data=data / "service",
    server=ServerSettings(address="127.0.0.1:0"),
    worker=WorkerSettings(address=f"unix:{data}/worker.sock", pools={"small": bundled.worker.pools["small"]}),
    plans={"small-tie": tie, **{name: plan for name, plan in bundled.plans.items() if name in ("small-solve", "small-vote")}},
)
(data / "settings.yaml").write_text(settings.model_dump_json(exclude={"config"}))  # JSON is YAML
starting = "import tie_break; from router.__main__ import main; main()"
worker = subprocess.Popen(
    [sys.executable, "-c", starting, "work", "--address", settings.worker.address],
    env=environment | {"RHEOSTAT_CONFIG": str(data / "settings.yaml"), "OMP_NUM_THREADS": "1"},
)
stack.callback(worker.wait)
stack.callback(worker.terminate)
portal = stack.enter_context(start_blocking_portal())
running = stack.enter_context(portal.wrap_async_context_manager(service(settings)))
client = stack.enter_context(Client(running.address))

# %% [markdown]
# The predictor knows nothing of the new plan: its P(right) is one half, with the widest interval there is. A tenant that lets a share of its
# decisions be drawn evenly (`exploration`) gets it tried, and then the log teaches what it is worth. Here every decision is drawn, so that the
# router buys each of the three about as often; and the same held-out questions, neither trivial nor hopeless, are asked of each plan by name, to
# compare them.

# %%
paper = [problem for problem in draw("test", 11, 40) if 3 <= problem.level <= 5][:12]


def ask(number: int, **knobs: object) -> tuple[str, bool, int, int]:
    """Which plan answered, whether it was right, its samples and its micro-dollars."""
    final = client.answer(paper[number].question, task="math", seed=number, deadline=60, max_stages=1, cache=False, **knobs)
    (stage,) = final.receipt.stages
    return stage.plan, is_right(paper[number], final.answer.answer), stage.usage.samples, stage.usage.cost_microdollars


with ThreadPoolExecutor(8) as threads:
    drawn = list(threads.map(lambda number: ask(number, exploration=1.0), range(len(paper))))
    asked = {name: list(threads.map(lambda number, name=name: ask(number, plans=[name]), range(len(paper)))) for name in settings.plans}
times = defaultdict(int)
for plan, *_ in drawn:
    times[plan] += 1
print("bought where chance decides:", ", ".join(f"{name} {count} times" for name, count in sorted(times.items())))

# %%
report, _ = conformance.communicate()
print(report.strip().splitlines()[-1])

# %%
figure, axes = plt.subplots(figsize=(7, 4), layout="tight")
mean = {name: [sum(column) / len(paper) for column in list(zip(*rows, strict=True))[1:]] for name, rows in asked.items()}
for name, (right, samples, cost) in mean.items():
    low, high = wilson(right * len(paper), len(paper))
    axes.errorbar(cost, right, [[right - low], [high - right]], marker="o", capsize=3, label=f"{name}: {samples:.1f} samples a question")
axes.set(xlabel="micro-dollars per question", ylim=(0, 1), ylabel="share right, 95 % intervals", title=f"{len(paper)} held-out questions")
axes.legend(loc="lower right", fontsize=8)
plt.show()

# %%
assert conformance.returncode == 0, report
passed = int(report.rpartition(" passed")[0].split()[-1])
assert passed >= 15
assert times["small-tie"] > 0
assert all(2 <= samples <= 3 for _, _, samples, _ in asked["small-tie"])
assert mean["small-solve"][2] < mean["small-tie"][2] < mean["small-vote"][2]
stack.close()
low, high = wilson(mean["small-tie"][0] * len(paper), len(paper))
print(
    f"Conclusion: one file and one line of settings. It passes {passed} conformance tests, the router buys it, and it takes"
    f" {mean['small-tie'][1]:.1f} samples a question. Right {mean['small-tie'][0]:.0%} [{low:.0%}, {high:.0%}], where one sample is"
    f" {mean['small-solve'][0]:.0%} and a vote {mean['small-vote'][0]:.0%}: {len(paper)} questions are too few to tell them apart, and the log will."
)
