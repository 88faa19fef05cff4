// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <loopserve/kv/contiguous.hpp>
#include <loopserve/kv/paged.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/testing/storage_laws.hpp>

namespace ls = loopserve;

TEST_CASE_TEMPLATE("a storage keeps the laws", Storage, ls::contiguous<ls::reference, float>, ls::contiguous<ls::reference, ls::bf16>,
                   ls::contiguous<ls::reference, ls::f16>, ls::paged<ls::reference, float>, ls::paged<ls::reference, ls::bf16>,
                   ls::paged<ls::reference, ls::f16>, ls::contiguous<ls::cpu, float>, ls::contiguous<ls::cpu, ls::bf16>, ls::contiguous<ls::cpu, ls::f16>,
                   ls::paged<ls::cpu, float>, ls::paged<ls::cpu, ls::bf16>, ls::paged<ls::cpu, ls::f16>) {
  typename Storage::backend_type b{2};
  for (auto shape : {ls::cache_shape{2, 2, 8}, ls::cache_shape{1, 1, 5}, ls::cache_shape{3, 4, 24}}) { CHECK_NOTHROW(ls::testing::storage_laws<Storage>(b, shape)); }
}

TEST_CASE("pages of other sizes keep the laws") {
  ls::reference b{1};
  for (int page : {1, 16, 128}) {
    for (int slab : {0, 1, 7}) {
      ls::paged_options const o{.page_tokens = page, .slab_pages = slab};
      using storage = ls::paged<ls::reference, ls::bf16>;
      ls::cache_shape const shape{2, 3, 8};
      CHECK_NOTHROW(ls::testing::law_append_reads_back<storage>(b, shape, o));
      CHECK_NOTHROW(ls::testing::law_forks_are_apart<storage>(b, shape, o));
      CHECK_NOTHROW(ls::testing::law_truncate_keeps_forks<storage>(b, shape, o));
      CHECK_NOTHROW(ls::testing::law_views_are_stable<storage>(b, shape, o));
      CHECK_NOTHROW(ls::testing::law_bytes_are_held<storage>(b, shape, o));
    }
  }
}
