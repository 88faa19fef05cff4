// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

namespace loopserve {

class cpu;

namespace detail {

struct cpu_attention_overrides;  // complete where attention/cpu/cpu_attention.hpp is included

/// Attention on `cpu` does not compile without its overrides: overload resolution would quietly find the reference's loops.
template <class Backend>
constexpr void require_attention_overrides() {
  using overrides = std::conditional_t<std::is_base_of_v<cpu, Backend>, cpu_attention_overrides, Backend>;
  static_assert(sizeof(overrides) > 0, "attention on the cpu backend needs <loopserve/attention/cpu/cpu_attention.hpp>");
}

}  // namespace detail
}  // namespace loopserve
