"""A small Llama: Hugging Face's weight names and arithmetic, so that transformers and vLLM can load the very same files.

Written out here because decoding tiny models is bound by per-call overhead: this forward pass decodes a batch several times faster on a CPU
than `transformers.generate`, and lets the engine add, drop and continue sequences between any two tokens. A test holds its logits to those of
`transformers.LlamaForCausalLM`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of a Llama; names as in Hugging Face's `LlamaConfig`."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int = 1024
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10_000.0

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


def rotary_table(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines for every position, each (positions, head_size)."""
    exponents = torch.arange(0, shape.head_size, 2, dtype=torch.float32) / shape.head_size
    angles = torch.outer(torch.arange(shape.max_position_embeddings, dtype=torch.float32), shape.rope_theta**-exponents)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding in Hugging Face's half-split layout (Su et al. 2021, arXiv 2104.09864)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Causal self-attention weights."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(size, size, bias=False)
        self.k_proj = nn.Linear(size, size, bias=False)
        self.v_proj = nn.Linear(size, size, bias=False)
        self.o_proj = nn.Linear(size, size, bias=False)


class Mlp(nn.Module):
    """The gated feed-forward block (SwiGLU)."""

    def __init__(self, size: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(size, inner, bias=False)
        self.up_proj = nn.Linear(size, inner, bias=False)
        self.down_proj = nn.Linear(inner, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(…, size) to (…, size)."""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """One transformer block, pre-normalised."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape.hidden_size)
        self.mlp = Mlp(shape.hidden_size, shape.intermediate_size)
        self.input_layernorm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)


class Trunk(nn.Module):
    """Everything below the output head; its name in the weights file is `model`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)


class Llama(nn.Module):
    """A decoder with tied input and output embeddings."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Trunk(shape)
        cos, sin = rotary_table(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Hidden states after the last norm for whole sequences: (batch, length) ids to (batch, length, hidden)."""
        batch, length = tokens.shape
        cos, sin = self.cos[:length], self.sin[:length]
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            q, k, v = project(layer, x, self.shape, cos, sin)
            x = finish(layer, x, attend(q, k, v).transpose(1, 2).reshape(batch, length, -1))
        out: Tensor = self.model.norm(x)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every token: (…, hidden) to (…, vocabulary)."""
        return F.linear(hidden, self.model.embed_tokens.weight)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention, shape of `v`, in plain operations: a CPU goes back through these twice as fast as through the fused one."""
    length = q.shape[-2]
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    scores = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).masked_fill(later, float("-inf"))
    out: Tensor = scores.softmax(-1).to(v.dtype) @ v
    return out


def project(layer: nn.Module, x: Tensor, shape: Shape, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values with positions applied, each (batch, heads, length, head_size); cos and sin must broadcast to that."""
    assert isinstance(layer, Layer)
    batch, length, _ = x.shape
    normed = layer.input_layernorm(x)
    attention = layer.self_attn
    heads = (batch, length, shape.num_attention_heads, shape.head_size)
    q, k, v = (linear(normed).view(heads).transpose(1, 2) for linear in (attention.q_proj, attention.k_proj, attention.v_proj))
    return rotate(q, cos, sin), rotate(k, cos, sin), v


def finish(layer: nn.Module, x: Tensor, attended: Tensor) -> Tensor:
    """The rest of a block after attention: output projection, residual, feed-forward, residual."""
    assert isinstance(layer, Layer)
    x = x + layer.self_attn.o_proj(attended)
    out: Tensor = x + layer.mlp(layer.post_attention_layernorm(x))
    return out


def save_model(model: Llama, directory: Path, end_token: int, skills: Sequence[str] = ("solve",)) -> None:
    """Write config.json and model.safetensors (bfloat16) as Hugging Face's `LlamaForCausalLM` expects them; `skills` are a key of ours."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().to(torch.bfloat16).contiguous() for name, value in model.state_dict().items()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "num_key_value_heads": model.shape.num_attention_heads,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "bos_token_id": None,
        "eos_token_id": end_token,
        "pad_token_id": end_token,
        "skills": list(skills),
        **asdict(model.shape),
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def load_model(directory: Path) -> Llama:
    """Read a model saved by `save_model`, as float32 in evaluation mode."""
    config = json.loads((directory / "config.json").read_text())
    model = Llama(Shape(**{name: config[name] for name in Shape.__dataclass_fields__}))
    weights = load_file(directory / "model.safetensors")
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    return model.eval().requires_grad_(False)
