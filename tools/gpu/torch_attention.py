# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch's scaled_dot_product_attention, by its flash and cuDNN backends, in the shapes of bench/device/prefill.cu and decode.cu; prints one JSON object as
those do. Exits with 77 and a sentence where PyTorch or its device is not there."""

import json
import statistics
import sys

HEADS, KV_HEADS, HEAD_DIM = 32, 8, 128
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
    """The median of calls that are queued one behind the other, events between them, as the other benchmarks do."""
    for _ in range(2):
        call()
    torch.cuda.synchronize()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    busy = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    for byte in range(16):
        busy.fill_(byte)
    events[0].record()
    for event in events[1:]:
        call()
        event.record()
    torch.cuda.synchronize()
    times = sorted(1e3 * a.elapsed_time(b) for a, b in zip(events, events[1:]))
    return {"us": statistics.median(times), "us_low": times[(len(times) - 1) // 4], "us_high": times[(len(times) - 1) * 3 // 4]}


def numbers(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def main():
    if not torch.cuda.is_available():
        skip("PyTorch sees no device")
    rows, left_out = [], []

    def measure(work, shape, backend, more, call, repeats=8):
        try:
            with sdpa_kernel(backend):
                rows.append({"work": work, "shape": shape, **more, **time_us(call, repeats)})
        except RuntimeError as error:
            left_out.append(f"{work} {shape}: {str(error).splitlines()[0]}")

    for name, backend in (("PyTorch flash", SDPBackend.FLASH_ATTENTION), ("PyTorch cuDNN", SDPBackend.CUDNN_ATTENTION)):
        for n in PREFILL:
            q, k, v = numbers(1, HEADS, n, HEAD_DIM), numbers(1, KV_HEADS, n, HEAD_DIM), numbers(1, KV_HEADS, n, HEAD_DIM)
            measure(f"dense prefill, {name}", f"{n >> 10}k", backend, {"tokens": n},
                    lambda q=q, k=k, v=v: scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True))
        for batch, n in DECODE:
            q, k, v = numbers(batch, HEADS, 1, HEAD_DIM), numbers(batch, KV_HEADS, n, HEAD_DIM), numbers(batch, KV_HEADS, n, HEAD_DIM)
            measure(f"decode attention, whole cache, {name}", f"{batch} x {n >> 10}k", backend, {"tokens": n, "batch": batch},
                    lambda q=q, k=k, v=v: scaled_dot_product_attention(q, k, v, enable_gqa=True), 20)
    print(json.dumps({"ceilings": {}, "rows": rows, "left_out": left_out, "version": torch.__version__}))


if __name__ == "__main__":
    main()
