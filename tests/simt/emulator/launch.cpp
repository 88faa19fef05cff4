// SPDX-License-Identifier: Apache-2.0
#include "launch.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>

#include "device_memory.hpp"
#include "fault_watch.hpp"
#include "simt_error.hpp"

namespace loopserve::simt {

namespace {

// What a block may have on every device from compute capability 8.0 on.
constexpr index_t most_shared_bytes = 163 * 1024;

std::vector<int> numbers(grid blocks, schedule const& order) {
  std::vector<int> list(static_cast<std::size_t>(blocks.x) * static_cast<std::size_t>(blocks.y) * static_cast<std::size_t>(blocks.z));
  std::iota(list.begin(), list.end(), 0);
  if (order.blocks == order::backward) { std::reverse(list.begin(), list.end()); }
  if (order.blocks == order::shuffled) {
    counter_rng const random{order.seed, 7};
    for (std::size_t i = list.size(); i > 1; --i) {
      std::swap(list[i - 1], list[static_cast<std::size_t>(random.uniform(i) * static_cast<double>(i))]);
    }
  }
  return list;
}

struct end_of_launch {
  ~end_of_launch() { device_memory::instance().end_launch(); }
};

}  // namespace

void run(launch_shape const& launch, schedule const& order) {
  if (launch.shared_bytes > most_shared_bytes) {
    throw simt_error("kernel " + launch.kernel + " asks for " + std::to_string(launch.shared_bytes) +
                     " bytes of shared memory; a block has " + std::to_string(most_shared_bytes) + " at most");
  }
  end_of_launch const forget;
  fault_watch const watch;
  auto const waiting = numbers(launch.blocks, order);
  auto next = waiting.begin();
  std::vector<std::unique_ptr<block>> resident;
  std::vector<bool> busy;
  for (int i = 0; i < std::min(order.resident_blocks, static_cast<int>(waiting.size())); ++i) {
    resident.push_back(std::make_unique<block>(launch, order));
    busy.push_back(false);
  }
  for (bool any = true; any;) {
    any = false;
    for (std::size_t i = 0; i < resident.size(); ++i) {
      if (!busy[i] && next != waiting.end()) {
        int const n = *next++;
        resident[i]->start({n % launch.blocks.x, n / launch.blocks.x % launch.blocks.y, n / launch.blocks.x / launch.blocks.y}, n);
        busy[i] = true;
      }
      if (!busy[i]) { continue; }
      any = true;
      busy[i] = !resident[i]->run();
    }
  }
}

}  // namespace loopserve::simt
