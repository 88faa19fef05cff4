// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include <loopserve/dev/cuda/cuda.cuh>

namespace bench {

namespace ls = loopserve;

/// Microseconds; the median of an even count is the mean of the middle two, the spread is that of the middle half.
struct timing {
  double median = 0, low = 0, high = 0;
};

inline timing timing_of(std::vector<double> us) {
  std::sort(us.begin(), us.end());
  auto const at = [&](std::size_t quarter) { return us[(us.size() - 1) * quarter / 4]; };
  return {(us[(us.size() - 1) / 2] + us[us.size() / 2]) / 2, at(1), at(3)};
}

class event {
 public:
  event() { ls::cuda_check(cudaEventCreate(&event_), "making an event"); }
  event(event const&) = delete;
  event& operator=(event const&) = delete;
  ~event() { static_cast<void>(cudaEventDestroy(event_)); }
  void record(cudaStream_t stream) { ls::cuda_check(cudaEventRecord(event_, stream), "recording an event"); }
  double us_since(event const& start) const {
    float ms = 0;
    ls::cuda_check(cudaEventElapsedTime(&ms, start.event_, event_), "reading events");
    return 1e3 * static_cast<double>(ms);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// How long each of queue(0), queue(1), .. takes on the device: all are queued, an event between any two, behind some work that keeps the device busy while the
/// host queues, so that the host's own time is not seen. The first round of `warm_up` calls is not counted.
template <class Queue>
timing time_of(ls::cuda const& b, int repeats, Queue queue, int warm_up = 2) {
  for (int i = 0; i < warm_up; ++i) { queue(i); }
  b.synchronize();
  std::vector<event> events(static_cast<std::size_t>(repeats) + 1);
  auto busy = b.make_buffer<unsigned char>(ls::index_t{1} << 30);
  for (int i = 0; i < 16; ++i) { b.fill(busy.data(), static_cast<unsigned char>(i), busy.bytes()); }
  events[0].record(b.stream());
  for (int i = 0; i < repeats; ++i) {
    queue(i);
    events[static_cast<std::size_t>(i) + 1].record(b.stream());
  }
  b.synchronize();
  std::vector<double> us;
  for (int i = 0; i < repeats; ++i) { us.push_back(events[static_cast<std::size_t>(i) + 1].us_since(events[static_cast<std::size_t>(i)])); }
  return timing_of(us);
}

}  // namespace bench
