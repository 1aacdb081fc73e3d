# %% [markdown]
# # Tuning a tenant
#
# **Question.** What would my quality and my cost be at another setting of the knob, and what changes when I turn it?
#
# A *tenant* is whoever has terms with the service: budgets, and a *knob*, the micro-dollars that a right answer is worth to it. A high value buys
# more and dearer plans. Nobody should have to turn such a knob to learn what it does: the decision log of the tenant knows, as long as a share of
# its decisions was left to chance.

# %%
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import grpc
import matplotlib.pyplot as plt
import numpy as np
from anyio.from_thread import start_blocking_portal
from rheostat.client import Client
from rheostat.v1 import evaluation_pb2, router_service_pb2, tenant_pb2, tenant_service_pb2
from rheostat.v1.tenant_service_pb2_grpc import TenantServiceStub

from policies.metrics import hull, quality_at
from router.app import service
from router.benchmark.board import load
from router.benchmark.run import BUNDLED
from router.logs import write_logs
from router.settings import ServerSettings, Settings
from router.terms import TenantSettings

write_logs()
TENANT, DECISIONS, NOW = "shop", 300, 5_000.0
ITEMS = {"nano-direct": ("nano", 0), "small-solve": ("small", 0), "large-solve": ("large", 0)}
terms = TenantSettings(value=NOW, exploration=0.4, max_stages=1, plans=list(ITEMS), cache=False)
stack = ExitStack()  # what it has opened is closed in the last cell
data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rheostat-notebook-")))
portal = stack.enter_context(start_blocking_portal())
settings = Settings(data=data, server=ServerSettings(address="127.0.0.1:0"), tenants={TENANT: terms})
running = stack.enter_context(portal.wrap_async_context_manager(service(settings)))
client = stack.enter_context(Client(running.address))
channel = stack.enter_context(grpc.insecure_channel(running.address))

# %% [markdown]
# **A history.** Our tenant, a shop, runs its models itself: it asks the service which plan to buy (`plan`), carries it out, and reports what it was
# worth and what it cost. What the models answered is taken from the table of 1,000 questions that the package carries, so this goes fast; all else
# is as in earnest. 40 % of its decisions are drawn evenly among three plans, and the log has the chance of each.

# %%
board = load(BUNDLED)
order = np.random.default_rng(0).permutation(len(board.text))
for number in order[:DECISIONS]:
    planned = client.plan(board.text[number], tenant=TENANT, task="math", seed=int(number), id=f"past-{number}")
    item = board.items.index(ITEMS[planned.decision.plan])
    client.service.ReportOutcome(
        router_service_pb2.ReportOutcomeRequest(
            decision_id=planned.decision_id,
            tenant=TENANT,
            reward=board.quality[number, item],
            source="REWARD_SOURCE_VERIFIER",
            cost_microdollars=round(board.cost[number, item]),
        )
    )

# %% [markdown]
# **The curve.** `PreviewKnob` (the command `rheostat what-if`) decides every logged question again at each value of the knob and estimates from the
# logged chances what it would have come to. The *controls* beside it are constant plans: the same one for every question. Between two of them lies
# the static mixture, which buys the one for a share of the questions and the other for the rest. A knob is worth having if its curve lies above
# them all.

# %%
VALUES = [30.0, 100.0, 300.0, 600.0, 1_500.0, 5_000.0]
without = {"exploration": 0.0}
preview = client.service.PreviewKnob(evaluation_pb2.PreviewKnobRequest(tenant=TENANT, knob="value", values=VALUES, knobs=without))
points = [(point.at, point.estimate) for point in preview.points if not point.estimate.refused]
for at, one in points:
    quality, cost = one.quality, one.cost_microdollars
    told = f"{quality.value:.1%} right [{quality.low:.1%}, {quality.high:.1%}], {cost.value:.0f} micro-dollars [{cost.low:.0f}, {cost.high:.0f}]"
    print(f"value {at:>5.0f}: {told}")
plans = [one for one in preview.constants if not one.refused]  # of the others the log has nothing
for one in plans:
    print(f"always {one.name}: {one.quality.value:.1%} right, {one.cost_microdollars.value:.0f} micro-dollars")

# %% [markdown]
# **The choice.** The shop wants to spend at most 60 micro-dollars a question. We take the highest value whose expected cost is within that.

# %%
AT_MOST = 60.0
chosen, chosen_one = max((point for point in points if point[1].cost_microdollars.value <= AT_MOST), key=lambda point: point[0])
now_one = dict(points)[NOW]
mixtures = hull(*(np.array([getattr(one, name).value for one in plans]) for name in ("cost_microdollars", "quality")))
mixture = quality_at(mixtures, chosen_one.cost_microdollars.value)
figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="tight")


def drawn(one: evaluation_pb2.PolicyEstimate, **style: object) -> None:
    """A point with both intervals."""
    x, y = one.cost_microdollars, one.quality
    ends = [[[max(0.0, side.value - side.low)], [max(0.0, side.high - side.value)]] for side in (y, x)]
    axes.errorbar(x.value, y.value, *ends, capsize=2, **style)


axes.plot([one.cost_microdollars.value for _, one in points], [one.quality.value for _, one in points], color="tab:blue")
for place, (_, one) in enumerate(points):
    drawn(one, marker="o", color="tab:blue", label="along the knob, 95 % intervals" if not place else None)
axes.plot(*mixtures, "--", color="0.6", label="static mixtures of constant plans")
for place, one in enumerate(plans):
    drawn(one, marker="s", color="0.5", label="constant plans" if not place else None)
axes.plot(chosen_one.cost_microdollars.value, chosen_one.quality.value, "*", markersize=18, color="tab:red", label=f"chosen: value {chosen:.0f}")
axes.set(xlabel="micro-dollars per question", ylabel="share right", title=f"{preview.decisions} decisions of the tenant's log")
axes.legend(fontsize=8, loc="lower right")
plt.show()

# %% [markdown]
# **Applied.** For the next questions we ask what would be bought with the knob as it is and, by naming the value in the request, with the new one;
# and the service's own models answer a question for which that differs. Then the knob is turned, by `UpdateTenant` (the command `rheostat tenants
# set`). A change is in force within a second, on every router.

# %%
upcoming = [board.text[number] for number in order[DECISIONS : DECISIONS + 40]]


def bought(**knobs: float) -> list[str]:
    """The plan that would be bought for each of the next questions, without exploration."""
    return [client.plan(text, tenant=TENANT, task="math", exploration=0.0, **knobs).decision.plan for text in upcoming]


def answered(text: str) -> tuple[str, int]:
    """Which plan answered, for how many micro-dollars."""
    final = client.answer(text, tenant=TENANT, task="math", exploration=0.0, seed=1, deadline=60)
    return final.answer.plan, final.receipt.usage.cost_microdollars


before, wanted = bought(), bought(value_microdollars=chosen)
different = [place for place, pair in enumerate(zip(before, wanted, strict=True)) if pair[0] != pair[1]]
example = upcoming[different[0]]
then_plan, then_cost = answered(example)

turned = tenant_pb2.Tenant(name=TENANT, value_microdollars=chosen)
TenantServiceStub(channel).UpdateTenant(tenant_service_pb2.UpdateTenantRequest(tenant=turned))
until = time.monotonic() + 10
while client.plan(example, tenant=TENANT, task="math").value_microdollars != chosen:
    assert time.monotonic() < until, "the change is not in force"
    time.sleep(0.05)
after, (now_plan, now_cost) = bought(), answered(example)
for plan in ITEMS:
    print(f"{plan}: bought for {before.count(plan)} of the next {len(upcoming)} questions before, for {after.count(plan)} after")
print(f"{example}\n   before: {then_plan}, {then_cost} micro-dollars; after: {now_plan}, {now_cost} micro-dollars")

# %%
costs = [one.cost_microdollars.value for _, one in points]
assert costs[0] < costs[-1]
assert chosen < NOW
assert after == wanted
assert after.count("large-solve") < before.count("large-solve")
assert now_plan != then_plan
assert now_cost < then_cost
assert chosen_one.quality.high > mixture
stack.close()
verdict = "above" if chosen_one.quality.low > mixture else "not surely above"
print(
    f"Conclusion: turned from {NOW:.0f} to {chosen:.0f} the log expects {chosen_one.quality.value:.1%} right instead of {now_one.quality.value:.1%},"
    f" for {chosen_one.cost_microdollars.value:.0f} micro-dollars a question instead of {now_one.cost_microdollars.value:.0f}; a static mixture of"
    f" that cost would give {mixture:.1%}: the interval lies {verdict} it. Turned, the next request differs: {now_plan} instead of {then_plan}."
)
