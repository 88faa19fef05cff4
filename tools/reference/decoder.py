# SPDX-License-Identifier: Apache-2.0
"""A decoder in float64, written from the formulas and independent of the library: what the goldens of tests/data are computed with.

Sources: Llama, arXiv 2302.13971 (pre-norm, RMSNorm 1910.07467, SwiGLU 2002.05202); rotary embedding, RoFormer, 2104.09864; grouped queries,
2305.13245; position interpolation ("linear"), 2306.15595; YaRN, 2309.00071; Llama 3.1's frequency scaling as its config.json fields define it;
Qwen2, 2407.10671 (biases on q, k, v); Qwen3, 2505.09388 (RMSNorm of each head's q and k); Mistral, 2310.06825 (sliding window).
"""

import json
import math
import os

import numpy as np

import safetensors_file


class Config:
    """config.json's fields under one set of names, whichever version of transformers wrote them."""

    def __init__(self, folder):
        with open(os.path.join(folder, "config.json")) as file:
            fields = json.load(file)
        self.family = fields["model_type"]
        self.width = fields["hidden_size"]
        self.layers = fields["num_hidden_layers"]
        self.heads = fields["num_attention_heads"]
        self.kv_heads = fields.get("num_key_value_heads") or self.heads
        self.head_dim = fields.get("head_dim") or self.width // self.heads
        self.eps = fields["rms_norm_eps"]
        self.tied = fields.get("tie_word_embeddings", False)
        self.max_positions = fields["max_position_embeddings"]
        self.rope = dict(fields.get("rope_parameters") or fields.get("rope_scaling") or {})
        self.rope.setdefault("rope_theta", fields.get("rope_theta", 10000.0))
        self.rope.setdefault("rope_type", self.rope.get("type", "default"))
        self.windows = [self._window(fields, layer) for layer in range(self.layers)]

    def _window(self, fields, layer):
        """Sliding window of a layer in tokens; None where it sees everything."""
        window = fields.get("sliding_window")
        if self.family == "mistral":
            return window
        if self.family in ("qwen2", "qwen3") and fields.get("use_sliding_window") and window:
            kinds = fields.get("layer_types")
            windowed = kinds[layer] == "sliding_attention" if kinds else layer >= fields["max_window_layers"]
            return window if windowed else None
        return None


def rope_frequencies(config):
    """(angle per position of each pair, factor on cosine and sine)."""
    rope, half = config.rope, config.head_dim // 2
    base = rope["rope_theta"]
    plain = base ** (-2.0 * np.arange(half) / config.head_dim)
    kind = rope["rope_type"]
    if kind == "default":
        return plain, 1.0
    factor = rope["factor"]
    if kind == "linear":
        return plain / factor, 1.0
    original = rope.get("original_max_position_embeddings", config.max_positions)
    if kind == "llama3":
        # How often a pair turns within the original context decides: often = kept, rarely = stretched, between the two = blended.
        turns = original * plain / (2 * math.pi)
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        kept = np.clip((turns - low) / (high - low), 0, 1)
        return kept * plain + (1 - kept) * plain / factor, 1.0
    if kind == "yarn":
        return _yarn(rope, config.head_dim, plain, factor, original, base)
    raise ValueError(f"rope type {kind} is not known here")


def _yarn(rope, head_dim, plain, factor, original, base):
    def pair_with_turns(turns):
        """The (fractional) pair that makes `turns` turns within the original context."""
        return head_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    first = pair_with_turns(rope.get("beta_fast") or 32)
    last = pair_with_turns(rope.get("beta_slow") or 1)
    if rope.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    if first == last:
        last += 0.001
    stretched = np.clip((np.arange(head_dim // 2) - first) / (last - first), 0, 1)

    def temperature(scale, weight=1.0):
        return 1.0 if scale <= 1 else 0.1 * weight * math.log(scale) + 1.0

    attention_factor = rope.get("attention_factor")
    if attention_factor is None:
        mscale, mscale_all = rope.get("mscale"), rope.get("mscale_all_dim")
        both = mscale and mscale_all
        attention_factor = temperature(factor, mscale) / temperature(factor, mscale_all) if both else temperature(factor)
    return stretched * plain / factor + (1 - stretched) * plain, attention_factor


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def silu(x):
    return x / (1 + np.exp(-x))


def log_softmax(x):
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


class Decoder:
    """A model folder, ready to be asked."""

    def __init__(self, folder):
        self.config = Config(folder)
        self.weights = safetensors_file.read_folder(folder)
        self.frequencies, self.rope_scale = rope_frequencies(self.config)

    def _linear(self, name, x):
        y = x @ self.weights[name + ".weight"].T
        bias = self.weights.get(name + ".bias")
        return y if bias is None else y + bias

    def _rotate(self, x):
        """x (tokens, heads, head_dim): pair (i, i + half) of token p is turned by p times the pair's angle."""
        half = x.shape[-1] // 2
        angles = np.arange(x.shape[0])[:, None, None] * self.frequencies
        cos, sin = np.cos(angles) * self.rope_scale, np.sin(angles) * self.rope_scale
        a, b = x[..., :half], x[..., half:]
        return np.concatenate((a * cos - b * sin, b * cos + a * sin), -1)

    def _attention(self, layer, x):
        c = self.config
        name = f"model.layers.{layer}.self_attn."
        tokens = x.shape[0]
        q = self._linear(name + "q_proj", x).reshape(tokens, c.heads, c.head_dim)
        k = self._linear(name + "k_proj", x).reshape(tokens, c.kv_heads, c.head_dim)
        v = self._linear(name + "v_proj", x).reshape(tokens, c.kv_heads, c.head_dim)
        if name + "q_norm.weight" in self.weights:
            q = rms_norm(q, self.weights[name + "q_norm.weight"], c.eps)
            k = rms_norm(k, self.weights[name + "k_norm.weight"], c.eps)
        q, k = self._rotate(q), self._rotate(k)
        back = np.arange(tokens)[:, None] - np.arange(tokens)
        hidden = back < 0
        if c.windows[layer]:
            hidden |= back >= c.windows[layer]
        out = np.empty_like(q)
        for head in range(c.heads):
            kv_head = head // (c.heads // c.kv_heads)
            scores = q[:, head] @ k[:, kv_head].T / math.sqrt(c.head_dim)
            out[:, head] = np.exp(log_softmax(np.where(hidden, -np.inf, scores))) @ v[:, kv_head]
        return self._linear(name + "o_proj", out.reshape(tokens, -1))

    def _feed_forward(self, layer, x):
        name = f"model.layers.{layer}.mlp."
        return self._linear(name + "down_proj", silu(self._linear(name + "gate_proj", x)) * self._linear(name + "up_proj", x))

    def logits(self, ids):
        """(tokens, vocabulary) for `ids` from position 0."""
        c, w = self.config, self.weights
        x = w["model.embed_tokens.weight"][np.asarray(ids)]
        for layer in range(c.layers):
            name = f"model.layers.{layer}."
            x = x + self._attention(layer, rms_norm(x, w[name + "input_layernorm.weight"], c.eps))
            x = x + self._feed_forward(layer, rms_norm(x, w[name + "post_attention_layernorm.weight"], c.eps))
        head = w["model.embed_tokens.weight"] if c.tied else w["lm_head.weight"]
        return rms_norm(x, w["model.norm.weight"], c.eps) @ head.T

    def greedy(self, ids, count):
        """(the `count` ids that follow, smallest distance between the best and the second logit)."""
        ids, margin = list(ids), math.inf
        for _ in range(count):
            last = self.logits(ids)[-1]
            second, first = np.sort(last)[-2:]
            margin = min(margin, first - second)
            ids.append(int(last.argmax()))
        return ids[-count:], margin


def next_logprobs(logits, ids):
    """log p of each id after the first, given all before it."""
    return log_softmax(logits[:-1])[np.arange(len(ids) - 1), ids[1:]]
