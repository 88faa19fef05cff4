# SPDX-License-Identifier: Apache-2.0
"""Holds decoder.py against goldens that others computed (transformers, llama2.c's formulas in float64).

    python3 tools/reference/check.py ../shared/material/models assets/demo-model tests/data/shapes

Each argument is a model folder with a golden file, or a folder of such folders. Prints the largest differences and fails where one exceeds 2e-4:
transformers keeps RMSNorm and the rotary tables in float32 even when the weights are float64.
"""

import json
import os
import sys

import numpy as np

from decoder import Decoder, next_logprobs

LIMIT = 2e-4


def golden_folders(path):
    for folder, _, files in sorted(os.walk(path)):
        if "config.json" in files and ("golden.json" in files or "golden_float64.json" in files):
            yield folder


def largest(a, b):
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def check_golden(model, golden):
    """One text with log-probabilities, last logits and, where given, a greedy continuation."""
    logits = model.logits(golden["ids"])
    found = {
        "logits": largest(logits[-1], golden["last_logits"]),
        "logprobs": largest(next_logprobs(logits, golden["ids"]), golden["logprobs"]),
    }
    if "greedy" in golden:
        ids, _ = model.greedy(golden["ids"], len(golden["greedy"]))
        found["greedy ids that differ"] = sum(a != b for a, b in zip(ids, golden["greedy"]))
    return found


def check_generated(model, golden):
    """Texts that a model generated greedily: every id must again be the best one."""
    found = {"logits": 0.0, "nll": 0.0, "greedy ids that differ": 0}
    for case in golden["cases"]:
        ids, prompt = case["greedy_ids"], len(case["prompt_ids"])
        logits = model.logits(ids)
        best = logits.argmax(-1)
        found["greedy ids that differ"] += sum(int(best[i - 1]) != ids[i] for i in range(prompt, len(ids)))
        found["logits"] = max(found["logits"], largest(logits[-1], case["logits_last_position"]))
        found["nll"] = max(found["nll"], abs(-next_logprobs(logits, ids).mean() - case["mean_nll_of_sequence"]))
    return found


def main(paths):
    failed = checked = 0
    for folder in (f for path in paths for f in golden_folders(path)):
        model = Decoder(folder)
        generated = os.path.join(folder, "golden_float64.json")
        if os.path.exists(generated):
            with open(generated) as file:
                found = check_generated(model, json.load(file))
        else:
            with open(os.path.join(folder, "golden.json")) as file:
                found = check_golden(model, json.load(file))
        good = all(value <= LIMIT for value in found.values())
        failed += not good
        checked += 1
        print(f"{'ok  ' if good else 'FAIL'} {os.path.basename(folder.rstrip('/')):20s}", "  ".join(f"{k} {v:.2g}" for k, v in found.items()))
    print(f"{checked} models, {failed} failed")
    return 1 if failed or not checked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
