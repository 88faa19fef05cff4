// SPDX-License-Identifier: Apache-2.0
#include "engine_partner.hpp"

std::unique_ptr<chat::partner> chat::open_reference(settings const& s) { return std::make_unique<engine_partner<loopserve::reference>>(s); }
