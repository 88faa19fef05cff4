// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Everything for the host. Written by tests/tree/check_tree.py --write.

#include <loopserve/version.hpp>
#include <loopserve/core/backend.hpp>
#include <loopserve/core/buffer.hpp>
#include <loopserve/core/component.hpp>
#include <loopserve/core/config.hpp>
#include <loopserve/core/element.hpp>
#include <loopserve/core/error.hpp>
#include <loopserve/core/ids.hpp>
#include <loopserve/core/kv_view.hpp>
#include <loopserve/core/parallel.hpp>
#include <loopserve/core/rng.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/core/weight_view.hpp>
#include <loopserve/ops/add.hpp>
#include <loopserve/ops/argmax.hpp>
#include <loopserve/ops/embed.hpp>
#include <loopserve/ops/matmul.hpp>
#include <loopserve/ops/rmsnorm.hpp>
#include <loopserve/ops/rope.hpp>
#include <loopserve/ops/silu_mul.hpp>
#include <loopserve/ops/softmax.hpp>
#include <loopserve/kv/cache_storage.hpp>
#include <loopserve/kv/kept_rows.hpp>
#include <loopserve/kv/kv_budget.hpp>
#include <loopserve/kv/kv_policy.hpp>
#include <loopserve/prefill/line_plan.hpp>
#include <loopserve/prefill/prefill_selector.hpp>
#include <loopserve/attention/attend_keys.hpp>
#include <loopserve/attention/attention_backend.hpp>
#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/attention/decode.hpp>
#include <loopserve/attention/dense.hpp>
#include <loopserve/attention/dense_attention.hpp>
#include <loopserve/attention/line_sparse.hpp>
#include <loopserve/attention/line_sparse_attention.hpp>
#include <loopserve/attention/prefill_rows.hpp>
#include <loopserve/model/model.hpp>
#include <loopserve/model/text/text_piece.hpp>
