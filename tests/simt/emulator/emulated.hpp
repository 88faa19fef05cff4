// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cxxabi.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>

#include <loopserve/dev/device_backend.hpp>

#include "device_memory.hpp"
#include "launch.hpp"
#include "pinned.hpp"
#include "product.hpp"
#include "simt_error.hpp"

namespace loopserve {

/// Memory of the emulated device.
template <class T>
class emulated_buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;

  emulated_buffer() = default;
  explicit emulated_buffer(index_t size) : size_(size) {
    check(size >= 0, "a buffer's size must not be negative");
    if (size > 0) { data_.reset(static_cast<T*>(simt::device_memory::instance().allocate(size * static_cast<index_t>(sizeof(T))))); }
  }

  T* data() { return data_.get(); }
  T const* data() const { return data_.get(); }
  index_t size() const { return size_; }
  index_t bytes() const { return size_ * static_cast<index_t>(sizeof(T)); }

 private:
  struct release {
    void operator()(T* p) const { simt::device_memory::instance().free(const_cast<std::remove_const_t<T>*>(p)); }
  };
  std::unique_ptr<T, release> data_;
  index_t size_ = 0;
};

/// The device backend that runs on the host, one thread after the other, in the order that the schedule says.
class emulated {
 public:
  static constexpr memory_space space = memory_space::device;
  template <class T>
  using buffer = emulated_buffer<T>;

  explicit emulated(simt::schedule order = {}) : order_(order), faults_(std::make_shared<buffer<fault_record>>(1)) { clear_faults(); }

  template <class T>
  emulated_pinned_buffer<T> make_pinned(index_t n) const {
    return {copies_, n};
  }

  template <class T>
  buffer<T> make_buffer(index_t n) const {
    return buffer<T>(n);
  }

  void synchronize() const {
    fault_record record;
    copy_to_host(&record, faults(), sizeof record);
    clear_faults();
    check_fault(record);
  }

  template <device_kernel Kernel>
  void launch(grid blocks, Kernel const& kernel) const {
    if (!detail::launchable<Kernel>(blocks)) { return; }
    copies_->finish();
    int status = 0;
    std::unique_ptr<char, decltype(&std::free)> const name(abi::__cxa_demangle(typeid(Kernel).name(), nullptr, nullptr, &status),
                                                           std::free);
    simt::run({name ? name.get() : "?", blocks, Kernel::threads, detail::shared_bytes_of(kernel), [&kernel] { kernel(); }}, order_);
  }

  void multiply(matrix_product const& product) const {
    copies_->finish();
    auto p = product;
    index_t const size = 2, results = (p.rows - 1) * p.out_stride + p.outputs;
    if (p.rows <= 0 || p.inputs <= 0 || p.outputs <= 0 || p.out_stride < p.outputs) { throw simt::simt_error("a product of no size, or whose rows overlap"); }
    p.x = behind(p.x, p.rows * p.inputs * size);
    p.w = behind(p.w, p.outputs * p.inputs * size);
    if (p.bias != nullptr) { p.bias = static_cast<float const*>(behind(p.bias, p.outputs * static_cast<index_t>(sizeof(float)))); }
    p.out = static_cast<float*>(behind(p.out, results * static_cast<index_t>(sizeof(float))));
    simt::multiply(p);
  }

  void copy_to_device(void* to, void const* from, index_t bytes) const {
    if (copies_->later(behind(to, bytes), from, bytes)) { return; }
    copies_->finish();
    copy(behind(to, bytes), from, bytes);
  }
  void copy_to_host(void* to, void const* from, index_t bytes) const {
    copies_->finish();
    copy(to, behind(from, bytes), bytes);
  }
  void copy_inside(void* to, void const* from, index_t bytes) const {
    copies_->finish();
    copy(behind(to, bytes), behind(from, bytes), bytes);
  }
  void fill(void* to, unsigned char byte, index_t bytes) const {
    copies_->finish();
    if (bytes > 0) { std::memset(behind(to, bytes), byte, static_cast<std::size_t>(bytes)); }
  }

  fault_record* faults() const { return faults_->data(); }
  int multiprocessors() const { return 3; }
  simt::schedule const& order() const { return order_; }

 private:
  static void copy(void* to, void const* from, index_t bytes) {
    if (bytes > 0) { std::memcpy(to, from, static_cast<std::size_t>(bytes)); }
  }
  static void* behind(void const* address, index_t bytes) {
    if (bytes == 0) { return nullptr; }
    void* const memory = simt::device_memory::instance().at(address, bytes);
    if (memory == nullptr) {
      throw simt::simt_error("a copy of " + std::to_string(bytes) + " bytes touches device memory that is not allocated");
    }
    return memory;
  }
  void clear_faults() const { fill(faults(), 0, sizeof(fault_record)); }

  simt::schedule order_;
  std::shared_ptr<simt::pinned_copies> copies_ = std::make_shared<simt::pinned_copies>();
  std::shared_ptr<buffer<fault_record>> faults_;
};

static_assert(device_backend<emulated>);

}  // namespace loopserve
