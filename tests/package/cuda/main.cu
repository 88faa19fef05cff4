// SPDX-License-Identifier: Apache-2.0
/// A CUDA program with a part for the host compiler, which sees the cpu backend too. Where there is no device it says so and exits with 77.
#include <cstdio>
#include <vector>

#include <loopserve/loopserve.cuh>

float host_sum(std::vector<float> const& x);

int main() {
  std::vector<float> const x = {3, 4};
  try {
    loopserve::cuda const b;
    auto y = b.make_buffer<float>(2);
    loopserve::upload(b, x.data(), 2, y.data());
    loopserve::tensor_view<float, 2> const rows(y.data(), {1, 2});
    loopserve::add(b, rows, rows);
    std::vector<float> back(2);
    loopserve::download(b, y.data(), 2, back.data());
    if (host_sum(back) != 2 * host_sum(x)) { return 1; }
    std::puts("device and host agree");
  } catch (loopserve::cuda_error const& e) {
    std::printf("skipped: %s\n", e.what());
    return host_sum(x) == 7 ? 77 : 1;
  }
}
