# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch's scaled_dot_product_attention, by its flash and cuDNN backends, in the shapes of bench/device/prefill.cu and decode.cu; prints what it
measures as those do, one JSON object a line. Exits with 77 and a sentence where PyTorch or its device is not there."""

import json
import math
import statistics
import sys
import time

HEADS, KV_HEADS, HEAD_DIM, SETS = 32, 8, 128, 2
PREFILL = [1 << n for n in range(12, 17)]
DECODE = [(1, 1 << 14), (1, 1 << 15), (4, 1 << 15), (16, 1 << 15), (1, 1 << 16), (4, 1 << 16), (1, 1 << 17), (4, 1 << 17)]


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


try:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention
except ImportError as error:
    skip(f"no PyTorch here: {error}")


def time_us(call, repeats):
    """The median of call(0), call(1), .., queued one behind the other, events between them, as the other benchmarks do."""
    for i in range(SETS):
        call(i)
    torch.cuda.synchronize()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    busy = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    for byte in range(16):
        busy.fill_(byte)
    events[0].record()
    for i, event in enumerate(events[1:]):
        call(i)
        event.record()
    torch.cuda.synchronize()
    times = sorted(1e3 * a.elapsed_time(b) for a, b in zip(events, events[1:]))
    return {"us": statistics.median(times), "us_low": times[(len(times) - 1) // 4], "us_high": times[(len(times) - 1) * 3 // 4]}


def warm_up():
    """As the other benchmarks do."""
    a = numbers(8192, 8192)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        for _ in range(10):
            a @ a
        torch.cuda.synchronize()


def say(**what):
    print(json.dumps(what), flush=True)


def numbers(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def main():
    if not torch.cuda.is_available():
        skip("PyTorch sees no device")
    warm_up()

    def measure(work, shape, backend, more, queries, batch, keys, causal, repeats=8, least_us=0):
        """Keys and values as they are; once for every query head where the backend takes no groups of heads, which the row then says."""
        said = None
        for kv_heads in (KV_HEADS, HEADS):
            sets = [(numbers(batch, HEADS, queries, HEAD_DIM), numbers(batch, kv_heads, keys, HEAD_DIM), numbers(batch, kv_heads, keys, HEAD_DIM)) for _ in range(SETS)]
            groups = {"enable_gqa": True} if kv_heads != HEADS else {}
            try:
                with sdpa_kernel(backend):
                    def call(i):
                        scaled_dot_product_attention(*sets[i % SETS], is_causal=causal, **groups)
                    found = time_us(call, max(repeats, math.ceil(least_us / time_us(call, 1)["us"])))
            except (RuntimeError, TypeError) as error:
                said = said or str(error).splitlines()[0]
                continue
            say(work=work, shape=shape, **more, **found, **({} if groups else {"kv_heads": HEADS}))
            return
        say(left_out=f"{work} {shape}: {said}")

    for name, backend in (("PyTorch flash", SDPBackend.FLASH_ATTENTION), ("PyTorch cuDNN", SDPBackend.CUDNN_ATTENTION)):
        for n in PREFILL:
            measure(f"dense prefill, {name}", f"{n >> 10}k", backend, {"tokens": n}, n, 1, n, True, least_us=5e4)
        for batch, n in DECODE:
            measure(f"decode attention, whole cache, {name}", f"{batch} x {n >> 10}k", backend, {"tokens": n, "batch": batch}, 1, batch, n, False, 20)


if __name__ == "__main__":
    main()
