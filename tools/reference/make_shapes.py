# SPDX-License-Identifier: Apache-2.0
"""Makes the small random models of tests/data/shapes, and the goldens of decoder.py for them.

    python3 tools/reference/make_shapes.py            writes models and goldens
    python3 tools/reference/make_shapes.py --check    computes the goldens of the committed models again and compares
    python3 tools/reference/make_shapes.py --transformers   holds the committed goldens against transformers (needs torch)

Each shape stands for things that real models have and the larger test models do not. Weights are drawn so that every part shows in the logits:
norm weights far from 1, biases, attention sharp enough that a wrong angle matters; `PARTS` spoils one part at a time and demands that the logits move.
A golden has `ids`, `logprobs` (natural log-probability of each id after the first), `last_logits`, and `greedy`, the 16 ids that follow, whose
smallest margin is at least MARGIN.
"""

import copy
import json
import os
import sys
import zlib

import numpy as np

import safetensors_file
from decoder import Decoder, next_logprobs

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/data/shapes")
TOKENS, GREEDY, MARGIN = 96, 16, 0.02
MODEL_TYPES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "mistral": "MistralForCausalLM"}


def shape(family, width, layers, heads, kv_heads, head_dim, feed_forward, vocabulary, kind, tied, shards=1, **fields):
    config = {
        "architectures": [MODEL_TYPES[family]],
        "model_type": family,
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": feed_forward,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": vocabulary,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": tied,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "torch_dtype": {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[kind],
    }
    config.update(fields)
    return config, kind, shards


def yarn(**more):
    return {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, **more}


SHAPES = {
    # Position interpolation, three query heads to a KV head, and the old name of the field.
    "llama-linear": shape("llama", 48, 2, 6, 2, 8, 80, 256, "BF16", True, rope_scaling={"type": "linear", "factor": 4.0}),
    # YaRN with its own attention factor; biases on q, k, v.
    "qwen2-yarn": shape("qwen2", 48, 2, 3, 1, 16, 72, 200, "BF16", True, rope_scaling=yarn(), use_sliding_window=False, sliding_window=None),
    # YaRN with the numbers given, as transformers 5 writes them.
    "llama-yarn-factor": shape("llama", 32, 2, 4, 2, 16, 64, 160, "F32", False, rope_theta=None,
                               rope_parameters=yarn(rope_theta=50000.0, attention_factor=1.25, beta_fast=16.0, beta_slow=2.0)),
    # Sizes that are no multiple of anything; half precision; one KV head; head_dim 24.
    "llama-odd-f16": shape("llama", 72, 2, 3, 1, 24, 100, 230, "F16", True, rms_norm_eps=1e-6),
    # head_dim 48 with heads wider than the model; norms of q and k.
    "qwen3-wide-heads": shape("qwen3", 40, 2, 2, 1, 48, 52, 131, "F32", True, rope_theta=1e6, attention_bias=False,
                              use_sliding_window=False, sliding_window=None),
    # Biases on all four attention products.
    "llama-bias": shape("llama", 36, 3, 4, 4, 10, 54, 150, "BF16", True, attention_bias=True),
    # Mistral as later versions ship it: no window; two shards.
    "mistral-no-window": shape("mistral", 48, 2, 4, 4, 12, 64, 180, "BF16", False, shards=2, sliding_window=None, rope_theta=1e6),
    # The first layer sees everything, the others a window.
    "qwen2-window": shape("qwen2", 32, 3, 4, 2, 8, 60, 170, "F32", False, use_sliding_window=True, sliding_window=20, max_window_layers=1),
    # One layer, one head, nothing to spare.
    "llama-tiny": shape("llama", 5, 1, 1, 1, 2, 7, 64, "F32", False),
}


def draw_weights(name, config, attempt):
    """Random weights of a shape, the same wherever they are drawn; the committed files count, not this stream."""
    r = np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), attempt]))
    width, dim = config["hidden_size"], config["head_dim"]
    q_rows, kv_rows = config["num_attention_heads"] * dim, config["num_key_value_heads"] * dim

    def matrix(rows, columns, gain=1.0):
        return r.standard_normal((rows, columns)) * gain / np.sqrt(columns)

    def norm(n):
        return r.uniform(0.4, 1.6, n)

    tensors = {"model.embed_tokens.weight": r.standard_normal((config["vocab_size"], width)) * 0.8}
    for layer in range(config["num_hidden_layers"]):
        at, ff = f"model.layers.{layer}.self_attn.", f"model.layers.{layer}.mlp."
        tensors[f"model.layers.{layer}.input_layernorm.weight"] = norm(width)
        for part, rows, gain in (("q", q_rows, 1.6), ("k", kv_rows, 1.6), ("v", kv_rows, 1.2)):
            tensors[at + part + "_proj.weight"] = matrix(rows, width, gain)
            if config["model_type"] == "qwen2" or config.get("attention_bias"):
                tensors[at + part + "_proj.bias"] = r.standard_normal(rows) * 0.7
        if config["model_type"] == "qwen3":
            tensors[at + "q_norm.weight"] = norm(dim) * 1.5
            tensors[at + "k_norm.weight"] = norm(dim) * 1.5
        tensors[at + "o_proj.weight"] = matrix(width, q_rows, 1.2)
        if config.get("attention_bias"):
            tensors[at + "o_proj.bias"] = r.standard_normal(width) * 0.5
        tensors[f"model.layers.{layer}.post_attention_layernorm.weight"] = norm(width)
        tensors[ff + "gate_proj.weight"] = matrix(config["intermediate_size"], width, 1.3)
        tensors[ff + "up_proj.weight"] = matrix(config["intermediate_size"], width, 1.3)
        tensors[ff + "down_proj.weight"] = matrix(width, config["intermediate_size"], 1.3)
    tensors["model.norm.weight"] = norm(width)
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = matrix(config["vocab_size"], width, 2.5)
    return tensors


def golden_of(folder, ids):
    model = Decoder(folder)
    logits = model.logits(ids)
    greedy, margin = model.greedy(ids, GREEDY)
    return {
        "source": "tools/reference/decoder.py, float64, weights as stored",
        "ids": ids,
        "logprobs": [round(float(x), 9) for x in next_logprobs(logits, ids)],
        "last_logits": [round(float(x), 9) for x in logits[-1]],
        "greedy": greedy,
        "greedy_margin": round(float(margin), 6),
    }


def spoil_rope(model):
    model.frequencies = 10000.0 ** (-2.0 * np.arange(model.config.head_dim // 2) / model.config.head_dim) * 0.9


def spoil_rope_scale(model):
    model.rope_scale = 1.0


def spoil_window(model):
    model.config.windows = [None] * model.config.layers


def spoil_eps(model):
    model.config.eps = 1e-3


def spoil_weights(ending, value):
    def spoil(model):
        for name in model.weights:
            if name.endswith(ending):
                model.weights[name] = np.full_like(model.weights[name], value)

    return spoil


PARTS = {"rope": spoil_rope, "rope scale": spoil_rope_scale, "window": spoil_window, "eps": spoil_eps}
for _ending, _value in (("norm.weight", 1.0), ("q_proj.bias", 0.0), ("k_proj.bias", 0.0), ("v_proj.bias", 0.0), ("o_proj.bias", 0.0)):
    PARTS[_ending] = spoil_weights(_ending, _value)
PARTS["q_norm.weight"] = spoil_weights("q_norm.weight", 1.0)


def sensitivity(folder, golden):
    """How far the last logits move when one part is spoilt, for the parts that the shape has."""
    model, moved = Decoder(folder), {}
    for part, spoil in PARTS.items():
        spoilt = copy.deepcopy(model)
        spoil(spoilt)
        distance = float(np.abs(spoilt.logits(golden["ids"])[-1] - golden["last_logits"]).max())
        if distance > 1e-6:
            moved[part] = distance
    return moved


def write_shape(name):
    config, kind, shards = SHAPES[name]
    folder = os.path.join(FOLDER, name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump({k: v for k, v in config.items() if k != "rope_theta" or v is not None}, file, indent=1)
        file.write("\n")
    ids = [int(i) for i in np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).integers(2, config["vocab_size"], TOKENS)]
    for attempt in range(100):
        tensors = draw_weights(name, config, attempt)
        if shards > 1:
            safetensors_file.write_sharded(folder, tensors, kind, shards)
        else:
            safetensors_file.write(os.path.join(folder, "model.safetensors"), tensors, kind)
        golden = golden_of(folder, ids)
        if golden["greedy_margin"] >= MARGIN:
            break
    with open(os.path.join(folder, "golden.json"), "w") as file:
        json.dump(golden, file)
        file.write("\n")
    moved = sensitivity(folder, golden)
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
    print(f"{name}: {size} bytes, attempt {attempt}, margin {golden['greedy_margin']}, moved", {k: round(v, 4) for k, v in moved.items()})
    assert min(moved.values()) > 2e-3, f"a part of {name} hardly shows in the logits"


def each_golden():
    for name in sorted(SHAPES):
        with open(os.path.join(FOLDER, name, "golden.json")) as file:
            yield name, os.path.join(FOLDER, name), json.load(file)


def check():
    for name, folder, golden in each_golden():
        again = golden_of(folder, golden["ids"])
        distance = max(np.abs(np.subtract(again[k], golden[k])).max() for k in ("logprobs", "last_logits"))
        assert distance < 1e-8 and again["greedy"] == golden["greedy"], f"{name}: {distance}"
        print(f"{name}: the same to {distance:.1g}")


def check_transformers():
    import torch
    import transformers

    for name, folder, golden in each_golden():
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager")
        ids = torch.tensor([golden["ids"]])
        with torch.no_grad():
            logits = model(ids).logits[0].double()
        logprobs = logits.log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0].numpy()
        distance = max(np.abs(logits[-1].numpy() - golden["last_logits"]).max(), np.abs(logprobs - golden["logprobs"]).max())
        print(f"{name}: transformers differs by {distance:.2g}")
        assert distance < 2e-4


if __name__ == "__main__":
    if "--check" in sys.argv:
        check()
    elif "--transformers" in sys.argv:
        check_transformers()
    else:
        for shape_name in sorted(SHAPES):
            write_shape(shape_name)
