// SPDX-License-Identifier: Apache-2.0
/// Models and non-models of the concepts: each non-model lacks exactly one thing.
#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include <loopserve/loopserve.hpp>

namespace ls = loopserve;

TEST_CASE("concepts are decided when this file is compiled") {}

// backend
static_assert(ls::backend<ls::reference>);
static_assert(ls::backend<ls::cpu>);
struct no_buffer : ls::reference {
  template <class T>
  void make_buffer(ls::index_t) = delete;
};
struct no_space {
  template <class T>
  using buffer = ls::host_buffer<T>;
  template <class T>
  buffer<T> make_buffer(ls::index_t n) {
    return buffer<T>(n);
  }
  void synchronize() {}
};
static_assert(!ls::backend<no_buffer>);
static_assert(!ls::backend<no_space>);
static_assert(!ls::backend<int>);

// tensor_view_like, kv_view_like
static_assert(ls::tensor_view_like<ls::tensor_view<float, 3>>);
static_assert(ls::tensor_view_like<ls::tensor_view<float const, 1>>);
static_assert(!ls::tensor_view_like<std::vector<float>>);
static_assert(std::is_trivially_copyable_v<ls::tensor_view<float, 3>>);
static_assert(std::is_convertible_v<ls::tensor_view<float, 2>, ls::tensor_view<float const, 2>>);
static_assert(!std::is_convertible_v<ls::tensor_view<float const, 2>, ls::tensor_view<float, 2>>);
static_assert(!std::is_convertible_v<ls::tensor_view<float, 2>, ls::tensor_view<float, 3>>);
static_assert(!std::is_convertible_v<ls::tensor_view<double, 2>, ls::tensor_view<float const, 2>>);
static_assert(ls::kv_view_like<ls::kv_view<float>>);
static_assert(ls::kv_view_like<ls::kv_view<ls::bf16>>);
struct owning_view : ls::kv_view<float> {
  std::shared_ptr<float> memory;
};
static_assert(!ls::kv_view_like<owning_view>);
static_assert(!ls::kv_view_like<ls::tensor_view<float, 3>>);

// component
struct sound_component {
  using backend_type = ls::reference;
  struct options {};
  sound_component(backend_type&, options) {}
};
struct no_options {
  using backend_type = ls::reference;
  explicit no_options(backend_type&) {}
};
struct required_options {
  using backend_type = ls::reference;
  struct options {
    explicit options(int) {}
  };
  required_options(backend_type&, options) {}
};
struct immovable : sound_component {
  using sound_component::sound_component;
  immovable(immovable&&) = delete;
};
static_assert(ls::component<sound_component>);
static_assert(!ls::component<no_options>);
static_assert(!ls::component<required_options>);
static_assert(!ls::component<immovable>);

// kv_policy
static_assert(ls::kv_policy<ls::keep_all<ls::reference>>);
static_assert(ls::kv_policy<ls::keep_all<ls::cpu>>);
static_assert(ls::kv_policy<ls::sink_window<ls::cpu>>);
static_assert(!ls::recalling_policy<ls::keep_all<ls::reference>>);
struct due_says_int : ls::keep_all<ls::reference> {
  using ls::keep_all<ls::reference>::keep_all;
  int due(int) { return 0; }
  due_says_int fork() const { return *this; }
};
struct fork_slices : ls::keep_all<ls::reference> {
  using ls::keep_all<ls::reference>::keep_all;
};
struct recalls : ls::keep_all<ls::reference> {
  using ls::keep_all<ls::reference>::keep_all;
  recalls fork() const { return *this; }
  void recall(int, ls::tensor_view<float const, 2>, ls::kv_view<float>, ls::kept_rows<ls::reference>&) {}
};
static_assert(!ls::kv_policy<due_says_int>);
static_assert(!ls::kv_policy<fork_slices>);
static_assert(ls::recalling_policy<recalls>);

// prefill_selector
static_assert(ls::prefill_selector<ls::dense_prefill<ls::reference>>);
static_assert(ls::prefill_selector<ls::a_shape<ls::cpu>>);
static_assert(!ls::prefill_selector<sound_component>);
static_assert(!ls::prefill_selector<ls::keep_all<ls::reference>>);

// cache_storage
static_assert(ls::cache_storage<ls::contiguous<ls::reference, float>>);
static_assert(ls::cache_storage<ls::paged<ls::cpu, ls::bf16>>);
static_assert(!ls::cache_storage<ls::keep_all<ls::reference>>);
struct counts_in_size_t : ls::contiguous<ls::reference, float> {
  using ls::contiguous<ls::reference, float>::contiguous;
  std::size_t bytes() const { return 0; }
};
static_assert(!ls::cache_storage<counts_in_size_t>);

// model, attention_backend
static_assert(!ls::model<sound_component>);
static_assert(!ls::model<int>);
