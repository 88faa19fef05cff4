// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <loopserve/dev/batch_kernel.hpp>
#include <loopserve/dev/device_backend.hpp>

namespace loopserve {

namespace detail {

/// What the jobs of a batch hold until their kernels are queued. What a job gives back serves the same job again, whose kernels follow each other, and no other.
template <class B>
class batch_memory {
 public:
  unsigned char* take(B const& b, index_t bytes, int job) {
    auto const fits = [&](piece const& p) { return !p.held && p.job == job && p.memory.bytes() == bytes; };
    auto const found = std::find_if(pieces_.begin(), pieces_.end(), fits);
    if (found != pieces_.end()) {
      found->held = true;
      return found->memory.data();
    }
    pieces_.push_back({b.template make_buffer<unsigned char>(bytes), job, true});
    bytes_ += bytes;
    return pieces_.back().memory.data();
  }

  void give(unsigned char const* memory) noexcept {
    for (auto& p : pieces_) {
      if (p.memory.data() == memory) { p.held = false; }
    }
  }

  /// The jobs' kernels are queued: what they gave back goes back in the queue's order.
  void settle() noexcept {
    std::erase_if(pieces_, [](piece const& p) { return !p.held; });
    bytes_ = 0;
    for (auto const& p : pieces_) { bytes_ += p.memory.bytes(); }
  }

  index_t bytes() const { return bytes_; }

 private:
  struct piece {
    typename B::template buffer<unsigned char> memory;
    int job;
    bool held;
  };
  std::vector<piece> pieces_;
  index_t bytes_ = 0;
};

/// Kernels of one kind that are to be launched together.
template <class B>
struct batch_launch {
  using launcher = void(B const&, unsigned char const* parts, batch_launch const&);

  launcher* launch;  ///< there is one for each kind
  std::vector<unsigned char> parts = {};
  int count = 0;
  index_t blocks = 0, shared = 0;
};

}  // namespace detail

/// Device memory that a `batched` backend gave.
template <class T, class B>
class batched_buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;

  batched_buffer() = default;
  batched_buffer(std::shared_ptr<detail::batch_memory<B>> memory, B const& b, index_t size, int job) : memory_(std::move(memory)), size_(size) {
    check(size >= 0 && size <= std::numeric_limits<index_t>::max() / static_cast<index_t>(sizeof(T)),
          "a buffer's size is not negative and fits the address space");
    if (size > 0) { data_ = reinterpret_cast<T*>(memory_->take(b, bytes(), job)); }
  }
  batched_buffer(batched_buffer&& other) noexcept
      : memory_(std::move(other.memory_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  batched_buffer& operator=(batched_buffer&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~batched_buffer() {
    if (data_ != nullptr) { memory_->give(reinterpret_cast<unsigned char const*>(data_)); }
  }

  T* data() { return data_; }
  T const* data() const { return data_; }
  index_t size() const { return size_; }
  index_t bytes() const { return size_ * static_cast<index_t>(sizeof(T)); }

 private:
  std::shared_ptr<detail::batch_memory<B>> memory_;
  T* data_ = nullptr;
  index_t size_ = 0;
};

/// A device backend for many small jobs that know nothing of each other: it puts off what they launch, and launches kernels of one kind that several of them ask
/// for together. The same kernels run over the same memory, so a job's bits are those of its calls on `B` alone; a launcher needs no second version.
///
/// A job's calls stand between two calls of `next_job()`; jobs must not touch each other's memory. `run()` uploads the kernels' arguments in one copy and queues everything:
/// as many launches as the longest job has, where their kinds follow each other alike. What cannot be put off (copies from and to the host, products, steps, kernels that are
/// no batch_kernel_part) runs what has been put off first. Copies share all of this.
template <device_backend B>
class batched {
 public:
  static constexpr memory_space space = memory_space::device;
  template <class T>
  using buffer = batched_buffer<T, B>;
  using step = typename B::step;

  /// `before` is called each time before anything is queued on `b`.
  explicit batched(B const& b, std::function<void()> before = {}) : state_(std::make_shared<state>(b, std::move(before))) {}

  void next_job() const {
    ++state_->job;
    state_->place = 0;
  }

  void run() const {
    auto& s = *state_;
    auto const launches = std::exchange(s.launches, {});
    if (s.before) { s.before(); }
    s.place = 0;
    index_t bytes = 0;
    for (auto const& l : launches) { bytes += static_cast<index_t>(l.parts.size()); }
    if (bytes > 0) {
      std::vector<unsigned char> all;
      all.reserve(static_cast<std::size_t>(bytes));
      for (auto const& l : launches) { all.insert(all.end(), l.parts.begin(), l.parts.end()); }
      auto parts = s.inner.template make_buffer<unsigned char>(bytes);
      s.inner.copy_to_device(parts.data(), all.data(), bytes);
      unsigned char const* at = parts.data();
      for (auto const& l : launches) {
        l.launch(s.inner, at, l);
        at += l.parts.size();
      }
    }
    s.memory->settle();
  }

  /// Device memory that jobs hold, or held since the last run().
  index_t held_bytes() const { return state_->memory->bytes(); }

  template <class T>
  buffer<T> make_buffer(index_t n) const {
    return buffer<T>(state_->memory, state_->inner, n, state_->job);
  }
  template <class T>
  auto make_pinned(index_t n) const {
    return state_->inner.template make_pinned<T>(n);
  }

  template <device_kernel Kernel>
  void launch(grid blocks, Kernel const& kernel) const {
    if (!detail::launchable<Kernel>(blocks)) { return; }
    if constexpr (batch_kernel_part<Kernel>) {
      index_t const count = index_t{blocks.x} * blocks.y * blocks.z;
      if (count <= most_blocks) { return put_off(blocks, kernel, count); }
    }
    run();
    state_->inner.launch(blocks, kernel);
  }
  void copy_inside(void* to, void const* from, index_t bytes) const {
    launch({blocks_for(bytes, copy_bytes_kernel::bytes_per_block)},
           copy_bytes_kernel{static_cast<unsigned char const*>(from), static_cast<unsigned char*>(to), bytes});
  }
  void fill(void* to, unsigned char byte, index_t bytes) const {
    launch({blocks_for(bytes, fill_bytes_kernel::bytes_per_block)}, fill_bytes_kernel{static_cast<unsigned char*>(to), byte * 0x01010101U, bytes});
  }

  void multiply(matrix_product const& product) const {
    run();
    state_->inner.multiply(product);
  }
  void copy_to_device(void* to, void const* from, index_t bytes) const {
    run();
    state_->inner.copy_to_device(to, from, bytes);
  }
  void copy_to_host(void* to, void const* from, index_t bytes) const {
    run();
    state_->inner.copy_to_host(to, from, bytes);
  }
  void copy_to_pinned(void* to, void const* from, index_t bytes) const {
    run();
    state_->inner.copy_to_pinned(to, from, bytes);
  }
  template <class Body>
  void replay(step& last, Body&& body) const {
    run();
    state_->inner.replay(last, std::forward<Body>(body));
  }
  void synchronize() const {
    run();
    state_->inner.synchronize();
  }

  fault_record* faults() const { return state_->inner.faults(); }
  int multiprocessors() const { return state_->inner.multiprocessors(); }

 private:
  struct state {
    state(B const& b, std::function<void()> f) : inner(b), before(std::move(f)), memory(std::make_shared<detail::batch_memory<B>>()) {}
    B inner;
    std::function<void()> before;
    std::shared_ptr<detail::batch_memory<B>> memory;
    std::vector<detail::batch_launch<B>> launches;
    std::size_t place = 0;  // launches before it are older than what the job launches next
    int job = 0;
  };

  static constexpr index_t most_blocks = std::numeric_limits<int>::max();

  template <class Kernel>
  void put_off(grid blocks, Kernel const& kernel, index_t count) const {
    auto& list = next(&launch_together<Kernel>, count);
    batch_part<Kernel> const part{kernel, blocks, static_cast<int>(list.blocks)};
    auto const at = list.parts.size();
    list.parts.resize(at + sizeof part);
    std::memcpy(list.parts.data() + at, static_cast<void const*>(&part), sizeof part);
    ++list.count;
    list.blocks += count;
    list.shared = std::max(list.shared, detail::shared_bytes_of(kernel));
  }

  template <class Kernel>
  static void launch_together(B const& b, unsigned char const* parts, detail::batch_launch<B> const& list) {
    b.launch({static_cast<int>(list.blocks)}, batch_kernel<Kernel>{reinterpret_cast<batch_part<Kernel> const*>(parts), list.count, list.shared});
  }

  /// The job's next launch of a kind with room for so many blocks more: one that other jobs have asked for, or one behind all others.
  detail::batch_launch<B>& next(typename detail::batch_launch<B>::launcher* kind, index_t blocks) const {
    auto& s = *state_;
    while (s.place < s.launches.size()) {
      auto& l = s.launches[s.place++];
      if (l.launch == kind && l.blocks + blocks <= most_blocks) { return l; }
    }
    s.launches.push_back({kind});
    s.place = s.launches.size();
    return s.launches.back();
  }

  std::shared_ptr<state> state_;
};

}  // namespace loopserve
