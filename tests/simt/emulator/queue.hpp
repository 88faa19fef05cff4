// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include <loopserve/dev/kernel.hpp>
#include <loopserve/dev/product.hpp>
#include <loopserve/dev/stepped_queue.hpp>

#include "device_memory.hpp"
#include "launch.hpp"
#include "pinned.hpp"
#include "product.hpp"
#include "schedule.hpp"
#include "simt_error.hpp"

namespace loopserve::simt {

class queue;

/// Whether a graph can be given other arguments for a piece, as CUDA's can for kernels and copies.
struct work_traits {
  bool changeable = false;
};

/// Its own copy of the pieces: an argument that was not changed in it is seen.
class step_graph {
 public:
  step_graph() = default;
  step_graph(queue&, detail::work_list<queue> const& list) : list_(list), made_(true) {}

  explicit operator bool() const { return made_; }
  bool change(queue&, detail::work_list<queue> const& list, std::size_t i);
  void launch(queue& q);

 private:
  detail::work_list<queue> list_;
  bool made_ = false;
};

/// What `emulated` queues runs at once, and what a step queues when its recording says so. Memory that a step gives back and gets again is NaN in between and must not be
/// touched, in the order of the work.
class queue : public detail::stepped_queue<queue> {
 public:
  using work_traits = simt::work_traits;
  using graph = step_graph;
  using stage_memory = std::vector<char>;

  /// A late queue puts off what is queued outside steps until the host waits, a step begins or catch_up(): as late as a device may run it that has other work as well.
  explicit queue(schedule order, bool late = false) : order_(order), late_(late) {}
  queue(queue const&) = delete;
  queue& operator=(queue const&) = delete;
  ~queue() {
    catch_up();
    trim();
  }

  void catch_up() {
    auto const waiting = std::exchange(waiting_, {});
    for (std::size_t i = 0; i < waiting.size(); ++i) { waiting.run(*this, i); }
    uploads_.clear();
    for (void* block : std::exchange(given_back_, {})) { device_memory::instance().free(block); }
  }

  template <class Body>
  void replay(step& last, Body&& body) {
    catch_up();
    stepped_queue::replay(last, std::forward<Body>(body));
  }

  template <class Arguments>
  void put(detail::work_type<queue> const& type, grid blocks, Arguments const& arguments) {
    if (!late_ || in_step()) { return stepped_queue::put(type, blocks, arguments); }
    detail::comparable<Arguments> const c(arguments);
    waiting_.add(type, blocks, &c.arguments);
  }

  schedule const& order() const { return order_; }
  std::shared_ptr<pinned_copies> const& copies() const { return copies_; }

  void* allocate(index_t bytes) {
    void* const block = stepped_queue::allocate(bytes);
    static detail::work_type<queue> const type = {[](queue&, grid, void const* p) {
                                                    auto const& life = *static_cast<lifetime const*>(p);
                                                    device_memory::instance().revive(life.block, life.bytes);
                                                  },
                                                  static_cast<index_t>(sizeof(lifetime)),
                                                  {true}};
    if (in_step()) {
      if (steps_.insert(block).second) { device_memory::instance().retire(block); }
      put(type, {}, lifetime{block, bytes});
    }
    return block;
  }
  void release(void* block) noexcept {
    static detail::work_type<queue> const type = {[](queue&, grid, void const* p) { device_memory::instance().retire(static_cast<lifetime const*>(p)->block); },
                                                  static_cast<index_t>(sizeof(lifetime)),
                                                  {true}};
    if (steps_.count(block) > 0) { put(type, {}, lifetime{block, 0}); }
    stepped_queue::release(block);
  }
  void* from_device(index_t bytes) { return device_memory::instance().allocate(bytes); }
  void to_device(void* block) noexcept {
    steps_.erase(block);
    if (waiting_.size() > 0) {
      given_back_.push_back(block);  // what was put off may use it
    } else {
      device_memory::instance().free(block);
    }
  }
  std::vector<char> make_pinned(index_t bytes) { return std::vector<char>(static_cast<std::size_t>(bytes)); }
  void settle() noexcept { copies_->finish(); }

  template <class Kernel>
  void launch(grid blocks, Kernel const& kernel) {
    static detail::work_type<queue> const type = {[](queue& q, grid g, void const* k) { q.launch_now(g, *static_cast<Kernel const*>(k)); },
                                                  static_cast<index_t>(sizeof(Kernel)),
                                                  {true}};
    put(type, blocks, kernel);
  }

  void multiply(matrix_product const& product) {
    static detail::work_type<queue> const type = {[](queue& q, grid, void const* p) { q.multiply_now(*static_cast<matrix_product const*>(p)); },
                                                  static_cast<index_t>(sizeof product)};
    put(type, {}, product);
  }

  void copy_to_device(void* to, void const* from, index_t bytes) {
    static detail::work_type<queue> const type = {[](queue& q, grid, void const* p) {
                                                    auto const& c = *static_cast<transfer const*>(p);
                                                    q.upload_now(c.to, c.from, c.bytes);
                                                  },
                                                  static_cast<index_t>(sizeof(transfer)),
                                                  {true}};
    if (bytes > 0) { put(type, {}, transfer{to, late_ && !in_step() ? kept_for_later(from, bytes) : staged(from, bytes), bytes}); }
  }
  void copy_inside(void* to, void const* from, index_t bytes) {
    static detail::work_type<queue> const type = {[](queue& q, grid, void const* p) {
                                                    auto const& c = *static_cast<transfer const*>(p);
                                                    q.copies_->finish();
                                                    std::memcpy(behind(c.to, c.bytes), behind(c.from, c.bytes), static_cast<std::size_t>(c.bytes));
                                                  },
                                                  static_cast<index_t>(sizeof(transfer)),
                                                  {true}};
    if (bytes > 0) { put(type, {}, transfer{to, from, bytes}); }
  }
  /// The host sees it when it waits.
  void copy_to_pinned(void* to, void const* from, index_t bytes) {
    static detail::work_type<queue> const type = {[](queue& q, grid, void const* p) {
                                                    auto const& c = *static_cast<transfer const*>(p);
                                                    q.copies_->finish();
                                                    auto const* const bytes_of = static_cast<char const*>(behind(c.from, c.bytes));
                                                    q.on_their_way_.push_back({static_cast<char*>(c.to), {bytes_of, bytes_of + c.bytes}});
                                                  },
                                                  static_cast<index_t>(sizeof(transfer)),
                                                  {true}};
    if (bytes > 0) { put(type, {}, transfer{to, from, bytes}); }
  }
  void copy_to_host(void* to, void const* from, index_t bytes) {
    leave_step();
    catch_up();
    copies_->finish();
    for (auto const& arrived : std::exchange(on_their_way_, {})) { std::copy(arrived.bytes.begin(), arrived.bytes.end(), arrived.to); }
    if (bytes > 0) { std::memcpy(to, behind(from, bytes), static_cast<std::size_t>(bytes)); }
  }
  void fill(void* to, unsigned char byte, index_t bytes) {
    static detail::work_type<queue> const type = {[](queue& q, grid, void const* p) {
                                                    auto const& f = *static_cast<filling const*>(p);
                                                    q.copies_->finish();
                                                    std::memset(behind(f.to, f.bytes), static_cast<int>(f.byte), static_cast<std::size_t>(f.bytes));
                                                  },
                                                  static_cast<index_t>(sizeof(filling))};
    if (bytes > 0) { put(type, {}, filling{to, bytes, byte}); }
  }

 private:
  struct lifetime {
    void* block;
    index_t bytes;
  };
  struct transfer {
    void* to;
    void const* from;
    index_t bytes;
  };
  struct filling {
    void* to;
    index_t bytes;
    index_t byte;
  };

  struct arriving {
    char* to;
    std::vector<char> bytes;
  };

  template <class Kernel>
  void launch_now(grid blocks, Kernel const& kernel) {
    copies_->finish();
    int status = 0;
    std::unique_ptr<char, decltype(&std::free)> const name(abi::__cxa_demangle(typeid(Kernel).name(), nullptr, nullptr, &status),
                                                           std::free);
    run({name ? name.get() : "?", blocks, Kernel::threads, detail::shared_bytes_of(kernel), [&kernel] { kernel(); }}, order_);
  }

  void multiply_now(matrix_product p) {
    copies_->finish();
    index_t const size = 2, results = (p.rows - 1) * p.out_stride + p.outputs;
    if (p.rows <= 0 || p.inputs <= 0 || p.outputs <= 0 || p.out_stride < p.outputs) { throw simt_error("a product of no size, or whose rows overlap"); }
    p.x = behind(p.x, p.rows * p.inputs * size);
    p.w = behind(p.w, p.outputs * p.inputs * size);
    if (p.bias != nullptr) { p.bias = static_cast<float const*>(behind(p.bias, p.outputs * static_cast<index_t>(sizeof(float)))); }
    p.out = static_cast<float*>(behind(p.out, results * static_cast<index_t>(sizeof(float))));
    simt::multiply(p);
  }

  void upload_now(void* to, void const* from, index_t bytes) {
    if (copies_->later(behind(to, bytes), from, bytes)) { return; }
    copies_->finish();
    std::memcpy(behind(to, bytes), from, static_cast<std::size_t>(bytes));
  }

  void const* kept_for_later(void const* from, index_t bytes) {
    auto const* const first = static_cast<char const*>(from);
    return uploads_.emplace_back(first, first + bytes).data();
  }

  static void* behind(void const* address, index_t bytes) {
    void* const memory = device_memory::instance().at(address, bytes);
    if (memory == nullptr) { throw simt_error("a copy of " + std::to_string(bytes) + " bytes touches device memory that is not allocated"); }
    return memory;
  }

  schedule order_;
  std::shared_ptr<pinned_copies> copies_ = std::make_shared<pinned_copies>();
  std::vector<arriving> on_their_way_;
  std::set<void*> steps_;  // blocks that steps keep
  bool late_ = false;
  detail::work_list<queue> waiting_;        // of a late queue
  std::list<std::vector<char>> uploads_;    // what it will upload
  std::vector<void*> given_back_;           // memory that goes behind it
};

inline bool step_graph::change(queue&, detail::work_list<queue> const& list, std::size_t i) {
  if (!list[i].type->traits.changeable) { return false; }
  list_.change(i, list[i].blocks, list.arguments(i));
  return true;
}

inline void step_graph::launch(queue& q) {
  for (std::size_t i = 0; i < list_.size(); ++i) { list_.run(q, i); }
}

}  // namespace loopserve::simt
