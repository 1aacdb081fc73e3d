# %% [markdown]
# # Quickstart
#
# **Question.** What did my question cost, and why?
#
# Rheostat answers questions with language models and decides for each how much that is worth. What it can buy are *plans*: a model, a strategy of
# asking it (once, several times with a vote, as a search), and a ceiling. Here we start a whole service of our own, with the tiny models that come
# with it, ask it four questions from trivial to hard, and read their *receipts*.

# %%
import tempfile
from contextlib import ExitStack
from pathlib import Path

import matplotlib.pyplot as plt
from anyio.from_thread import start_blocking_portal
from rheostat.client import Client

from router.app import service
from router.exam import is_right
from router.logs import write_logs
from router.settings import ServerSettings, Settings
from workers.reasoner.workload import problems

write_logs()
stack = ExitStack()  # what it has opened is closed in the last cell
data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rheostat-notebook-")))
portal = stack.enter_context(start_blocking_portal())
settings = Settings(data=data, server=ServerSettings(address="127.0.0.1:0"))
running = stack.enter_context(portal.wrap_async_context_manager(service(settings)))
client = stack.enter_context(Client(running.address))
for name, where in running.parts.items():
    print(f"{name:<13} {where}".replace(str(data), "<data>"))

# %% [markdown]
# That is all of a service: a gRPC door, a worker process with the models, a Redis and a decision log. In daily life `make serve` starts it, and
# your program has the client only.
#
# The questions are stories about things gained and lost, of levels 1, 3, 5 and 8. They were held out when the models were trained. A right answer
# is worth 1,000 micro-dollars to us: this number is the *knob* that sets how much is spent.

# %%
VALUE = 1_000.0
paper = [next(problems("test", 3, families=("stories",), levels=range(level, level + 1))) for level in (1, 3, 5, 8)]
finals = []
for problem in paper:
    final = client.answer(problem.question, task="math", seed=1, deadline=60, value_microdollars=VALUE, exploration=0.0)
    finals.append(final)
    print(f"\nlevel {problem.level}: {problem.question}")
    for stage in final.receipt.stages:
        print(f"   {stage.plan:<12} {stage.usage.samples:>3} samples {stage.usage.cost_microdollars:>6} micro-dollars")
    told = f"{final.answer.answer!r}, believed to {final.answer.confidence:.0%}, for {final.receipt.usage.cost_microdollars} micro-dollars"
    print(f"   answered {told}; the right answer is {problem.answer!r}")

# %% [markdown]
# A receipt has a line for each *stage*: the service bought a plan, looked at what came back, and decided again. What was written and thrown away is
# in it too.
#
# **Why these plans?** Before every purchase the service forecasts for each plan P(right), the probability that its answer will be right, and what
# it will cost. It buys what is worth most: the value of a right answer times P(right), less the cost, counting what the evidence will let it decide
# next. The decision log keeps all of this, and `explain` reads it back.

# %%
for number, final in enumerate(finals):
    print(f"level {paper[number].level}")
    for stage in client.explain(final.decision_id).stages:
        print(f"   stage {stage.index}: {stage.plan or 'the end'}: {stage.reason}")

# %% [markdown]
# The figure shows what was forecast before the first purchase, for the easiest and the hardest question: each plan's cost and its P(right) with the
# 90 % interval of the forecast. The plan that was bought first is marked. `plan` asks the service for this and buys nothing.

# %%
figure, axes = plt.subplots(figsize=(7, 4.5), layout="tight")
for colour, place in (("tab:blue", 0), ("tab:red", -1)):
    planned = client.plan(paper[place].question, task="math", seed=1, value_microdollars=VALUE, exploration=0.0)
    forecasts = {one.plan: one for one in sorted(planned.prediction.forecasts, key=lambda one: one.cost_microdollars)}
    cost, success = ([getattr(one, name) for one in forecasts.values()] for name in ("cost_microdollars", "success"))
    ends = [[one.success - one.low for one in forecasts.values()], [one.high - one.success for one in forecasts.values()]]
    axes.errorbar(
        cost, success, ends, marker=".", linestyle="", capsize=2, color=colour, label=f"level {paper[place].level}: forecasts, 90 % intervals"
    )
    bought = forecasts[finals[place].receipt.stages[0].plan]
    axes.plot(bought.cost_microdollars, bought.success, "*", markersize=15, color=colour, label=f"bought first: {bought.plan}")
axes.set(
    xscale="log", xlabel="expected cost, micro-dollars (log scale)", ylabel="P(right)", ylim=(0, 1.05), title="What each plan was expected to bring"
)
axes.legend(fontsize=8)
plt.show()

# %% [markdown]
# Last, we tell the service what its answers were worth: 1 for a right one, 0 for a wrong one. This is what all its learning is made of. The call
# returns when the outcome is safely on disk.

# %%
right = [is_right(problem, final.answer.answer) for problem, final in zip(paper, finals, strict=True)]
for was, final in zip(right, finals, strict=True):
    client.report(final.decision_id, float(was), source="verifier")
rewards = [reward.reward for final in finals for reward in client.explain(final.decision_id).rewards]

# %%
costs = [final.receipt.usage.cost_microdollars for final in finals]
for cost, final in zip(costs, finals, strict=True):
    assert cost == sum(stage.usage.cost_microdollars for stage in final.receipt.stages)
assert costs[-1] > costs[0]
assert rewards == [float(was) for was in right]
stack.close()
print(
    f"Conclusion: a question costs what was bought for it, to the micro-dollar, and no more is bought than it seems worth: {costs[0]} micro-dollars"
    f" for the easiest of our questions, {costs[-1]} for the hardest, {sum(right)} of {len(right)} right."
)
