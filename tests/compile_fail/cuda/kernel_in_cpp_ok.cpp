// SPDX-License-Identifier: Apache-2.0
// As a program does that links loopserve::compiled_cuda: the engine is used, and no kernel compiled.
#include <loopserve/loopserve.cuh>

namespace ls = loopserve;
using parts = ls::defaults<ls::cuda>;

void speak(ls::engine<parts>& engine) { engine.open().say("Hello.").text(); }
ls::engine<parts> make() { return ls::engine<parts>{"model"}; }
