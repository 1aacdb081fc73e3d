"""The problems: every answer worked out again from the question's text alone, splits that share nothing, levels that grow."""

import ast
import json
import math
import operator
import random
import re
import statistics
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import pytest

from workers.reasoner.prompt import completion, prompt
from workers.reasoner.workload import FAMILIES, LEVELS, problems, split_of

GYM = json.loads((Path(__file__).parent / "reasoning_gym.json").read_text())
LEGS = {**GYM["legs"], "fish": 0, "snail": 0}
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def value(expression: str) -> float:
    """Arithmetic and nothing else."""

    def of(node: ast.AST) -> float:
        match node:
            case ast.Constant(value=int(number)):
                return number
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return -of(inner)
            case ast.BinOp(left=left, op=sign, right=right):
                return OPERATORS[type(sign)](of(left), of(right))
        raise ValueError(ast.dump(node))

    return of(ast.parse(expression.strip(), mode="eval").body)


def whole(number: float) -> str:
    assert number == int(number)
    return str(int(number))


def story(question: str) -> str:
    person, count, thing = re.match(r"(\w+) has (\d+) (\w+)\.", question).groups()
    total = int(count)
    for event in re.findall(r"Then ([^.]*)\.", question):
        if event == f"the number of {thing} doubles":
            total *= 2
        elif event == f"the number of {thing} triples":
            total *= 3
        elif event == f"half of the {thing} break":
            total //= 2
        else:
            verb, amount = re.match(rf"{person} (\w+) (\d+) (?:more )?{thing}", event).groups()
            total += int(amount) * {"buys": 1, "finds": 1, "gets": 1, "wins": 1, "gives": -1, "loses": -1, "sells": -1, "drops": -1}[verb]
            assert total >= 0
    return str(total)


def legs(question: str) -> str:
    listed = re.search(r"if you have (.*)\?", question)[1].split(", ")
    pairs = [re.match(r"(\d+) (.*)", one).groups() for one in listed]
    return str(sum(int(count) * LEGS[animal if int(count) == 1 else animal.removesuffix("s")] for count, animal in pairs))


def in_line(question: str) -> str:
    above = dict(re.findall(r"(\w+) is \w+ than (\w+)\.", question))
    (first,) = set(above) - set(above.values())
    line = [first]
    while line[-1] in above:
        line.append(above[line[-1]])
    place, most = re.search(r"Who is the (?:(second|third|fourth) )?(\w+)\?", question).groups()
    more = re.search(r"is (\w+) than", question)[1]
    if place:
        assert most == more.removesuffix("er") + "est"
        return line[{"second": 1, "third": 2, "fourth": 3}[place]]
    return line[0] if most == more.removesuffix("er") + "est" else line[-1]


SOLVERS: dict[str, Callable[[str], str]] = {
    "stories": story,
    "chain_sum": lambda question: whole(value(re.search(r": (.*) =$", question)[1])),
    "basic_arithmetic": lambda question: whole(value(re.search(r"Calculate (.*)\.$", question)[1])),
    "leg_counting": legs,
    "gcd": lambda question: str(math.gcd(*map(int, re.findall(r"\d+", question)))),
    "ordering": in_line,
}


def drawn(family, count=200, split="train", levels=LEVELS):
    return list(islice(problems(split, 11, families=(family,), levels=levels), count))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_is_the_one_the_question_has(family):
    for problem in drawn(family):
        assert problem.answer == SOLVERS[family](problem.question), problem.question


@pytest.mark.parametrize("family", ["stories", "chain_sum", "basic_arithmetic", "leg_counting", "gcd"])
def test_every_step_is_true_and_the_last_gives_the_answer(family):
    for problem in drawn(family):
        for step in problem.steps:
            left, right = step.partition(";")[0].rpartition(":")[2].split("=")
            assert value(left) == value(right), step
        *_, last = problem.steps
        result = last.split("=")[1] if family != "gcd" else re.search(r"\* (\d+) \+ 0$", last)[1]
        assert result.strip() == problem.answer


def test_what_is_left_of_an_expression_is_worth_as_much():
    for problem in drawn("basic_arithmetic"):
        for step in problem.steps[:-1]:
            assert whole(value(step.partition(";")[2])) == problem.answer


def test_steps_of_an_order_are_the_line():
    for problem in drawn("ordering"):
        pairs = [step.split(" > ") for step in problem.steps]
        assert all(first[1] == second[0] for first, second in pairwise(pairs))
        assert sorted(tuple(pair) for pair in pairs) == sorted(re.findall(r"(\w+) is \w+ than (\w+)\.", problem.question))


@pytest.mark.parametrize("family", FAMILIES)
def test_levels_grow(family):
    """Longer questions or more steps, and never shorter ones."""
    means = [
        statistics.mean(len(one.question) + 20 * len(one.steps) for one in drawn(family, 150, levels=range(level, level + 1))) for level in LEVELS
    ]
    assert all(harder >= easier * 0.97 for easier, harder in pairwise(means))
    assert means[-1] > 1.15 * means[0]


def test_families_and_levels_are_drawn_alike():
    found = list(islice(problems("train", 5), 4_800))
    for key in (lambda one: one.family, lambda one: one.level):
        counts = statistics.multimode(map(key, found)), [sum(key(one) == name for one in found) for name in {key(one) for one in found}]
        assert max(counts[1]) < 1.5 * min(counts[1])  # easy questions are few, and those of other splits are left out


def test_a_seed_is_a_stream_of_its_own():
    first, again, other = (list(islice(problems("train", seed), 50)) for seed in (1, 1, 2))
    assert first == again != other


def test_splits_share_no_question():
    seen = {
        split: {one.question for seed in (0, 7) for one in islice(problems(split, seed), 1_700 if split != "train" else 6_600)}
        for split in ("train", "calibration", "test")
    }
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["calibration"]
    assert not seen["calibration"] & seen["test"]
    assert all(split_of(question) == split for split, questions in seen.items() for question in questions)


def test_about_a_tenth_of_all_questions_is_kept_for_tests():
    rng = random.Random(3)
    splits = [split_of(FAMILIES["chain_sum"](rng, 7).question) for _ in range(4_000)]
    assert [round(splits.count(split) / 4_000, 1) for split in ("test", "calibration", "train")] == [0.1, 0.1, 0.8]


def test_no_test_question_occurs_in_training_text():
    text = "".join(prompt("solve", one.question) + completion("solve", one.steps, one.answer) + "\n" for one in islice(problems("train", 1), 4_000))
    for one in islice(problems("test", 99), 1_000):
        assert prompt("solve", one.question) not in text
        # "Dan is taller than Eva. Who is the tallest?" may well end a longer question about more people, with another answer.
        assert one.family == "ordering" or one.question not in text


def test_questions_survive_being_put_into_a_prompt():
    assert all(prompt("solve", one.question) == f"solve: {one.question}\n" for one in islice(problems("train", 2), 500))


# --- beside reasoning-gym ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["chain_sum", "basic_arithmetic", "leg_counting", "gcd"])
def test_our_reading_of_a_question_agrees_with_reasoning_gyms_answer(family):
    """So that the readers above, which hold our own answers to account, are held to account themselves."""
    theirs = [one for one in GYM["problems"] if one["family"] == family]
    assert len(theirs) == 25
    assert [SOLVERS[family](one["question"]) for one in theirs] == [one["answer"] for one in theirs]


WORDING = {
    "chain_sum": r"State the final answer to the following arithmetic problem: [-+0-9 ]+ =",
    "basic_arithmetic": r"Calculate [-+*/()0-9 ]+\.",
    "leg_counting": r"[Hh]ow many legs are there in total if you have (\d+ [a-z ]+(, )?)+\?",
    "gcd": r"Find the Greatest Common Divisor \(GCD\) of these numbers: \d+, \d+\.",
}


@pytest.mark.parametrize("family", WORDING)
def test_the_wording_is_reasoning_gyms(family):
    theirs = [one["question"] for one in GYM["problems"] if one["family"] == family]
    assert all(re.search(WORDING[family], question) for question in theirs)
    assert all(re.fullmatch(WORDING[family], one.question) for one in drawn(family, 50))
