// SPDX-License-Identifier: Apache-2.0
#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>

#include "engine_partner.hpp"

std::unique_ptr<chat::partner> chat::open_cpu(settings const& s) { return std::make_unique<engine_partner<loopserve::cpu>>(s); }
