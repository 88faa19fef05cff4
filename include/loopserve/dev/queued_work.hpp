// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>
#include <vector>

#include <loopserve/core/config.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/dev/kernel.hpp>

namespace loopserve::detail {

/// What a piece of queued work is, its arguments apart. There is one object for each type of kernel, of copy and so on: its address is its name.
template <class Queue>
struct work_type {
  void (*run)(Queue&, grid, void const* arguments);  ///< queues it
  index_t bytes;                                     ///< of the arguments
  typename Queue::work_traits traits = {};
};

/// The arguments as they are compared and kept: bytes.
template <class Arguments>
struct comparable {
  static_assert(std::is_trivially_copyable_v<Arguments> && alignof(Arguments) <= alignof(std::max_align_t));
  explicit comparable(Arguments const& from) : arguments(from) { LOOPSERVE_CLEAR_PADDING(&arguments); }
  Arguments arguments;
};

/// Pieces of work in the order they were queued in, with their arguments.
template <class Queue>
class work_list {
 public:
  struct piece {
    work_type<Queue> const* type;
    grid blocks;
    std::size_t first;  // of the arguments, in units of storage_
  };

  std::size_t size() const { return pieces_.size(); }
  piece const& operator[](std::size_t i) const { return pieces_[i]; }
  void const* arguments(std::size_t i) const { return storage_.data() + pieces_[i].first; }

  void add(work_type<Queue> const& type, grid blocks, void const* arguments) {
    pieces_.push_back({&type, blocks, storage_.size()});
    storage_.resize(storage_.size() + (static_cast<std::size_t>(type.bytes) + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t));
    write(pieces_.size() - 1, arguments);
  }

  bool equal(std::size_t i, grid blocks, void const* arguments) const {
    auto const& p = pieces_[i];
    return p.blocks.x == blocks.x && p.blocks.y == blocks.y && p.blocks.z == blocks.z &&
           std::memcmp(this->arguments(i), arguments, static_cast<std::size_t>(p.type->bytes)) == 0;
  }

  /// The same type of work with other arguments.
  void change(std::size_t i, grid blocks, void const* arguments) {
    pieces_[i].blocks = blocks;
    write(i, arguments);
  }

  void run(Queue& queue, std::size_t i) const { pieces_[i].type->run(queue, pieces_[i].blocks, arguments(i)); }

 private:
  void write(std::size_t i, void const* arguments) {
    std::memcpy(storage_.data() + pieces_[i].first, arguments, static_cast<std::size_t>(pieces_[i].type->bytes));
  }

  std::vector<piece> pieces_;
  std::vector<std::max_align_t> storage_;
};

}  // namespace loopserve::detail
