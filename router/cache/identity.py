"""Identity: when two queries are the same question, and when they ask it on the same terms."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from router.tenants import CacheScope, Tenant
from router.types import Plan, Query, Task

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"
    " thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half third quarter twice double triple first second"
)
_SPELLED = re.compile(rf"\b(?:{'|'.join(_WORDS.split())})\b")
_DIGITS = dict(zip(_WORDS.split()[:21], map(str, range(21)), strict=True))


@dataclass(frozen=True, slots=True)
class Keys:
    """What a query is known by, within its scope: `answer` on its own terms, `question` on any, `alike` among questions that may be the same."""

    scope: str
    answer: str
    question: str
    alike: str


def keys(query: Query, tenant: Tenant, catalogue: str, predictor: str) -> Keys:
    """Where a query stands.

    The same answer key for two queries of one scope that deserve the same answer: same conversation up to white space, same terms, same versions.

    What was bought for a question holds for any terms and any predictor, but not for another catalogue. Two questions may be alike only where all
    but the words of the last message is the same: the terms, the turns before, and every number; empty for a tenant that has set no `semantic_risk`.
    """
    scope = scope_of(tenant)
    *before, last = [(message.role, _normal(message.content, query.task)) for message in query.messages]
    place = (scope, catalogue, query.task.value, before)
    terms = _terms(query, tenant, predictor)
    alike = _digest(place, last[0], numbers(last[1]), terms) if tenant.semantic_risk else ""
    return Keys(scope, _digest(place, last, terms), _digest(place, last), alike)


def scope_of(tenant: Tenant) -> str:
    """Who may be given this tenant's answers: tenants of one scope may."""
    return "public" if tenant.cache_scope is CacheScope.PUBLIC else f"tenant:{tenant.id}"


def catalogue_version(catalogue: Mapping[str, Plan], models: str) -> str:
    """Another one whenever a plan, its pool, strategy, options, ceilings or prices, or what stands behind a pool (`models`) is another."""
    return _digest([(name, _plain(plan)) for name, plan in sorted(catalogue.items())], models)


def numbers(text: str) -> tuple[str, ...]:
    """Every number of a text in order, in digits or in words: questions that differ in one are never alike, however near their vectors are."""
    found = [*((match.start(), match[0].replace(",", "")) for match in _NUMBER.finditer(text))]
    found += [(match.start(), _DIGITS.get(match[0], match[0])) for match in _SPELLED.finditer(text.lower())]
    return tuple(number for _, number in sorted(found))


def _terms(query: Query, tenant: Tenant, predictor: str) -> object:
    knobs, budget = query.knobs, query.budget
    asked = (knobs.value, knobs.abstain_below, knobs.risk, knobs.seconds, knobs.max_stages, sorted(knobs.plans), knobs.policy)
    ceilings = (budget.tokens, budget.cost, budget.samples, budget.calls, budget.seconds)
    return predictor, query.seed, asked, ceilings, tenant.objective


def _plain(plan: Plan) -> object:
    helpers = sorted((pool, price) for pool, price in plan.helpers.items())
    return plan.pool, plan.strategy, sorted(plan.options.items()), plan.budget, plan.price, helpers


def _digest(*parts: object) -> str:
    """Of what these are written as; values only, which are written alike wherever they are equal."""
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def _normal(text: str, task: Task) -> str:
    """One form for each way to type a text. Not more: case and superscripts carry meaning in questions, and white space does in code."""
    composed = text if text.isascii() else unicodedata.normalize("NFC", text)
    return composed if task is Task.CODE else " ".join(composed.split())
