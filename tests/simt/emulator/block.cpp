// SPDX-License-Identifier: Apache-2.0
#include "block.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <utility>

#include "device_memory.hpp"
#include "simt_error.hpp"

namespace loopserve::simt {

namespace {

block* running_block = nullptr;

template <class List>
void shuffle(List& list, std::uint64_t seed, std::uint64_t& draws) {
  counter_rng const random{seed};
  for (std::size_t i = list.size(); i > 1; --i) {
    std::swap(list[i - 1], list[static_cast<std::size_t>(random.uniform(draws++) * static_cast<double>(i))]);
  }
}

}  // namespace

block::block(launch_shape const& launch, schedule const& order)
    : launch_(&launch),
      order_(order),
      threads_(static_cast<std::size_t>(launch.threads)),
      warps_(static_cast<std::size_t>(launch.threads / 32)),
      meetings_(warps_.size()),
      shared_(launch.shared_bytes) {
  std::iota(warps_.begin(), warps_.end(), 0);
  if (order.warps == order::backward) { std::reverse(warps_.begin(), warps_.end()); }
}

block& block::current() {
  if (running_block == nullptr) { throw simt_error("a primitive was called outside of a kernel"); }
  return *running_block;
}

void block::start(grid place, int number) {
  place_ = place;
  number_ = number;
  ended_ = at_barrier_ = 0;
  for (auto& m : meetings_) { m.arrived = 0; }
  shared_.poison();
  for (auto& t : threads_) {
    t.owner = this;
    t.is = state::ready;
    t.open.clear();
    t.groups.clear();
    t.stack.start(run_thread, &t);
  }
}

void block::run_thread(void* record) {
  auto& owner = *static_cast<thread_record*>(record)->owner;
  try {
    owner.launch_->body();
    auto& t = owner.self();
    if (!t.open.empty() || !t.groups.empty()) {
      auto const& first = t.groups.empty() || t.groups.front().empty() ? t.open : t.groups.front();
      owner.fail("the thread ends while asynchronous copies are under way",
                 first.empty() ? source_place{"kernel", 0} : first.front().place);
    }
    t.is = state::ended;
    ++owner.ended_;
  } catch (...) { owner.failure_ = std::current_exception(); }
}

bool block::run_warp(int warp) {
  bool ran = false;
  for (int i = 0; i < 32; ++i) {
    thread_ = 32 * warp + (order_.lanes == order::backward ? 31 - i : i);
    if (self().is != state::ready) { continue; }
    ran = true;
    running_block = this;
    self().stack.resume();
    running_block = nullptr;
    if (failure_) { std::rethrow_exception(std::exchange(failure_, nullptr)); }
    if (yielded_) { return true; }
  }
  return ran;
}

bool block::run() {
  yielded_ = false;
  while (ended_ < launch_->threads) {
    if (order_.warps == order::shuffled) { shuffle(warps_, order_.seed + static_cast<std::uint64_t>(number_), draws_); }
    bool ran = false;
    for (int const w : warps_) {
      while (run_warp(w)) {
        ran = true;
        if (yielded_) { return false; }
        if (order_.warps == order::shuffled) { break; }
      }
    }
    if (!ran) { fail_deadlocked(); }
  }
  if (!shared_.intact()) { throw simt_error(told() + ": wrote beside its shared memory of " + std::to_string(shared_.bytes()) + " bytes"); }
  return true;
}

std::string block::told() const {
  return "kernel " + launch_->kernel + ", block (" + std::to_string(place_.x) + ", " + std::to_string(place_.y) + ", " +
         std::to_string(place_.z) + ")";
}

void block::fail(std::string const& what, source_place place) const {
  throw simt_error(told() + ", thread " + std::to_string(thread_) + ": " + what + " (" + simt::told(place) + ")");
}

void block::fail_deadlocked() const {
  std::map<std::string, int> where;
  for (auto const& t : threads_) {
    switch (t.is) {
      case state::ready: ++where["are ready"]; break;
      case state::ended: ++where["have ended"]; break;
      case state::at_barrier: ++where["wait at the barrier at " + simt::told(t.waits)]; break;
      case state::at_meeting: ++where["wait for their warp at " + simt::told(t.waits)]; break;
    }
  }
  std::string text = told() + ": deadlock:";
  for (auto const& [what, count] : where) { text += " " + std::to_string(count) + " threads " + what + ";"; }
  text.back() = '.';
  throw simt_error(text);
}

void block::barrier(source_place place) {
  if (at_barrier_ > 0 && barrier_place_.line != place.line) {
    fail("comes to a barrier while others wait at the one at " + simt::told(barrier_place_), place);
  }
  auto& t = self();
  t.waits = barrier_place_ = place;
  if (++at_barrier_ < launch_->threads) {
    t.is = state::at_barrier;
    fiber::suspend();
    return;
  }
  at_barrier_ = 0;
  for (auto& other : threads_) { other.is = state::ready; }
}

void block::meet(char const* name, void* mine, dev::detail::combine_lanes combine, source_place place) {
  int const first = thread_ / 32 * 32;
  auto& here = meetings_[static_cast<std::size_t>(thread_ / 32)];
  if (here.arrived > 0 && (here.place.line != place.line || (here.name != name && std::strcmp(here.name, name) != 0))) {
    fail(std::string("comes to ") + name + " while other lanes wait at the " + here.name + " at " + simt::told(here.place), place);
  }
  auto& t = self();
  t.waits = place;
  t.mine = mine;
  here.name = name;
  here.place = place;
  if (++here.arrived < 32) {
    t.is = state::at_meeting;
    fiber::suspend();
    return;
  }
  here.arrived = 0;
  void* lanes[32];
  for (int i = 0; i < 32; ++i) {
    auto& lane = threads_[static_cast<std::size_t>(first + i)];
    lanes[i] = lane.mine;
    lane.is = state::ready;
  }
  combine(lanes);
}

void block::let_others_run() {
  if (order_.resident_blocks == 1) { return; }
  yielded_ = true;
  fiber::suspend();
}

void* block::reach(void const* address, index_t bytes, index_t alignment, dev::detail::access how, source_place place) {
  auto const misplaced = reinterpret_cast<std::uintptr_t>(address) % static_cast<std::uintptr_t>(alignment);
  if (misplaced != 0) {
    fail("an address is " + std::to_string(misplaced) + " bytes off its alignment of " + std::to_string(alignment), place);
  }
  if (shared_.holds(address, bytes)) { return const_cast<void*>(address); }
  auto& memory = device_memory::instance();
  if (!memory.holds(address)) { fail("an address is neither in device memory nor in the block's shared memory", place); }
  using use = device_memory::use;
  auto const as = how == dev::detail::access::read ? use::read : how == dev::detail::access::write ? use::write : use::atomic;
  switch (memory.touch(address, bytes, as, number_)) {
    case device_memory::verdict::fine: break;
    case device_memory::verdict::not_allocated:
      fail("out of bounds: " + std::to_string(bytes) + " bytes that are not all allocated", place);
    case device_memory::verdict::race:
      fail(std::string("a race: ") +
               (as == use::read    ? "reads"
                : as == use::write ? "writes"
                                   : "changes atomically") +
               " what another block of this launch " + (as == use::read ? "has written" : "has touched"),
           place);
  }
  return memory.behind(address);
}

void* block::shared(index_t bytes, index_t alignment, source_place place) {
  if (bytes > shared_.bytes()) {
    fail("asks for " + std::to_string(bytes) + " bytes of shared memory where the launch has " + std::to_string(shared_.bytes()), place);
  }
  if (alignment > 128) { fail("shared memory is aligned to 128 bytes", place); }
  return shared_.data();
}

void block::copy_async(void* to, void const* from, index_t bytes, bool valid, source_place place) {
  auto const place_in = [&](void const* p) { return reinterpret_cast<std::uintptr_t>(p) % static_cast<std::uintptr_t>(bytes); };
  if (!shared_.holds(to, bytes)) { fail("an asynchronous copy's target is not in shared memory", place); }
  if (place_in(to) != 0 || (valid && place_in(from) != 0)) {
    fail("an asynchronous copy's address is not a multiple of its " + std::to_string(bytes) + " bytes", place);
  }
  async_copy const copy{to, from, bytes, valid, place};
  if (order_.eager_copies) {
    land(copy);
  } else {
    std::memset(to, 0xff, static_cast<std::size_t>(bytes));  // what was there may be gone from now on
  }
  self().open.push_back(copy);
}

void block::land(async_copy const& copy) {
  if (!copy.valid) {
    std::memset(copy.to, 0, static_cast<std::size_t>(copy.bytes));
  } else {
    std::memcpy(copy.to, reach(copy.from, copy.bytes, copy.bytes, dev::detail::access::read, copy.place),
                static_cast<std::size_t>(copy.bytes));
  }
}

void block::copy_commit() {
  auto& t = self();
  t.groups.push_back(std::move(t.open));
  t.open.clear();
}

void block::copy_wait(int groups, source_place) {
  auto& t = self();
  while (static_cast<int>(t.groups.size()) > groups) {
    if (!order_.eager_copies) {
      for (auto const& copy : t.groups.front()) { land(copy); }
    }
    t.groups.pop_front();
  }
}

}  // namespace loopserve::simt
