// SPDX-License-Identifier: Apache-2.0
#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>

#include "work_of_backend.hpp"

namespace inspect {

loopserve::memory_plan plan_cpu(settings const& s, files_pointer const& files) { return plan_of<loopserve::cpu>(s, files); }
loopserve::score_result score_cpu(settings const& s, files_pointer const& files, std::vector<loopserve::token_id> const& ids) {
  return score_of<loopserve::cpu>(s, files, ids);
}

}  // namespace inspect
