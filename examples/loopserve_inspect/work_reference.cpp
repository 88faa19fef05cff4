// SPDX-License-Identifier: Apache-2.0
#include "work_of_backend.hpp"

namespace inspect {

loopserve::memory_plan plan_reference(settings const& s, files_pointer const& files) { return plan_of<loopserve::reference>(s, files); }
loopserve::score_result score_reference(settings const& s, files_pointer const& files, std::vector<loopserve::token_id> const& ids) {
  return score_of<loopserve::reference>(s, files, ids);
}

}  // namespace inspect
