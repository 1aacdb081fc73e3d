"""Power sampling against the exact distribution of a language model of four tokens, driven through the executor."""

import math
import random
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest

from router.ports import Spent
from router.types import Call, Fate, Finish, Sample, Task
from tests.workers.toy import SKILLED, Rig, Toy, a_plan, a_query, solved
from workers.strategies import strategies
from workers.strategies.power_sampling import State, log_ratio, written

LETTERS, LONGEST, END = "ab", 4, ""
ALPHA = 4


@cache
def natural(prefix: str, fixed: bool = False) -> dict[str, float]:
    """The model: what may come next after a prefix. `fixed`: it never ends before its length."""
    weights = np.exp(1.3 * np.random.default_rng([41, *map(ord, prefix)]).standard_normal(3)) * (1, 1, not fixed)
    return dict(zip((*LETTERS, END), (weights / weights.sum()).tolist(), strict=True))


@cache
def heated(prefix: str, temperature: float, fixed: bool = False) -> dict[str, float]:
    weights = {name: chance ** (1 / temperature) for name, chance in natural(prefix, fixed).items()}
    return {name: weight / math.fsum(weights.values()) for name, weight in weights.items()}


def solutions(chances, prefix: str = "", probability: float = 1.0):
    """Every sequence of tokens, with its probability; one that ends is told from one that is cut by a full stop."""
    for name, chance in chances(prefix).items():
        if name == END:
            yield prefix + ".", probability * chance
        elif len(prefix) + 1 == LONGEST:
            yield prefix + name, probability * chance
        else:
            yield from solutions(chances, prefix + name, probability * chance)


def target(alpha: float, fixed: bool = False) -> dict[str, float]:
    powered = {name: probability**alpha for name, probability in solutions(lambda prefix: natural(prefix, fixed))}
    return {name: weight / math.fsum(powered.values()) for name, weight in powered.items()}


def distance(counts, exact: dict[str, float]) -> float:
    """Total variation."""
    total = math.fsum(counts.values())
    return 0.5 * math.fsum(abs(counts.get(name, 0) / total - exact.get(name, 0.0)) for name in exact.keys() | counts.keys())


def drawn(rng: random.Random, prefix: str, tokens: int, temperature: float, fixed: bool = False) -> list[str]:
    pieces: list[str] = []
    while len(pieces) < tokens and END not in pieces:
        chances = heated(prefix + "".join(pieces), temperature, fixed)
        pieces += rng.choices(list(chances), list(chances.values()))
    return pieces


def logs(pieces, chances, prefix: str = "") -> list[float]:
    return [math.log(chances(prefix + "".join(pieces[:place]))[piece]) for place, piece in enumerate(pieces)]


@dataclass
class Tiny(Toy):
    """Samples from the model, and tells both log-probabilities of each token."""

    fixed: bool = False
    written: list[Sample] = field(default_factory=list)

    async def _write(self, call: Call, spent: Spent, index: int) -> Sample:
        pieces = drawn(random.Random(call.seed), call.prefix, call.max_tokens, call.temperature, self.fixed)
        spent.completion = len(pieces)
        sample = Sample(
            text="".join(pieces),
            prompt_tokens=spent.prompt,
            completion_tokens=len(pieces),
            finish=Finish.END if pieces[-1] == END else Finish.LENGTH,
            logprobs=tuple(logs(pieces, lambda prefix: natural(prefix, self.fixed), call.prefix)),
            pieces=tuple(pieces),
            drawn_logprobs=tuple(logs(pieces, lambda prefix: heated(prefix, call.temperature, self.fixed), call.prefix)),
        )
        self.written.append(sample)
        return sample


def where(candidate) -> str:
    """A state; one that the model ended is marked."""
    return candidate.text + "." * (candidate.finish is Finish.END)


async def run(toy, alpha, **options):
    plan = a_plan("power_sampling", **{"alpha": alpha, "moves": 3000, "chains": 4, "burn": 0, "max_tokens": LONGEST, **options})
    return await Rig(toy).run(plan, a_query("?", task=Task.FREE))


def test_the_model_is_one_whose_power_no_temperature_gives():
    exact = target(ALPHA)
    assert math.fsum(dict(solutions(natural)).values()) == pytest.approx(1)
    assert max(exact.values()) < 0.75
    assert distance(dict(solutions(one_over_alpha)), exact) > 0.075


async def test_the_chains_sample_the_power_of_the_model():
    """About 2,500 independent draws' worth of moves (the second eigenvalue of the chain is 0.65): TV has a deviation of 0.009."""
    outcome = await run(Tiny(), ALPHA)
    assert len(outcome.candidates) == 4 * 3001  # every move votes
    assert distance(Counter(map(where, outcome.candidates)), target(ALPHA)) < 0.02


@pytest.mark.parametrize("alpha", [1, 2, ALPHA])
def test_the_rule_leaves_the_power_as_it_is_exactly(alpha):
    """The whole transition matrix, from the strategy's own ratio, against the whole target."""
    exact = target(alpha)
    states = {name: a_state([*name[:-1], END] if name.endswith(".") else list(name), 1 / alpha) for name in exact}
    flow = dict(exact)
    for old, one in states.items():
        for place in range(len(one.tokens)):
            for new, other in states.items():
                if other.beginning(place) == one.beginning(place) and len(other.tokens) > place:
                    proposed = exact[old] / len(one.tokens) * math.exp(other.drawn(place))
                    ratio = log_ratio(one, other, place, alpha) + math.log(len(one.tokens)) - math.log(len(other.tokens))
                    flow[new] += proposed * math.exp(min(0.0, ratio))
                    flow[old] -= proposed * math.exp(min(0.0, ratio))
    assert flow == pytest.approx(exact, abs=1e-12)


def reference(rng: random.Random, blocks: int = LONGEST, moves: int = 10) -> str:
    """The authors' rule: grown token by token, a proposal no longer than what it replaces, compared with as much of that as it is long itself."""
    state: list[str] = []
    for _ in range(blocks):
        state += drawn(rng, "".join(state), 1, 1 / ALPHA)
        for _ in range(moves):
            place = rng.randrange(len(state))
            proposal = state[:place] + drawn(rng, "".join(state[:place]), len(state) - place, 1 / ALPHA)
            part = state[: len(proposal)]
            power = ALPHA * (sum(logs(proposal, natural)[place:]) - sum(logs(part, natural)[place:]))
            correction = sum(logs(part, one_over_alpha)[place:]) - sum(logs(proposal, one_over_alpha)[place:])
            if math.log(1 - rng.random()) < power + correction:
                state = proposal
        if END in state:
            break
    return "".join(state) + "." * (END in state)


def one_over_alpha(prefix: str) -> dict[str, float]:
    return heated(prefix, 1 / ALPHA)


def test_the_rule_of_the_authors_would_fail_this():
    rng = random.Random(1)
    assert distance(Counter(reference(rng) for _ in range(1200)), target(ALPHA)) > 0.2


async def test_with_alpha_1_the_model_is_left_as_it_is_and_what_is_as_long_is_accepted():
    rig = Rig(Tiny(fixed=True))
    outcome = await rig.run(a_plan("power_sampling", alpha=1, moves=2000, burn=0, max_tokens=LONGEST), a_query("?", task=Task.FREE))
    assert distance(Counter(map(where, outcome.candidates)), target(1, fixed=True)) < 0.08  # 16 states, some 500 independent draws
    proposals = [call.prefix for call in rig.toy.calls[1:]]
    written = [sample.text for sample in rig.toy.written[1:]]
    assert [one.text for one in outcome.candidates[1:]] == [prefix + text for prefix, text in zip(proposals, written, strict=True)]


def a_sample(pieces, temperature, prefix="") -> Sample:
    return Sample(
        text="".join(pieces),
        prompt_tokens=7,
        completion_tokens=len(pieces),
        finish=Finish.END if END in pieces else Finish.LENGTH,
        logprobs=tuple(logs(pieces, natural, prefix)),
        pieces=tuple(pieces),
        drawn_logprobs=tuple(logs(pieces, lambda text: heated(text, temperature), prefix)),
    )


def a_state(pieces, temperature) -> State:
    return written(State(), 0, a_sample(pieces, temperature))


def test_the_ratio_is_that_of_powers_over_that_of_proposals():
    old, new = a_state(list("abab"), 0.25), a_state(list("abba"), 0.25)
    expected = 4 * (old.own(2) - new.own(2)) + new.drawn(2) - old.drawn(2)
    assert log_ratio(new, old, 2, 4) == pytest.approx(expected)
    assert log_ratio(new, old, 0, 4) == pytest.approx(expected)  # what is the same cancels
    assert log_ratio(old, new, 2, 4) == pytest.approx(-expected)


def test_a_state_keeps_its_first_tokens_and_has_a_new_rest():
    old = a_state(list("abab"), 0.25)
    new = written(old, 2, a_sample(["b", END], 0.25, "ab"))
    assert (new.text, old.beginning(2)) == ("abb", "ab")
    assert all(one is other for one, other in zip(new.tokens[:2], old.tokens, strict=False))
    assert [token.finish for token in new.tokens] == [Finish.STOP] * 3 + [Finish.END]
    assert new.own(0) == pytest.approx(sum(logs(["a", "b", "b", END], natural)))
    assert new.drawn(2) == pytest.approx(sum(logs(["b", END], one_over_alpha, "ab")))


async def test_one_chain_has_one_vote_and_keeps_the_tokens_of_its_last_state_alone():
    rig = Rig(Toy(accuracy=0.6))
    outcome = await rig.run(a_plan("power_sampling", cut="step", moves=12))
    voting = [one for one in outcome.candidates if one.fate is Fate.KEPT]
    assert [one.text for one in voting] == [outcome.text]
    assert outcome.usage.kept_tokens == len(outcome.text) + 1
    assert outcome.usage.kept_tokens + outcome.usage.discarded_tokens == sum(spent.completion for spent in rig.toy.spends)
    assert len(rig.toy.calls) == 13
    assert voting[0].cost == pytest.approx(0.1 * len("3 1 4 1 5") + len(outcome.text) + 1)  # as if it had been written in one


async def test_what_several_votes_share_is_kept_once():
    rig = Rig(Toy(accuracy=0.6))
    outcome = await rig.run(a_plan("power_sampling", cut="step", moves=12, burn=3))
    voting = [one for one in outcome.candidates if one.fate is Fate.KEPT]
    assert len(voting) == 10
    assert max(one.tokens for one in voting) <= outcome.usage.kept_tokens < sum(one.tokens for one in voting)
    assert outcome.usage.discarded_tokens >= 0


async def test_no_moves_is_a_plain_sample():
    rig = Rig()
    outcome = await rig.run(a_plan("power_sampling", moves=0, alpha=2))
    assert [(call.prefix, call.temperature, call.pieces) for call in rig.toy.calls] == [("", 0.5, True)]
    assert len(outcome.candidates) == 1


async def test_proposals_are_of_full_length_from_any_place_or_from_steps():
    for cut, ends in (("token", {"\n", "3", " "}), ("step", {"\n"})):
        rig = Rig(Toy(accuracy=1.0))
        await rig.run(a_plan("power_sampling", cut=cut, moves=40))
        assert all(call.max_tokens == 256 - len(call.prefix) and call.stop == () for call in rig.toy.calls)
        assert all(solved("3 1 4 1 5").startswith(call.prefix) for call in rig.toy.calls)
        assert {call.prefix[-1] for call in rig.toy.calls if call.prefix} >= ends


class Broken(Toy):
    """Writes a letter in two halves, neither of which can be read."""

    def worked(self, call):
        return "1\n\ufffd\ufffd\nAnswer: 1"[len(call.prefix) :]


async def test_it_never_cuts_behind_half_a_letter():
    rig = Rig(Broken())
    await rig.run(a_plan("power_sampling", moves=60), a_query("1"))
    assert {call.prefix for call in rig.toy.calls} == {"", "1", "1\n"}


async def test_chains_are_streams_of_their_own():
    """More chains change nothing about the first."""
    few, many = Rig(Toy(accuracy=0.6)), Rig(Toy(accuracy=0.6))
    one = await few.run(a_plan("power_sampling", cut="step", chains=1, moves=6))
    three = await many.run(a_plan("power_sampling", cut="step", chains=3, moves=6))
    assert Counter(call.seed for call in few.toy.calls) <= Counter(call.seed for call in many.toy.calls)
    assert one.text in [each.text for each in three.candidates if each.fate is Fate.KEPT]


async def test_the_majority_of_the_chains_is_given():
    outcome = await Rig(Toy(accuracy=0.7)).run(a_plan("power_sampling", cut="step", chains=9, moves=3), a_query("3 1"))
    voting = Counter(one.answer for one in outcome.candidates if one.fate is Fate.KEPT)
    assert voting.total() == 9
    assert outcome.answer == voting.most_common(1)[0][0]


async def test_a_chain_that_the_budget_ends_answers_from_where_it_is():
    whole = await Rig(Toy(accuracy=0.6)).run(a_plan("power_sampling", cut="step", moves=12))
    for tokens in range(60, whole.usage.tokens, 45):
        outcome = await Rig(Toy(accuracy=0.6)).run(a_plan("power_sampling", cut="step", moves=12), tokens=tokens)
        assert outcome.answer is not None
        assert len([one for one in outcome.candidates if one.fate is Fate.KEPT]) == 1


async def test_what_the_budget_cut_is_not_accepted():
    """The shorter a proposal the likelier it is; one that was only cut short is not."""
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("power_sampling", moves=30), tokens=500)
    assert outcome.answer == "31415"
    assert rig.toy.calls[-1].max_tokens < 256 - len(rig.toy.calls[-1].prefix)


async def test_a_move_that_fails_is_not_made():
    outcome = await Rig(Toy(accuracy=1.0, fails=frozenset({0, 2, 3}))).run(a_plan("power_sampling", cut="step", moves=4))
    assert (outcome.answer, outcome.stop_reason) == ("31415", "done")


@pytest.mark.parametrize("options", [{"alpha": 0.5}, {"moves": -1}, {"chains": 0}, {"cut": "word"}, {"burn": -1}, {"max_tokens": 0}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match=r"^power_sampling"):
        strategies.build("power_sampling", options)


def test_it_needs_what_it_reckons_with():
    assert strategies.build("power_sampling").needs == {"pieces", "prefix", "logprobs"} <= SKILLED
