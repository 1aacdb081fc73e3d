"""Reasoners with random weights, in the format of the bundled ones: real files for a real engine, made in a moment."""

from itertools import islice
from pathlib import Path

import torch

from workers.reasoner.model import Llama, Shape, save_model
from workers.reasoner.prompt import END, SKILLS, completion, prompt
from workers.reasoner.tokenizer import train_tokenizer
from workers.reasoner.workload import problems


def make_model(directory: Path, skills: tuple[str, ...] = SKILLS) -> Path:
    """Half its samples end by themselves within some dozen tokens."""
    texts = [prompt("solve", one.question) + completion("solve", one.steps, one.answer) for one in islice(problems("train", 1), 40)]
    tokenizer = train_tokenizer(texts, 320)
    torch.manual_seed(7)
    shape = Shape(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=640,
    )
    save_model(Llama(shape), directory, tokenizer.token_to_id(END), skills)
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory
