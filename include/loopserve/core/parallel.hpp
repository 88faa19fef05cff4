// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <exception>
#include <thread>
#include <vector>

#include <loopserve/core/config.hpp>
#include <loopserve/core/ids.hpp>

#if LOOPSERVE_USE_OPENMP
#include <omp.h>
#endif

namespace loopserve {

/// As many as the machine runs at once.
inline int available_threads() {
#if LOOPSERVE_USE_OPENMP
  return omp_get_num_procs();
#else
  auto const n = static_cast<int>(std::thread::hardware_concurrency());
  return n > 0 ? n : 1;
#endif
}

namespace detail {

/// A body that parallel_for is given, by reference: two pointers whatever its type, so that the loop itself is compiled once.
class task_body {
 public:
  template <class Body>
  task_body(Body const& body)  // not explicit: a loop is given a lambda
      : body_(&body), call_([](void const* b, index_t i) { (*static_cast<Body const*>(b))(i); }) {}

  void operator()(index_t i) const { call_(body_, i); }

 private:
  void const* body_;
  void (*call_)(void const* body, index_t i);
};

/// The first exception of a parallel region, carried out of it.
class first_exception {
 public:
  void run(task_body body, index_t i) {
    try {
      body(i);
    } catch (...) {
      if (!taken_.exchange(true)) { what_ = std::current_exception(); }
    }
  }
  bool raised() const { return taken_.load(std::memory_order_relaxed); }
  void rethrow() const {
    if (what_) { std::rethrow_exception(what_); }
  }

 private:
  std::atomic<bool> taken_{false};
  std::exception_ptr what_;
};

}  // namespace detail

/// Calls `body(i)` once for every i in [0, count), on up to `threads` threads, in no promised order; each index is handed out alone, so unequal
/// work balances. Results must not depend on which thread runs an index. The first exception is rethrown after all threads have stopped.
inline void parallel_for(int threads, index_t count, detail::task_body body) {
  if (threads > count) { threads = static_cast<int>(count); }
  if (threads <= 1) {
    for (index_t i = 0; i < count; ++i) { body(i); }
    return;
  }
  detail::first_exception failure;
#if LOOPSERVE_USE_OPENMP
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (index_t i = 0; i < count; ++i) {
    if (!failure.raised()) { failure.run(body, i); }
  }
#else
  std::atomic<index_t> next{0};
  auto const work = [&] {
    for (auto i = next.fetch_add(1); i < count && !failure.raised(); i = next.fetch_add(1)) { failure.run(body, i); }
  };
  std::vector<std::thread> helpers;
  for (int t = 1; t < threads; ++t) { helpers.emplace_back(work); }
  work();
  for (auto& helper : helpers) { helper.join(); }
#endif
  failure.rethrow();
}

}  // namespace loopserve
