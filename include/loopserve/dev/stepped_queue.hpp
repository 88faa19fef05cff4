// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/dev/queued_work.hpp>
#include <loopserve/dev/step_memory.hpp>
#include <loopserve/dev/step_recording.hpp>
#include <loopserve/dev/upload_stage.hpp>

namespace loopserve::detail {

/// What a step was last time, and where its uploads wait for the device.
template <class Queue>
struct recorded_step {
  step_recording<Queue> work;
  upload_stage<typename Queue::stage_memory> stage;
};

/// The base of a device's queue: work goes to the device at once, or, while a step is under way, to the step's recording.
template <class Queue>
class stepped_queue {
 public:
  using step = recorded_step<Queue>;

  bool in_step() const { return step_ != nullptr; }

  template <class Arguments>
  void put(work_type<Queue> const& type, grid blocks, Arguments const& arguments) {
    if (!in_step()) { return type.run(self(), blocks, &arguments); }
    comparable<Arguments> const c(arguments);
    step_->work.add(self(), type, blocks, &c.arguments);
  }

  /// Bytes of the host's as the step's work may read them later on: those themselves where no step is under way.
  void const* staged(void const* from, index_t bytes) {
    if (!in_step()) { return from; }
    return step_->stage.place(from, bytes, [&](index_t size) { return self().make_pinned(size); });
  }

  /// The host waits, or wants memory back: what the step asked for so far is queued.
  void leave_step() {
    if (in_step()) { step_->work.leave(self()); }
  }

  /// Runs `body`, which queues a step, against what `last` knows of the last one. What was uploaded in that one must have been done.
  template <class Body>
  void replay(step& last, Body&& body) {
    check(!in_step(), "a step begins after the end of another");
    last.stage.rewind();
    last.work.begin();
    memory_.begin_step();
    step_ = &last;
    try {
      std::forward<Body>(body)();
      last.work.end(self());
    } catch (...) {
      last.work.abandon();
      end_step();
      self().settle();  // uploads may be on their way
      throw;
    }
    end_step();
  }

  /// Memory for a buffer that is made now.
  void* allocate(index_t bytes) {
    if (!in_step()) { return self().from_device(bytes); }
    return memory_.take(bytes, [&](index_t size) { return self().from_device(size); });
  }

  /// It may be used by what was queued before.
  void release(void* block) noexcept {
    if (memory_.give_back(block)) { return; }
    if (in_step()) {
      doomed_.push_back(block);
    } else {
      self().to_device(block);
    }
  }

 protected:
  /// Gives up what steps keep for the next one.
  void trim() {
    memory_.trim([&](void* block) { self().to_device(block); });
  }

 private:
  Queue& self() { return static_cast<Queue&>(*this); }

  void end_step() {
    step_ = nullptr;
    for (void* block : std::exchange(doomed_, {})) { self().to_device(block); }
  }

  step* step_ = nullptr;
  step_memory memory_;
  std::vector<void*> doomed_;  // given back in a step that may have yet to be queued
};

}  // namespace loopserve::detail
