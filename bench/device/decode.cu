// SPDX-License-Identifier: Apache-2.0
// Decode attention over whole caches: one query row of 32 heads of 128 over 8 KV heads, bf16, for batches of at most 512k tokens together, and f16, as
// caches have it by default, over 128k. Bytes are those of K and V that must be read.
#include <span>
#include <string>

#include <loopserve/attention/decode.cuh>

#include "ceilings.cuh"
#include "device_data.cuh"
#include "report.hpp"

namespace {

namespace ls = loopserve;
constexpr int heads = 32, kv_heads = 8, head_dim = 128, most_tokens = 1 << 19, sets = 3;

/// One batch with data of its own.
template <class Element>
class batch {
 public:
  batch(ls::cuda const& b, int jobs, int context, int seed)
      : q_(bench::random_numbers<float>(b, ls::index_t{jobs} * heads * head_dim, static_cast<std::uint64_t>(seed))),
        out_(b.make_buffer<float>(ls::index_t{jobs} * heads * head_dim)) {
    std::vector<ls::decode_record<Element>> records;
    for (int j = 0; j < jobs; ++j) {
      kv_.emplace_back(b, context, kv_heads, head_dim, static_cast<std::uint64_t>(100 * seed + j));
      ls::index_t const at = ls::index_t{j} * heads * head_dim;
      records.push_back(ls::record_of(ls::decode_job<Element>{{q_.data() + at, {heads, head_dim}}, {kv_.back().view(), {}}, 0, {out_.data() + at, {heads, head_dim}}}));
    }
    most_ = ls::bounds_of(std::span<ls::decode_record<Element> const>(records));
    records_ = b.make_buffer<ls::decode_record<Element>>(jobs);
    b.copy_to_device(records_.data(), records.data(), records_.bytes());
    states_ = b.make_buffer<float>(most_.state_floats());
  }

  void attend(ls::cuda const& b) { attend_decode(b, records_.data(), most_, states_.data()); }

 private:
  std::vector<bench::random_kv_of<Element>> kv_;
  ls::cuda_buffer<float> q_, out_, states_;
  ls::cuda_buffer<ls::decode_record<Element>> records_;
  ls::decode_bounds most_;
};

template <class Element>
bench::timing time_of_batches(ls::cuda const& b, int jobs, int context) {
  std::vector<batch<Element>> data;
  for (int s = 0; s < sets; ++s) { data.emplace_back(b, jobs, context, s + 1); }
  return bench::time_of(b, 10 * sets, [&](int i) { data[static_cast<std::size_t>(i % sets)].attend(b); });
}

void measure_context(bench::report& r, ls::cuda const& b, std::string const& work, int context, decltype(&time_of_batches<ls::bf16>) time_of) {
  for (int jobs = 1; jobs * context <= most_tokens; jobs *= 4) {
    auto const time = time_of(b, jobs, context);
    double const bytes = 2.0 * jobs * context * kv_heads * head_dim * sizeof(ls::bf16);  // of f16 the same
    r.row(work, std::to_string(jobs) + " x " + std::to_string(context >> 10) + "k",
          {{"tokens", context}, {"batch", jobs}, {"us", time.median}, {"us_low", time.low}, {"us_high", time.high}, {"bytes", bytes}});
  }
}

void measure(bench::report& r) {
  ls::cuda const b;
  r.ceiling("copy_bytes_per_second", bench::copy_bandwidth(b));
  for (int const context : {1 << 14, 1 << 15, 1 << 16, 1 << 17}) { measure_context(r, b, "decode attention, whole cache", context, time_of_batches<ls::bf16>); }
  measure_context(r, b, "decode attention, whole cache of f16", 1 << 17, time_of_batches<ls::f16>);
  r.ceiling("copy_bytes_per_second", bench::copy_bandwidth(b));
}

}  // namespace

int main() { return bench::run(measure); }
