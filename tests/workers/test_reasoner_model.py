"""Our Llama against Hugging Face's, on the very same files."""

import itertools

import pytest
import torch
from transformers import LlamaForCausalLM

from tests.workers.tiny import make_model
from workers.reasoner.model import load_model
from workers.reasoner.prompt import completion, prompt
from workers.reasoner.tokenizer import load_tokenizer
from workers.reasoner.train import MODELS
from workers.reasoner.workload import problems


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the worker serves them: models this small only wait for a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["fresh", "nano", "small", "large", "prm"])
def directory(request, tmp_path):
    return make_model(tmp_path) if request.param == "fresh" else MODELS / request.param


def test_logits_are_those_of_transformers(directory):
    ours, theirs = load_model(directory), LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    tokenizer = load_tokenizer(directory)
    for problem in itertools.islice(problems("test", 3), 4):
        text = prompt("solve", problem.question) + completion("solve", problem.steps, problem.answer)
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.inference_mode():
            assert torch.allclose(ours.logits(ours(ids)), theirs(ids).logits, atol=1e-4, rtol=0)


def test_the_files_together_are_what_transformers_expects(directory):
    model = LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32)
    assert model.config.eos_token_id == load_tokenizer(directory).token_to_id("<|end|>")
    assert model.config.vocab_size >= load_tokenizer(directory).get_vocab_size()
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight or torch.equal(
        model.get_input_embeddings().weight, model.get_output_embeddings().weight
    )
