// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/core/rng.hpp>
#include <loopserve/dev/kernel.hpp>
#include <loopserve/dev/primitives.hpp>

#include "fiber.hpp"
#include "schedule.hpp"
#include "shared_arena.hpp"

namespace loopserve::simt {

/// What all blocks of a launch have in common.
struct launch_shape {
  std::string kernel;
  grid blocks;
  int threads = 0;
  index_t shared_bytes = 0;
  std::function<void()> body;  ///< what one thread does
};

/// A block that runs: its threads as fibers, its barrier, its warps' meetings, its shared memory and the copies under way. Everything that a primitive
/// does is a member here, called by the thread that runs.
class block {
 public:
  block(launch_shape const& launch, schedule const& order);

  void start(grid place, int number);

  /// Runs until the block has ended (true) or another one shall have a turn. Throws simt_error.
  bool run();

  /// The block whose thread runs, and that thread's number in it; error outside of a kernel.
  static block& current();

  int thread() const { return thread_; }
  launch_shape const& launch() const { return *launch_; }
  grid place() const { return place_; }

  void barrier(source_place place);
  void meet(char const* name, void* mine, dev::detail::combine_lanes combine, source_place place);
  void let_others_run();
  void* reach(void const* address, index_t bytes, index_t alignment, dev::detail::access how, source_place place);
  void* shared(index_t bytes, index_t alignment, source_place place);
  void copy_async(void* to, void const* from, index_t bytes, bool valid, source_place place);
  void copy_commit();
  void copy_wait(int groups, source_place place);

  /// Throws simt_error with the kernel, the block, the thread and the place around `what`.
  [[noreturn]] void fail(std::string const& what, source_place place) const;

 private:
  enum class state : std::uint8_t { ready, at_barrier, at_meeting, ended };
  struct async_copy {
    void* to;
    void const* from;
    index_t bytes;
    bool valid;
    source_place place;
  };
  struct thread_record {
    fiber stack;
    block* owner = nullptr;
    state is = state::ended;
    source_place waits = {};
    void* mine = nullptr;
    std::vector<async_copy> open;
    std::deque<std::vector<async_copy>> groups;
  };

  static void run_thread(void* record);
  thread_record& self() { return threads_[static_cast<std::size_t>(thread_)]; }
  bool run_warp(int warp);
  void land(async_copy const& copy);
  std::string told() const;
  [[noreturn]] void fail_deadlocked() const;

  launch_shape const* launch_;
  schedule order_;
  grid place_;
  int number_ = 0;
  std::deque<thread_record> threads_;
  std::vector<int> warps_;  // in the order in which they run
  struct meeting {
    int arrived = 0;
    char const* name = nullptr;
    source_place place = {};
  };
  std::vector<meeting> meetings_;  // one a warp
  shared_arena shared_;
  int thread_ = 0, ended_ = 0, at_barrier_ = 0;
  source_place barrier_place_ = {};
  bool yielded_ = false;
  std::uint64_t draws_ = 0;
  std::exception_ptr failure_;
};

}  // namespace loopserve::simt
