// SPDX-License-Identifier: Apache-2.0
// expect: p.due.layer.
// The same policy without `due`: the compiler names the missing part.
#include <loopserve/kv/kv_policy.hpp>

namespace ls = loopserve;

struct keep_nothing {
  using backend_type = ls::reference;
  struct options {};
  keep_nothing(backend_type&, options) {}
  void begin_turn(int, ls::tensor_view<float const, 3>, ls::kv_view<float>) {}
  void observe(int, ls::tensor_view<float const, 2>) {}
  void choose(int, ls::kv_view<float>, ls::kept_rows<backend_type>&) {}
  ls::kv_budget budget() const { return {}; }
  void truncate(int) {}
  keep_nothing fork() const { return *this; }
};

template <ls::kv_policy P>
void use();
void f() { use<keep_nothing>(); }
