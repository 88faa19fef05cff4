// SPDX-License-Identifier: Apache-2.0
/// The storages in a device's memory keep the laws: what they hold is read back for the host, which sees none of it otherwise.
#include "device_test.hpp"

#include <type_traits>

#include <loopserve/kv/any_storage.hpp>
#include <loopserve/kv/contiguous.hpp>
#include <loopserve/kv/paged.hpp>
#include <loopserve/ops/copy.cuh>
#include <loopserve/ops/store_rows.cuh>
#include <loopserve/testing/storage_laws.hpp>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// Its forks are other names of the same sequence.
template <class Backend>
struct forks_are_names : paged<Backend, f16> {
  using paged<Backend, f16>::paged;
  sequence_id fork(sequence_id id) { return id; }
};

/// A token that ends a page is stored as the one before it.
template <class Backend>
struct forgets_page_ends : contiguous<Backend, float> {
  using contiguous<Backend, float>::contiguous;
  void append(sequence_id id, int layer, tensor_view<float const, 3> k, tensor_view<float const, 3> v) {
    for (index_t i = 0; i < k.extent(0); ++i) {
      bool const ends = i > 0 && this->length(id, layer) % 64 == 63;
      contiguous<Backend, float>::append(id, layer, k.rows(ends ? i - 1 : i, 1), v.rows(i, 1));
    }
  }
};

}  // namespace

TEST_CASE_TEMPLATE("a storage on a device keeps the laws", Element, float, bf16, f16) {
  each_device(
      [](auto const& device) {
        auto b = device;
        using backend_type = decltype(b);
        for (auto const shape : {cache_shape{2, 2, 8}, cache_shape{1, 1, 5}, cache_shape{3, 4, 24}}) {
          CHECK_NOTHROW(testing::storage_laws<paged<backend_type, Element>>(b, shape));
          CHECK_NOTHROW(testing::storage_laws<contiguous<backend_type, Element>>(b, shape));
        }
      },
      1);
}

TEST_CASE("pages of other sizes keep the laws") {
  each_device([](auto const& device) {
    auto b = device;
    using storage = paged<decltype(b), bf16>;
    for (auto const& o : {paged_options{.page_tokens = 1, .slab_pages = 7}, paged_options{.page_tokens = 16, .slab_pages = 1}, paged_options{.page_tokens = 128}}) {
      cache_shape const shape{2, 3, 8};
      CHECK_NOTHROW(testing::law_append_reads_back<storage>(b, shape, o));
      CHECK_NOTHROW(testing::law_forks_are_apart<storage>(b, shape, o));
      CHECK_NOTHROW(testing::law_truncate_keeps_forks<storage>(b, shape, o));
      CHECK_NOTHROW(testing::law_views_are_stable<storage>(b, shape, o));
      CHECK_NOTHROW(testing::law_bytes_are_held<storage>(b, shape, o));
    }
  });
}

TEST_CASE("a storage whose type is chosen at run time holds rows of that type in what was planned") {
  each_device([](auto const& device) {
    auto b = device;
    cache_shape const shape{2, 2, 8};
    for (auto const type : {element_type::f32, element_type::bf16, element_type::f16}) {
      any_storage_options const o{.type = type};
      any_storage<decltype(b)> any(b, shape, o);
      any.visit([&](auto& s) {
        auto const id = s.open();
        testing::append_rows(b, s, shape, id, 0, 90, 1);
        CHECK(s.bytes() == any_storage<decltype(b)>::planned_bytes(shape, o, 90));
        auto const fork = s.fork(id);
        testing::append_rows(b, s, shape, fork, 90, 140, 2);
        CHECK_NOTHROW(testing::require_rows(b, s, shape, id, 0, 90, 1, "the parent"));
        CHECK_NOTHROW(testing::require_rows(b, s, shape, fork, 0, 90, 1, "the fork's past"));
        CHECK_NOTHROW(testing::require_rows(b, s, shape, fork, 90, 140, 2, "the fork's future"));
        CHECK(sizeof(typename std::remove_cvref_t<decltype(s)>::element_type) == static_cast<std::size_t>(bytes_of(type, 1)));
      });
    }
  });
}

TEST_CASE("a storage on a device that breaks a law is told") {
  each_device(
      [](auto const& device) {
        auto b = device;
        using backend_type = decltype(b);
        CHECK_THROWS_AS(testing::storage_laws<forks_are_names<backend_type>>(b, {2, 2, 8}), testing::law_broken);
        CHECK_THROWS_AS(testing::storage_laws<forgets_page_ends<backend_type>>(b, {2, 2, 8}), testing::law_broken);
      },
      1);
}
