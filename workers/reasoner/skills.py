"""What the bundled reasoners are taught besides answering: to check, score, compare, mend, split, program and sum up, with exact ground truth.

Every example is a prompt and the one right completion of it, worked out from the problem's known steps. Drafts to work on are samples of a reasoner
(`Attempt`), or known solutions with one mistake put in.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from workers.reasoner.prompt import ANSWER, Skill, completion, prompt
from workers.reasoner.workload import FAMILIES, Problem, problems

_LAST_NUMBER = re.compile(r"\d+(?=\D*$)")
_OPERATION = re.compile(r"(-?\d+) ([-+*/]) (-?\d+)")
TOP = 9  # the score of what is right so far
_WRONG_TOP = 6  # the most that what is wrong can score


@dataclass(frozen=True, slots=True)
class Attempt:
    """A problem and solutions that a reasoner sampled for it."""

    problem: Problem
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """What the model is given, and what it is to write.

    `read` are places in the prompt, (start, end) in letters, that it is to predict too: lines of drafts that are right. Only who knows what comes
    next in a line can tell that something else stands there.
    """

    prompt: str
    completion: str
    read: tuple[tuple[int, int], ...] = ()


def right_lines(problem: Problem, text: str) -> tuple[int, int]:
    """How many lines of a solution, from its start, are the known ones, and how many lines it has."""
    known, lines = (*problem.steps, f"{ANSWER} {problem.answer}"), text.splitlines()
    right = next((place for place, line in enumerate(lines) if place >= len(known) or line != known[place]), len(lines))
    return right, len(lines)


def mark(problem: Problem, text: str) -> int:
    """The score, 0 to 9, of a solution or a beginning of one: 9 while all is right, else in proportion to the steps that were."""
    right, lines = right_lines(problem, text)
    return TOP if right == lines else _WRONG_TOP * right // (len(problem.steps) + 1)


def check(problem: Problem, text: str) -> str:
    """The check of a finished solution: a verdict on each line up to the first wrong one, then on the whole."""
    right, lines = right_lines(problem, text)
    rows = [f"{number} ok" for number in range(1, right + 1)]
    if right < lines:
        return "\n".join([*rows, f"{right + 1} wrong", "Verdict: No"])
    return "\n".join([*rows, f"Verdict: {'Yes' if right == len(problem.steps) + 1 else 'No'}"])


def corrupt(problem: Problem, dice: random.Random) -> str:
    """The known solution with one wrong number in it, which later lines go on with."""
    lines = [*problem.steps, f"{ANSWER} {problem.answer}"]
    places = [place for place, line in enumerate(lines) if _LAST_NUMBER.search(line)]
    if not places:
        return _reordered(lines, dice)
    place = dice.choice(places)
    found = _LAST_NUMBER.search(lines[place])
    assert found
    old, new = found[0], _misread(found[0], dice)
    lines[place] = f"{lines[place][: found.start()]}{new}{lines[place][found.end() :]}"
    if dice.random() < 0.8:
        lines[place + 1 :] = [re.sub(rf"\b{old}\b", new, line) for line in lines[place + 1 :]]
    return "\n".join(lines)


def _reordered(lines: list[str], dice: random.Random) -> str:
    """An order with two neighbours exchanged, or with another name as the answer."""
    *steps, last = lines
    if len(steps) > 1 and dice.random() < 0.7:
        place = dice.randrange(len(steps) - 1)
        steps[place], steps[place + 1] = steps[place + 1], steps[place]
    others = {name for step in steps for name in step.split(" > ")} - {last.removeprefix(f"{ANSWER} ")}
    return "\n".join([*steps, f"{ANSWER} {dice.choice(sorted(others))}" if steps == lines[:-1] or dice.random() < 0.3 else last])


def _misread(number: str, dice: random.Random) -> str:
    """Another number, as slips make them: off by one, by ten, or one digit wrong."""
    if dice.random() < 0.5:
        return str(int(number) + dice.choice([slip for slip in (-10, -2, -1, 1, 2, 10) if int(number) + slip >= 0]))
    place = dice.randrange(len(number))
    return str(int(number[:place] + str((int(number[place]) + dice.randint(1, 9)) % 10) + number[place + 1 :]))


# --- one example of each skill -----------------------------------------------------------------------------------------


def verify(attempt: Attempt, dice: random.Random) -> Example:
    """Is this solution right?"""
    text = _draft(attempt, dice)
    return _about("verify", attempt.problem, (text,), check(attempt.problem, text))


def score(attempt: Attempt, dice: random.Random) -> Example:
    """How good is this solution, or this beginning of one, from 0 to 9?"""
    text = _beginning(_draft(attempt, dice), dice) if dice.random() < 0.7 else _draft(attempt, dice)
    return _about("score", attempt.problem, (text,), str(mark(attempt.problem, text)))


def judge(attempt: Attempt, dice: random.Random) -> Example:
    """Which of two solutions is better?"""
    wrong = dice.random() < 0.5
    first, second = _draft(attempt, dice, wrong=wrong), _draft(attempt, dice, wrong=not wrong if dice.random() < 0.7 else None)
    one, two = mark(attempt.problem, first), mark(attempt.problem, second)
    better = "A" if one > two else "B" if two > one else "="
    return _about("judge", attempt.problem, (first, second), f"{one} {two}\nBetter: {better}")


def refine(attempt: Attempt, dice: random.Random) -> Example:
    """Write the solution again, given what is wrong with it; the feedback is sometimes mistaken."""
    text = _draft(attempt, dice)
    feedback = check(attempt.problem, text if dice.random() < 0.85 else _draft(attempt, dice))
    return _about("refine", attempt.problem, (text, feedback), _solution(attempt.problem))


def summarise(attempt: Attempt, dice: random.Random) -> Example:
    """One solution out of two to four drafts."""
    drafts = [_draft(attempt, dice) for _ in range(dice.randint(2, 4))]
    return _about("summarise", attempt.problem, tuple(drafts), _solution(attempt.problem))


def restart(attempt: Attempt, dice: random.Random) -> Example:
    """Would starting over help?"""
    text = _beginning(_draft(attempt, dice), dice)
    return _about("restart", attempt.problem, (text,), "No" if mark(attempt.problem, text) == TOP else "Yes")


def true(attempt: Attempt, dice: random.Random) -> Example:
    """Is this the answer?"""
    answer = _answer(_draft(attempt, dice))
    return Example(prompt("true", attempt.problem.question, answer), "True" if answer == attempt.problem.answer else "False")


def know(attempt: Attempt, dice: random.Random) -> Example:
    """Will a sample of the smaller reasoner be right?"""
    return Example(prompt("know", attempt.problem.question), "Yes" if _answer(dice.choice(attempt.texts)) == attempt.problem.answer else "No")


def split(attempt: Attempt, dice: random.Random) -> Example:
    """Sub-questions with their difficulty from 1 to 9; `#2` is the answer to the second of them."""
    return Example(prompt("split", attempt.problem.question), "\n".join(_parts(attempt.problem)))


def program(attempt: Attempt, dice: random.Random) -> Example:
    """A Python program that prints the answer."""
    return Example(prompt("program", attempt.problem.question), code(attempt.problem))


def solve(attempt: Attempt, dice: random.Random) -> Example:
    """Step by step."""
    return Example(prompt("solve", attempt.problem.question), _solution(attempt.problem))


def direct(attempt: Attempt, dice: random.Random) -> Example:
    """The answer alone."""
    return Example(prompt("direct", attempt.problem.question), completion("direct", (), attempt.problem.answer))


TEACH: Mapping[Skill, Callable[[Attempt, random.Random], Example]] = {
    "direct": direct,
    "solve": solve,
    "verify": verify,
    "score": score,
    "judge": judge,
    "refine": refine,
    "split": split,
    "program": program,
    "summarise": summarise,
    "restart": restart,
    "true": true,
    "know": know,
}
_SAMPLED: frozenset[Skill] = frozenset({"know"})  # skills that are about the reasoner's own samples, so need some


def examples(shares: Mapping[Skill, float], attempts: Sequence[Attempt], seed: int) -> Iterator[Example]:
    """An endless stream, each skill as often as its share says; drafts are sampled ones half the time, where there are any."""
    dice, fresh = random.Random(seed), problems("train", seed, families=(*FAMILIES, "chain_sum", "ordering"))  # the hardest to learn, twice
    skills, weights = list(shares), list(shares.values())
    while True:
        skill = dice.choices(skills, weights)[0]
        sampled = bool(attempts) and (skill in _SAMPLED or (skill not in ("solve", "direct", "program", "split") and dice.random() < 0.6))
        yield TEACH[skill](dice.choice(attempts) if sampled else Attempt(next(fresh), ()), dice)


def _about(skill: Skill, problem: Problem, texts: tuple[str, ...], written: str) -> Example:
    """An example about drafts; their right lines are to be predicted where they are read."""
    given, read = prompt(skill, problem.question, *texts), list[tuple[int, int]]()
    start = len(prompt(skill, problem.question))
    for text in texts:
        right, _ = right_lines(problem, text)
        for number, line in enumerate(text.splitlines(), 1):
            end = given.index("\n", start) + 1
            if number <= right:
                read.append((end - len(line) - 2, end))
            start = end
    return Example(given, written, tuple(read))


def _solution(problem: Problem) -> str:
    return completion("solve", problem.steps, problem.answer)


def _draft(attempt: Attempt, dice: random.Random, *, wrong: bool | None = None) -> str:
    """A solution, wrong half the time if not told: a sampled one where there is one of the kind, else the known one or a mistaken one."""
    wrong = dice.random() < 0.5 if wrong is None else wrong
    fitting = [text for text in attempt.texts if (mark(attempt.problem, text) < TOP) == wrong]
    if fitting and dice.random() < 0.8:
        return dice.choice(fitting)
    return corrupt(attempt.problem, dice) if wrong else _solution(attempt.problem)


def _beginning(text: str, dice: random.Random) -> str:
    """Some whole lines from the start, at least one."""
    lines = text.splitlines()
    return "\n".join(lines[: dice.randint(1, max(1, len(lines) - 1))])


def _answer(text: str) -> str:
    return text.rpartition(f"{ANSWER} ")[2].strip()


# --- splitting and programming -----------------------------------------------------------------------------------------


def _parts(problem: Problem) -> list[str]:
    if problem.family == "gcd":
        return [f"6 gcd {' '.join(re.findall(r'[0-9]+', problem.question))}"]
    if problem.family == "ordering":
        return [f"1 place {place}" for place in range(1, len(problem.steps) + 2)]
    rows, results = [], list[str]()
    for step in problem.steps:
        found = _OPERATION.search(step)
        assert found, step
        first, sign, second = (_referred(found[1], results), found[2], _referred(found[3], results))
        hard = min(9, len(found[1]) + len(found[3]) - 1 + 2 * (sign in "*/"))
        rows.append(f"{hard} {first} {sign} {second}")
        results.append(step.partition(" = ")[2].partition(" ;")[0])
    return rows


def _referred(number: str, results: list[str]) -> str:
    """`#k` where the number is the result of step k that was not used before."""
    for place in range(len(results) - 1, -1, -1):
        if results[place] == number:
            results[place] = ""
            return f"#{place + 1}"
    return number


def code(problem: Problem) -> str:
    """Python that prints the answer, in the terms of the question."""
    match problem.family:
        case "stories":
            operations = [_OPERATION.match(step) for step in problem.steps]
            first = operations[0][1] if operations[0] else ""
            rows = [f"x = x {'//' if one[2] == '/' else one[2]} {one[3]}" for one in operations if one]
            return "\n".join([f"x = {first}", *rows, "print(x)"])
        case "chain_sum":
            return f"print({problem.question.rpartition(': ')[2].removesuffix(' =')})"
        case "basic_arithmetic":
            return f"print({problem.question.removeprefix('Calculate ').removesuffix('.')})"
        case "leg_counting":
            return f"print({' + '.join(step.partition(': ')[2].partition(' =')[0] for step in problem.steps if ':' in step)})"
        case "gcd":
            return f"from math import gcd\nprint(gcd({', '.join(re.findall('[0-9]+', problem.question))}))"
        case _:
            return _ranking(problem)


def _ranking(problem: Problem) -> str:
    pairs = re.findall(r"(\w+) is \w+ than (\w+)\.", problem.question)
    place, most = re.findall(r"Who is the (?:(second|third|fourth) )?(\w+)\?", problem.question)[0]
    last = not place and problem.answer == problem.steps[-1].rpartition(" > ")[2] and most in ("youngest", "shortest", "slowest")
    ends = "set(after.values()) - set(after)" if last else "set(after) - set(after.values())"
    steps = ["name = after[name]"] * {"": 0, "second": 1, "third": 2, "fourth": 3}[place]
    listed = ", ".join(f'"{above}": "{below}"' for above, below in pairs)
    return "\n".join([f"after = {{{listed}}}", f"name = ({ends}).pop()", *steps, "print(name)"])
