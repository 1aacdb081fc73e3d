"""How long one trace is: budget_forcing, plan_and_budget, iterative_deepening, mur, difficulty_modes and thinker."""

from collections import Counter
from dataclasses import dataclass, field, replace
from math import exp

import numpy as np
import pytest

from router.ports import Spent
from router.types import Call, Evidence, Fate, Finish, Message, Sample
from tests.workers.toy import Oracle, Rig, Toy, a_plan, a_query, solved
from workers.parts.sampling import remarked
from workers.strategies import strategies
from workers.strategies.difficulty_modes import labelled, probed
from workers.strategies.iterative_deepening import marks
from workers.strategies.mur import uncertain
from workers.strategies.plan_and_budget import allocated

QUESTION = "3 1 4 1 5"
PLAIN = solved(QUESTION)


def thought(toy):
    """Tokens written before the answer was opened by force or taken up."""
    return sum(spent.completion for call, spent in zip(toy.calls, toy.spends, strict=True) if "Answer:" not in call.prefix)


# --- budget_forcing --------------------------------------------------------------------------------------------------


async def test_without_ignoring_and_with_enough_tokens_it_is_direct():
    forced, direct = Rig(), Rig()
    one = await forced.run(a_plan("budget_forcing", ignores=0, max_tokens=256))
    two = await direct.run(a_plan("direct", skill="solve"))
    assert (one.text, one.usage.tokens, one.stop_reason) == (two.text, two.usage.tokens, "done")


@pytest.mark.parametrize("ignores", [0, 1, 4])
async def test_thinking_never_passes_its_ceiling_and_the_answer_comes_all_the_same(ignores):
    for most in range(1, 40):
        rig = Rig()
        outcome = await rig.run(a_plan("budget_forcing", max_tokens=most, ignores=ignores))
        assert thought(rig.toy) <= most
        assert outcome.answer == "31415"
        assert outcome.text.count("Wait") <= ignores
        assert outcome.text.count("Answer:") == 1


async def test_a_ceiling_that_cuts_thinking_is_used_up_exactly():
    for most in range(1, 10):
        rig = Rig()
        outcome = await rig.run(a_plan("budget_forcing", max_tokens=most))
        assert (thought(rig.toy), outcome.stop_reason) == (most, "length")


async def test_each_opening_is_ignored_as_often_as_it_may_be():
    for ignores in (1, 2, 6):
        outcome = await Rig().run(a_plan("budget_forcing", ignores=ignores))
        assert outcome.text == "3\n1\n4\n1\n5\n" + "Wait\n" * ignores + "Answer: 31415"


async def test_an_opening_after_enough_thought_is_not_ignored():
    within = await Rig().run(a_plan("budget_forcing", least=18, ignores=3))  # 10 tokens of steps, and "Answer:" is 7 more
    after = await Rig().run(a_plan("budget_forcing", least=17, ignores=3))
    assert (within.text.count("Wait"), after.text.count("Wait")) == (1, 0)
    assert within.answer == after.answer == "31415"


async def test_a_model_that_ends_without_an_answer_is_made_to_think_again():
    outcome = await Rig(Toy(mute=1.0)).run(a_plan("budget_forcing", ignores=2))
    assert outcome.candidates[0].text == "3\n1\n4\n1\n5\n" + "no idea\nWait\n" * 2 + "no idea"
    assert outcome.answer is None


async def test_the_control_metric_is_one_at_any_ceiling():
    inside = 0
    for seed in range(20):
        rig = Rig(Toy(accuracy=0.7))
        await rig.run(a_plan("budget_forcing", max_tokens=30, ignores=8, temperature=0.8), a_query(seed=seed))
        inside += thought(rig.toy) <= 30
    assert inside == 20


# --- plan_and_budget -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [175, 105, 70]),
        ("linear", [229, 91, 30]),
        ("polynomial", [267, 72, 11]),
        ("cosine", [257, 84, 9]),
        ("exponential", [188, 102, 60]),
    ],
)
def test_shares_by_hand(schedule, shares):
    assert allocated([0.5, 0.3, 0.2], 350, schedule) == shares
    assert allocated([5, 3, 2], 350, schedule) == shares


@pytest.mark.parametrize("schedule", ["constant", "linear", "polynomial", "cosine", "exponential"])
def test_shares_add_up_are_never_negative_and_work_for_one(schedule):
    rng = np.random.default_rng(3)
    for _ in range(200):
        credits, total = rng.integers(1, 10, rng.integers(1, 9)).tolist(), int(rng.integers(1, 700))
        shares = allocated(credits, total, schedule)
        assert sum(shares) == total
        assert min(shares) >= 0
    assert allocated([7], 350, schedule) == [350]
    assert allocated([], 350, schedule) == []


@dataclass
class Told(Toy):
    """Looks at the question's first line alone; `plan` is what it splits it into."""

    plan: str | None = None

    def solution(self, call: Call) -> str:
        bare = (*call.messages[:-1], replace(call.messages[-1], content=call.messages[-1].content.split("\n")[0]))
        return super().solution(replace(call, messages=bare))

    def split(self, call: Call) -> str:
        return super().split(call) if self.plan is None else self.plan


async def test_the_model_is_told_the_plan_and_its_budgets():
    rig = Rig(Told())
    outcome = await rig.run(a_plan("plan_and_budget", schedule="constant", max_tokens=150))
    asked = rig.toy.calls[1].messages[-1].content
    assert asked.startswith(f"{QUESTION}\n\n")
    assert asked.endswith("1. 3 (about 10 tokens)\n2. 1 (about 20 tokens)\n3. 4 (about 30 tokens)\n4. 1 (about 40 tokens)\n5. 5 (about 50 tokens)")
    assert (outcome.text, outcome.answer) == (PLAIN, "31415")


async def test_each_step_has_its_own_ceiling_and_the_rest_is_for_the_end():
    rig = Rig()
    outcome = await rig.run(a_plan("plan_and_budget", words=False, schedule="constant", max_tokens=150))
    assert [call.max_tokens for call in rig.toy.calls[1:]] == [10, 20, 30, 40, 50, 150 - 10]
    assert {call.messages[-1].content for call in rig.toy.calls} == {QUESTION}
    assert (outcome.text, outcome.stop_reason) == (PLAIN, "done")


async def test_a_step_that_overruns_its_share_is_cut():
    rig = Rig()
    outcome = await rig.run(a_plan("plan_and_budget", words=False, schedule="constant", max_tokens=15))  # shares of 1 to 5 tokens
    assert [call.max_tokens for call in rig.toy.calls[1:6]] == [1, 2, 3, 4, 5]
    assert outcome.text.startswith("3\n1\n4\n1\n5\n")
    assert outcome.answer == "31415"


async def test_without_enforcing_it_is_one_sample():
    rig = Rig(Told())
    outcome = await rig.run(a_plan("plan_and_budget", enforce=False))
    assert ([call.max_tokens for call in rig.toy.calls], outcome.text) == ([128, 350], PLAIN)


@pytest.mark.parametrize("plan", ["", "First, think.\nThen, answer.", "0 nothing", "12 two digits"])
async def test_without_a_plan_that_can_be_read_it_is_one_sample_of_the_bare_query(plan):
    rig = Rig(Told(plan=plan))
    outcome = await rig.run(a_plan("plan_and_budget"))
    assert [(call.skill, call.messages[-1].content) for call in rig.toy.calls] == [("split", QUESTION), ("solve", QUESTION)]
    assert outcome.usage.discarded_tokens == rig.toy.spends[0].completion


async def test_a_line_of_the_plan_that_was_cut_off_is_none():
    rig = Rig(Told(plan="3 what is first\n4 what is second"))
    await rig.run(a_plan("plan_and_budget", plan_tokens=20))
    assert [call.max_tokens for call in rig.toy.calls[1:]] == [350, 350 - 2]


def test_a_remark_comes_after_the_last_thing_the_user_said():
    query = a_query(QUESTION)
    longer = replace(query, messages=(*query.messages, Message(role="assistant", content="well")))
    assert [one.content for one in remarked(longer, "Think.").messages] == [f"{QUESTION}\n\nThink.", "well"]
    assert remarked(query, "") is query
    assert remarked(replace(query, messages=()), "Think.").messages == ()


# --- iterative_deepening ---------------------------------------------------------------------------------------------


def test_triggers_come_at_a_geometric_distance():
    assert marks(32, 2.0, 256) == [32, 64, 128, 256]
    assert marks(100, 1.5, 500) == [100, 150, 225, 337, 500]
    assert marks(32, 1e9, 256) == [32, 256]
    assert marks(300, 2.0, 256) == [256]
    assert marks(1, 1.1, 4) == [1, 2, 3, 4]
    for most in (10**3, 10**6):
        assert len(marks(32, 2.0, most)) <= 2 + np.log2(most / 32)


async def test_triggers_are_put_in_where_they_belong():
    rig = Rig()
    outcome = await rig.run(a_plan("iterative_deepening", n=1, first=2, gamma=2.0))
    assert outcome.text == "3\nWait\n1\nWait\n4\n1\nWait\n5\nAnswer: 31415"
    assert [call.max_tokens for call in rig.toy.calls] == [2, 2, 4, 8, 16]  # from mark to mark; at 16 the answer is being opened


async def test_a_trace_shorter_than_the_first_mark_is_direct():
    deep = await Rig().run(a_plan("iterative_deepening", n=1, first=64, temperature=0.0))
    direct = await Rig().run(a_plan("direct", skill="solve", max_tokens=64))
    assert (deep.text, deep.usage.tokens) == (direct.text, direct.usage.tokens)


async def test_an_endless_gamma_puts_in_one_trigger_at_most():
    outcome = await Rig().run(a_plan("iterative_deepening", n=1, first=4, gamma=1e12))
    assert outcome.text.count("Wait") == 1


async def test_no_trace_is_longer_than_it_may_be():
    for most in range(1, 30, 4):
        rig = Rig(Toy(accuracy=0.8))
        outcome = await rig.run(a_plan("iterative_deepening", n=1, first=3, gamma=1.5, max_tokens=most))
        assert thought(rig.toy) <= most
        assert outcome.candidates[0].tokens <= most + 32


async def test_the_majority_of_traces_and_earlier_ones_count():
    plan = a_plan("iterative_deepening", n=5, first=4)
    first = await Rig(Toy(accuracy=0.8)).run(plan, a_query("3 1"))
    assert len(first.candidates) == 5
    assert first.answer == Counter(one.answer for one in first.candidates).most_common(1)[0][0]
    rig = Rig(Toy(accuracy=0.8))
    second = await rig.run(a_plan("iterative_deepening", n=7, first=4), a_query("3 1"), evidence=Evidence(outcomes=(first,)))
    assert len(second.candidates) == 2


async def test_a_budget_cut_keeps_the_traces_that_have_ended():
    whole = Rig(Toy(accuracy=1.0))
    await whole.run(a_plan("iterative_deepening", n=1, first=64))
    outcome = await Rig(Toy(accuracy=1.0)).run(a_plan("iterative_deepening", n=4, first=64), tokens=whole.truly_spent + 20)
    assert outcome.answer == "31415"


# --- mur -------------------------------------------------------------------------------------------------------------


@dataclass
class Unsure(Toy):
    """Every step's mean log-probability, by how many steps stand before it."""

    sureness: tuple[float, ...] = (-0.1,)
    prefixes: list[str] = field(default_factory=list)

    async def sample(self, call: Call, spent: Spent) -> Sample:
        sample = await super().sample(call, spent)
        self.prefixes.append(call.prefix)
        return replace(sample, logprobs=(self.sureness[min(call.prefix.count("\n"), len(self.sureness) - 1)],) * spent.completion)

    @property
    def tries(self) -> list[int]:
        return list(Counter(self.prefixes).values())


@pytest.mark.parametrize("gamma", [0.0, 0.8, 1.0])
async def test_the_momentum_by_hand(gamma):
    sureness = (-0.5, -0.2, -0.4, -0.1, -2.0, -0.3)
    momenta, tries = [0.0], []
    for place, value in enumerate(sureness):  # momentum 0.5: 0, -0.25, -0.225, -0.3125, -0.20625, -1.103125
        tries.append(3 if place and exp(value) < gamma * exp(momenta[-1]) else 1)
        momenta.append(0.5 * momenta[-1] + 0.5 * value)
    assert momenta == pytest.approx([0, -0.25, -0.225, -0.3125, -0.20625, -1.103125, -0.7015625])
    assert tries == {0.0: [1, 1, 1, 1, 1, 1], 0.8: [1, 1, 1, 1, 3, 1], 1.0: [1, 1, 3, 1, 3, 1]}[gamma]
    rig = Rig(Unsure(accuracy=1.0, sureness=sureness))
    outcome = await rig.run(a_plan("mur", momentum=0.5, gamma=gamma, tries=3, critic="logprob"))
    assert rig.toy.tries == tries
    assert outcome.text == PLAIN


async def test_a_momentum_that_begins_at_nought_fires_early_and_then_never():
    """-0.3 < log(0.8) - 0.3 (1 - 0.9^t) as long as 0.9^t > 0.744, which is for t up to 2."""
    rig = Rig(Unsure(accuracy=1.0, sureness=(-0.3,)))
    await rig.run(a_plan("mur", critic="logprob", tries=2), a_query("1 2 3 4 5 6 7 8 9"))
    assert rig.toy.tries == [1, 2, 2, 1, 1, 1, 1, 1, 1, 1]
    assert not uncertain(-0.3, -0.3, 0.99)


async def test_an_endless_gamma_tries_every_step_but_the_first_again():
    rig = Rig(Unsure(accuracy=1.0))
    await rig.run(a_plan("mur", gamma=1e9, tries=4, critic="logprob"))
    assert rig.toy.tries == [1, 4, 4, 4, 4, 4]


@pytest.mark.parametrize("critic", ["verifier", "score"])
async def test_the_critic_finds_the_right_steps(critic):
    digits = "2 7 1 8 2 8"
    rig = Rig(Toy(accuracy=0.45))
    outcome = await rig.run(
        a_plan("mur", gamma=1e9, tries=16, critic=critic), a_query(digits, seed=1)
    )  # whose first step, which is tried once, is right
    assert outcome.text == solved(digits)
    assert len(rig.oracle.asked) == len(set(rig.oracle.asked))
    assert len(outcome.candidates) == 1


async def test_mur_asks_for_the_answer_when_its_steps_are_used_up():
    outcome = await Rig(Toy(accuracy=1.0)).run(a_plan("mur", max_steps=2))
    assert (outcome.text, outcome.stop_reason) == ("3\n1\nAnswer: 31415", "steps")


def test_mur_needs_what_its_critic_takes():
    assert strategies.build("mur", {"critic": "score"}).needs == {"prefix", "stop", "logprobs", "skill:score"}
    assert strategies.build("mur", {"critic": "logprob"}).needs == {"prefix", "stop", "logprobs"}


# --- difficulty_modes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accuracy", "entropy", "label"),
    [
        (0.9, 0.2, "normal"),
        (0.75, 0.3, "normal"),  # both bounds belong to it
        (0.9, 0.31, "easy"),  # right, but thinking too much
        (0.74, 0.1, "easy"),
        (0.5, 0.9, "easy"),
        (0.49, 0.1, "hard"),
        (0.0, 0.9, "hard"),
    ],
)
def test_the_table_of_labels(accuracy, entropy, label):
    assert labelled(accuracy, entropy, sure=0.75, calm=0.3, lost=0.5) == label


@pytest.mark.parametrize(
    ("bias", "mode", "tokens", "heat"), [([1, 0, 0], "easy", 40, 0.5), ([0, 1, 0], "normal", 100, 0.8), ([0, 0, 1], "hard", 50, 0.4)]
)
async def test_each_mode_has_its_tokens_and_temperature(bias, mode, tokens, heat):
    rig = Rig()
    plan = a_plan("difficulty_modes", probe={"weights": [[0.0] * 4] * 3, "bias": bias}, max_tokens=100)
    outcome = await rig.run(plan)
    assert outcome.stop_reason == mode
    assert [(call.max_tokens, call.temperature) for call in rig.toy.calls[1:]] == [(tokens, heat)]
    assert strategies.build(plan.strategy, plan.options).needs == {"hidden"}


def test_a_probe_may_have_layers():
    layers = [{"weights": [[1.0, 0.0], [0.0, -1.0]], "bias": [0.0, 0.0]}, {"weights": [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], "bias": [0.0, 0.0, 0.5]}]
    assert probed(np.array([2.0, 1.0], np.float32), layers) == "easy"
    assert probed(np.array([0.1, -3.0], np.float32), layers) == "normal"
    assert probed(np.array([-9.0, 9.0], np.float32), layers) == "hard"  # both are below zero, and so off


@pytest.mark.parametrize(
    ("toy", "mode"), [(Toy(accuracy=1.0), "normal"), (Unsure(accuracy=1.0, sureness=(-1.0,)), "easy"), (Toy(accuracy=0.1), "hard")]
)
async def test_peeks_tell_how_hard_it_is(toy, mode):
    outcome = await Rig(toy).run(a_plan("difficulty_modes"))
    assert outcome.stop_reason == mode
    assert [call.skill for call in toy.calls] == ["direct"] * 4 + ["solve"]


async def test_unreadable_peeks_agree_with_nothing():
    outcome = await Rig(Toy(accuracy=1.0, mute=1.0)).run(a_plan("difficulty_modes"))
    assert (outcome.stop_reason, outcome.answer) == ("hard", None)


async def test_the_solution_takes_the_vote_of_the_peeks_if_it_can_be_read():
    read = await Rig(Toy(accuracy=1.0)).run(a_plan("difficulty_modes"))
    assert [one.fate for one in read.candidates] == [Fate.DISCARDED] * 4 + [Fate.KEPT]
    cut = await Rig(Toy(accuracy=1.0)).run(a_plan("difficulty_modes", max_tokens=6))
    assert (cut.text, cut.candidates[-1].answer) == ("Answer: 31415", None)
    assert sum(one.fate is Fate.KEPT for one in cut.candidates) == 1


async def test_words_go_with_the_mode():
    rig = Rig(Told(accuracy=0.1))
    await rig.run(a_plan("difficulty_modes", words=True))
    assert [call.messages[-1].content for call in rig.toy.calls[:4]] == [QUESTION] * 4
    assert rig.toy.calls[-1].messages[-1].content.startswith(f"{QUESTION}\n\nThis is hard")


# --- thinker ---------------------------------------------------------------------------------------------------------


async def test_a_fast_answer_that_passes_costs_itself_and_its_check():
    rig = Rig(Toy(accuracy=1.0))
    rig.toy.verify = lambda call: "1 ok\nVerdict: Yes"
    outcome = await rig.run(a_plan("thinker"))
    assert [call.skill for call in rig.toy.calls] == ["direct", "verify"]
    assert (outcome.text, outcome.stop_reason) == ("Answer: 31415", "fast")
    assert outcome.candidates[0].score == pytest.approx(exp(-0.1))
    assert outcome.usage.discarded_tokens == 0


async def test_a_fast_answer_that_fails_is_solved_at_length():
    rig = Rig(Toy())
    rig.toy.verify = lambda call: "1 wrong\nVerdict: No"
    outcome = await rig.run(a_plan("thinker", max_tokens=77))
    assert [call.skill for call in rig.toy.calls] == ["direct", "verify", "solve"]
    assert (outcome.text, outcome.stop_reason, rig.toy.calls[-1].max_tokens) == (PLAIN, "slow", 77)
    assert [one.fate for one in outcome.candidates] == [Fate.DISCARDED, Fate.KEPT]


async def test_a_fast_answer_that_is_cut_off_is_not_checked():
    rig = Rig()
    outcome = await rig.run(a_plan("thinker", fast_tokens=4))
    assert [(call.skill, call.max_tokens) for call in rig.toy.calls] == [("direct", 4), ("solve", 256)]
    assert outcome.text == PLAIN


async def test_a_check_without_a_verdict_is_no_yes():
    rig = Rig()
    rig.toy.verify = lambda call: "hm"
    assert (await rig.run(a_plan("thinker"))).stop_reason == "slow"


async def test_slow_thinking_may_refine_the_fast_answer():
    rig = Rig()
    await rig.run(a_plan("thinker", skill="refine"))
    assert (rig.toy.calls[-1].skill, rig.toy.calls[-1].texts) == ("refine", ("Answer: 31415", "1 ok\nVerdict: No"))
    assert strategies.build("thinker", {"skill": "refine"}).needs == {"skill:direct", "skill:verify", "skill:refine"}


@dataclass
class Summing(Toy):
    """Sums up in one line."""

    sum: str = "Answer: 31415"

    def worked(self, call: Call) -> str:
        return self.sum if call.skill == "summarise" else super().worked(call)


@pytest.mark.parametrize(("summary", "text"), [("Answer: 31415", "Answer: 31415"), ("Answer: 9", PLAIN), ("well", PLAIN)])
async def test_a_summary_counts_only_with_the_same_answer(summary, text):
    outcome = await Rig(Summing(sum=summary)).run(a_plan("thinker", summarise=True))
    assert (outcome.text, outcome.answer) == (text, "31415")


async def test_a_slow_solution_that_cannot_be_read_leaves_the_fast_one_standing():
    outcome = await Rig().run(a_plan("thinker", max_tokens=4))
    assert (outcome.text, outcome.candidates[1].finish) == ("Answer: 31415", Finish.LENGTH)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("budget_forcing", {"ignores": -1}),
        ("budget_forcing", {"least": -1}),
        ("budget_forcing", {"max_tokens": 0}),
        ("plan_and_budget", {"schedule": "whim"}),
        ("plan_and_budget", {"plan_tokens": 0}),
        ("iterative_deepening", {"gamma": 1.0}),
        ("iterative_deepening", {"first": 0}),
        ("mur", {"critic": "me"}),
        ("mur", {"momentum": 1.5}),
        ("mur", {"gamma": -1}),
        ("difficulty_modes", {"peeks": 0}),
        ("difficulty_modes", {"lost": 0.9}),
        ("difficulty_modes", {"probe": {"weights": [[1.0], [2.0]], "bias": [0.0, 0.0]}}),
        ("difficulty_modes", {"probe": [{"weights": [[1.0]] * 2, "bias": [0.0] * 2}, {"weights": [[1.0]] * 3, "bias": [0.0] * 3}]}),
        ("difficulty_modes", {"probe": {"weights": [[1.0]] * 3}}),
        ("thinker", {"tau": -1}),
        ("thinker", {"fast_tokens": 0}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(ValueError, match=name):
        strategies.build(name, options)


async def test_a_critic_with_an_oracle_beats_plain_writing():
    """Each step after the first is right with chance 0.4, or with 8 tries 1 - 0.6^8, which is 0.98."""
    digits, right = "2 7 1 8", Counter()
    for seed in range(12):
        for tries in (1, 8):
            outcome = await Rig(Toy(accuracy=0.4), Oracle()).run(a_plan("mur", gamma=1e9, tries=tries), a_query(digits, seed=seed))
            right[tries] += outcome.text.split("\n")[1:4] == ["7", "1", "8"] and outcome.text.startswith("2")
    assert right[8] > right[1]
