"""Training: what is learned from, that it is learned, and that a stopped training goes on as if it had not been stopped."""

import itertools
from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer

from workers.reasoner import train
from workers.reasoner.model import Llama, load_model
from workers.reasoner.prompt import BAD, END, GOOD, completion, prompt
from workers.reasoner.reward import _pad, judge
from workers.reasoner.skills import Attempt, examples
from workers.reasoner.tokenizer import load_tokenizer
from workers.reasoner.train import BATCH_TOKENS, MODELS, RECIPES, Batch, Recipe, Stage, batches, fit, grow, next_token_loss, rate_at
from workers.reasoner.workload import Problem, problems, split_of

TINY = Stage(layers=1, shares={"solve": 1}, steps=30, rate=4e-3)
RECIPE = Recipe(hidden=32, heads=2, seed=5, stages=(TINY,))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the worker serves them: models this small only wait for a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(MODELS / "small")


@pytest.fixture(scope="module")
def some(tokenizer):
    return list(itertools.islice(lessons(tokenizer, 5), 30))


def lessons(tokenizer, seed, skill="solve"):
    return batches(tokenizer, examples({skill: 1}, (), seed), seed)


def a_model(tokenizer, seed=1):
    torch.manual_seed(seed)
    return Llama(RECIPE.shape(tokenizer.get_vocab_size()))


def cut(whole):
    """Some rows of each batch."""
    return [Batch(one.tokens[:8], one.weights[:8]) for one in whole]


def test_only_completions_are_learned(tokenizer, some):
    end = tokenizer.token_to_id(END)
    for batch in some[:5]:
        for tokens, learned in zip(batch.tokens.tolist(), (batch.weights >= 1).tolist(), strict=True):
            start = learned.index(True) + 1
            stop = len(learned) - learned[::-1].index(True)
            assert all(learned[start - 1 : stop])
            given, written = tokenizer.decode(tokens[:start]), tokenizer.decode(tokens[start:stop])
            assert given.startswith("solve: ")
            assert given.endswith("\n")
            assert given.count("\n") == 1
            assert split_of(given.removeprefix("solve: ").rstrip("\n")) == "train"
            assert "\nAnswer: " in written
            assert tokens[stop] == end  # the end is learned, what fills up the row is not
            assert set(tokens[stop:]) == {end}


def test_batches_are_full_and_even(some):
    for batch in some:
        assert batch.tokens.numel() <= BATCH_TOKENS
        assert batch.weights.shape == (batch.tokens.shape[0], batch.tokens.shape[1] - 1)
    assert sum(batch.tokens.numel() for batch in some) > 0.8 * BATCH_TOKENS * len(some)


def test_a_direct_answer_has_no_steps(tokenizer):
    batch = next(lessons(tokenizer, 1, "direct"))
    text = tokenizer.decode(batch.tokens[0].tolist())
    assert text.startswith("direct: ")
    assert text.count("\n") == 1


def test_a_short_completion_counts_as_if_it_were_a_dozen_tokens(tokenizer):
    batch = next(lessons(tokenizer, 1, "score"))
    assert {one for one in batch.weights.unique().tolist() if one >= 1} == {6.0}  # a digit and the end
    long = next(lessons(tokenizer, 1, "solve"))
    assert all(row.sum() >= 12 - 1e-3 for row in long.weights)


def test_the_loss_is_that_of_the_learned_tokens_alone(tokenizer, some):
    model, batch = a_model(tokenizer), some[0]
    with torch.inference_mode():
        scores = model.logits(model(batch.tokens)).log_softmax(-1)
    rows, places = batch.weights.nonzero(as_tuple=True)
    weights = batch.weights[rows, places]
    expected = -(scores[rows, places, batch.tokens[rows, places + 1]] * weights).sum() / weights.sum()
    assert float(next_token_loss(model, batch).detach()) == pytest.approx(float(expected), abs=0.02)  # bfloat16 in between


def test_thirty_steps_lower_the_loss_on_other_problems(tokenizer, some, tmp_path):
    model, paper = a_model(tokenizer), cut(itertools.islice(lessons(tokenizer, 77), 2))
    before = sum(float(next_token_loss(model, batch).detach()) for batch in paper) / 2
    fit(model, lambda done: iter(cut(some)[done:]), next_token_loss, replace(TINY, rate=2e-2), checkpoint=tmp_path / "tiny.pt", label="tiny")
    after = sum(float(next_token_loss(model, batch).detach()) for batch in paper) / 2
    assert after < before - 0.5
    assert not model.training


class Interrupted(Exception):
    pass


def test_a_resumed_training_gives_the_same_weights(tokenizer, some, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "_CHECKPOINT_STEPS", 4)
    stage, small = replace(TINY, steps=12), cut(some[:12])
    seen = []

    def loss(model, batch):
        seen.append(batch)
        if len(seen) == 7:
            raise Interrupted
        return next_token_loss(model, batch)

    def run(name, seed=1):
        model = a_model(tokenizer, seed)
        fit(model, lambda done: iter(small[done:]), loss, stage, checkpoint=tmp_path / name, label=name)
        return model

    with pytest.raises(Interrupted):
        run("cut.pt")
    resumed = run("cut.pt", seed=2)  # what it would have begun with does not matter
    assert [id(one) for one in seen] == [id(one) for one in (*small[:7], *small[4:])]
    whole = run("whole.pt")
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert not list(tmp_path.glob("*.partial"))


def test_a_finished_training_is_not_done_again(tokenizer, some, tmp_path):
    stage = replace(TINY, steps=2)
    first = a_model(tokenizer)
    fit(first, lambda done: iter(cut(some)[done:]), next_token_loss, stage, checkpoint=tmp_path / "t.pt", label="t")
    second = a_model(tokenizer, seed=2)
    fit(second, lambda done: iter(()), next_token_loss, stage, checkpoint=tmp_path / "t.pt", label="t")
    assert all(torch.equal(one, other) for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True))


def test_the_data_is_the_same_for_a_seed(tokenizer, some):
    again = list(itertools.islice(lessons(tokenizer, 5), 3))
    other = list(itertools.islice(lessons(tokenizer, 6), 3))
    assert all(torch.equal(one.tokens, two.tokens) for one, two in zip(some, again, strict=False))
    assert not all(torch.equal(one.tokens, two.tokens) for one, two in zip(some, other, strict=False))


def test_a_deeper_model_begins_as_the_same_one_and_learns_in_its_new_layers(tokenizer, some):
    model = a_model(tokenizer)
    deeper = grow(model, RECIPE.shape(tokenizer.get_vocab_size(), 3))
    tokens = some[0].tokens[:4]
    assert torch.equal(model(tokens), deeper(tokens))
    next_token_loss(deeper, cut(some[:1])[0]).backward()
    assert deeper.model.layers[2].mlp.down_proj.weight.grad.abs().max() > 0


def test_right_lines_of_drafts_are_predicted_too_and_wrong_ones_are_not(tokenizer):
    attempts = [Attempt(SUM, ("3 + 4 = 7\n7 - 2 = 4\nAnswer: 4",))]
    found = set()
    for batch in itertools.islice(batches(tokenizer, examples({"verify": 1}, attempts, 3), 3), 2):
        for tokens, weights in zip(batch.tokens.tolist(), batch.weights.tolist(), strict=True):
            if "State it" in tokenizer.decode(tokens):
                read = [token for token, weight in zip(tokens[1:], weights, strict=True) if 0 < weight < 1]
                found.add(tokenizer.decode(read))
    assert " 3 + 4 = 7\n" in found
    assert all("4\nAnswer: 4" not in one for one in found)


def test_the_learning_rate_warms_up_and_falls_to_a_hundredth():
    rates = [rate_at(step, 1_000) for step in range(1_000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) > 0.95
    assert rates[-1] == pytest.approx(0.01, abs=1e-4)
    assert rates[100:] == sorted(rates[100:], reverse=True)


@pytest.mark.parametrize("name", ["nano", "small", "large"])
def test_bundled_models_have_the_shape_of_their_recipe(name):
    assert load_model(MODELS / name).shape == RECIPES[name].shape(load_tokenizer(MODELS / name).get_vocab_size())


# --- the reward model's labels -----------------------------------------------------------------------------------------

SUM = Problem(family="chain_sum", level=1, question="State it: 3 + 4 - 2 =", steps=("3 + 4 = 7", "7 - 2 = 5"), answer="5")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (completion("solve", SUM.steps, SUM.answer), [True, True, True]),
        ("3 + 4 = 8\n8 - 2 = 6\nAnswer: 6", [False, False, False]),
        ("3 + 4 = 7\n7 - 2 = 4\nAnswer: 4", [True, False, False]),
        ("3 + 4 = 8\n7 - 2 = 5\nAnswer: 5", [False, False, True]),  # what follows a wrong step is wrong; the answer is judged by itself
        ("3 + 4 = 7\n7 - 2 = 5\n5 + 1 = 6\nAnswer: 5", [True, True, False, True]),
        ("Answer: 5", [True]),
        ("3 + 4 = 7\n7 - 2", [True, False]),  # cut off
        ("", [False]),
        ("\n\n", [False, False, False]),
    ],
)
def test_labels_of_a_solution(tokenizer, text, labels):
    judged = judge(tokenizer, SUM, text)
    assert [right for _, right in judged.labels] == labels
    asked = prompt("solve", SUM.question)
    end = tokenizer.token_to_id(END)
    assert judged.ids == [*tokenizer.encode(asked + text).ids, end]
    for place, _ in judged.labels[:-1]:
        assert tokenizer.decode(judged.ids[: place + 1]).endswith("\n")
    assert judged.labels[-1][0] == len(judged.ids) - 1


def test_known_solutions_are_right_all_the_way(tokenizer):
    for problem in itertools.islice(problems("train", 3), 100):
        judged = judge(tokenizer, problem, completion("solve", problem.steps, problem.answer))
        assert all(right for _, right in judged.labels)
        assert len(judged.labels) == len(problem.steps) + 1


def test_padding_keeps_every_label_with_its_row(tokenizer):
    group = [judge(tokenizer, SUM, text) for text in ("Answer: 5", "3 + 4 = 8\nAnswer: 6")]
    tokens, rows, positions, labels = _pad(group, tokenizer.token_to_id(END))
    assert tokens.shape == (2, len(group[1].ids))
    assert rows.tolist() == [0, 1, 1]
    assert labels.tolist() == [True, False, False]
    assert [tokens[row, place].item() for row, place in zip(rows, positions, strict=True)] == [
        group[row].ids[place] for row, place in zip(rows.tolist(), positions.tolist(), strict=True)
    ]
    assert tokenizer.token_to_id(GOOD) != tokenizer.token_to_id(BAD)
