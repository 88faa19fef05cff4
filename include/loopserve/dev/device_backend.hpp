// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>

#include <loopserve/core/backend.hpp>
#include <loopserve/dev/fault.hpp>
#include <loopserve/dev/kernel.hpp>
#include <loopserve/dev/product.hpp>

namespace loopserve {

namespace detail {
struct no_kernel {
  static constexpr int threads = 32;
  LOOPSERVE_DEVICE void operator()() const {}
};
struct no_work {
  void operator()() const {}
};
}  // namespace detail

/// A backend whose memory the host cannot touch: `cuda`, or the emulator of tests/simt. The launchers of x.cuh are written for any of them, so that whole
/// operations run under the emulator.
///
/// Everything is queued in order and nothing waits but `synchronize()`, which throws what a kernel has found wrong since the last time, and `copy_to_host`,
/// whose result is there on return. A buffer may be destroyed while work that uses it is queued. Ordinary host memory given to
/// `copy_to_device` may be used again on return, pinned memory after the next wait; its destruction waits, or in a step keeps the memory until then. What `copy_to_pinned`
/// brings into pinned memory is there after the next wait.
///
/// `replay(last, queue_the_step)` queues what the second queues, by graphs as far as it is what `last` saw last time (see detail::step_recording); inside, a wait is
/// allowed and ends that. Between two steps with one `last` the host waits. Memory that a step makes and gives back stays for the next step.
template <class B>
concept device_backend = backend<B> &&(B::space == memory_space::device) &&
                         requires(B const b, grid blocks, void* to, void const* from, index_t bytes, matrix_product const& product, typename B::step& last) {
  b.launch(blocks, detail::no_kernel{});
  b.multiply(product);
  { b.template make_pinned<float>(bytes).data() } -> std::same_as<float*>;
  b.copy_to_device(to, from, bytes);
  b.copy_to_host(to, from, bytes);
  b.copy_to_pinned(to, from, bytes);
  b.copy_inside(to, from, bytes);
  b.fill(to, static_cast<unsigned char>(0), bytes);
  b.replay(last, detail::no_work{});
  { b.faults() } -> std::same_as<fault_record*>;
  { b.multiprocessors() } -> std::convertible_to<int>;
};

}  // namespace loopserve
