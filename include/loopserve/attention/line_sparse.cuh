// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <loopserve/attention/line_sparse.hpp>
#include <loopserve/attention/line_sparse_kernel.hpp>
#include <loopserve/attention/prefill_record.hpp>
#include <loopserve/attention/with_attend_kernel.hpp>
#include <loopserve/dev/device_backend.hpp>
#include <loopserve/prefill/line_plan.cuh>

namespace loopserve {

namespace detail {

/// The numbers of all tiles of rows, those with most keys first. The records and the index of their lines lie in the device's memory.
template <device_backend B, class Element>
auto ordered_tiles(B const& b, planned_record<Element> const* records, tile_count const& tiles, int tile_rows) {
  check(tiles.all() <= std::numeric_limits<int>::max(), "line-sparse attention on a device: a batch has too many rows and heads");
  auto const count = static_cast<int>(tiles.all());
  auto work = b.template make_buffer<int>(count), order = b.template make_buffer<int>(count);
  auto histogram = b.template make_buffer<work_histogram>(1);
  b.fill(histogram.data(), 0, histogram.bytes());
  using count_work = tile_work_kernel<Element>;
  b.launch({blocks_for(count, count_work::tiles_per_block)}, count_work{records, tiles, tile_rows, work.data(), histogram.data()});
  b.launch({blocks_for(count, order_tiles_kernel::threads)}, order_tiles_kernel{work.data(), count, histogram.data(), order.data()});
  return order;
}

/// Records in the device's memory, and the index of their lines.
template <device_backend B, class Element>
struct indexed_records {
  typename B::template buffer<std::uint64_t> bits;
  typename B::template buffer<planned_record<Element>> records;
};

template <device_backend B, class Element>
indexed_records<B, Element> index_lines(B const& b, std::span<planned_record<Element> const> jobs) {
  int words = 0, heads = 0;
  index_t all_words = 0;
  for (auto const& job : jobs) {
    words = std::max(words, line_words(job.plan.keys));
    heads = std::max(heads, job.plan.heads);
    all_words += index_t{2} * job.plan.heads * line_words(job.plan.keys);
  }
  indexed_records<B, Element> indexed{b.template make_buffer<std::uint64_t>(all_words),
                                      b.template make_buffer<planned_record<Element>>(static_cast<index_t>(jobs.size()))};
  std::vector<planned_record<Element>> records(jobs.begin(), jobs.end());
  index_t before = 0;
  for (auto& record : records) {
    record.bits = indexed.bits.data() + before;
    before += index_t{2} * record.plan.heads * line_words(record.plan.keys);
  }
  b.copy_to_device(indexed.records.data(), records.data(), indexed.records.bytes());
  using kernel = line_bits_kernel<Element>;
  b.launch({blocks_for(words, kernel::threads), 2 * heads, static_cast<int>(jobs.size())}, kernel{indexed.records.data()});
  return indexed;
}

/// Line-sparse attention over records of heads of one size. Tiles are of 128 rows whatever the batch is: how keys are packed into tiles follows from their rows, and
/// a row's bits from that.
template <device_backend B, class Element>
void attend_planned(B const& b, std::span<planned_record<Element> const> jobs) {
  auto const most = bounds_of(jobs);
  auto const indexed = index_lines(b, jobs);
  with_attend<Element, wide_tile>(most.head_dim, [&]<class Attend>() {
    tile_count const tiles{most.jobs, most.heads, blocks_for(most.rows, Attend::tile_rows)};
    auto const order = ordered_tiles(b, indexed.records.data(), tiles, Attend::tile_rows);
    b.launch({static_cast<int>(tiles.all())}, line_sparse_kernel<Attend>{indexed.records.data(), tiles, order.data(), most.head_dim});
  });
}

}  // namespace detail

/// The reference's attend_lines, for float32, bf16 and f16. What the jobs and their plans point to, page tables included, lies in the device's memory; the jobs and
/// the plans themselves may go on return. head_dim is a multiple of 8 of at most 256, and all rows of K and V and all heads of q start at
/// multiples of 16 bytes; other shapes throw `error`. A row's bits do not depend on the other jobs; heads without lines have attend_dense's bits.
///
/// Nothing waits for the device. The index takes heads * keys / 4 bytes whatever the lines are, 1 MiB for 32 heads on 128k keys and 4 MiB on 512k, and the order
/// of tiles 8 bytes for each 16 or more rows of a head.
template <device_backend B, class Element>
void attend_lines(B const& b, std::span<prefill_job<Element> const> jobs) {
  std::vector<planned_record<Element>> records;
  for (auto const& job : jobs) {
    detail::check_planned_job(job);
    if (job.q.size() > 0) { records.push_back({record_of(job), job.plan != nullptr ? *job.plan : line_plan_view{}, nullptr}); }
  }
  detail::each_head_dim(std::move(records), [&](auto part) { detail::attend_planned(b, part); });
}

}  // namespace loopserve
