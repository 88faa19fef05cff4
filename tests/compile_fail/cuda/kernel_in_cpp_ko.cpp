// SPDX-License-Identifier: Apache-2.0
// expect: kernels are compiled by nvcc: name this file \.cu, or link loopserve::compiled_cuda
// An engine of other parts, even if they are the same ones under another name, is compiled where it is used.
#include <loopserve/loopserve.cuh>

namespace ls = loopserve;
struct parts : ls::defaults<ls::cuda> {};

void speak(ls::engine<parts>& engine) { engine.open().say("Hello.").text(); }
ls::engine<parts> make() { return ls::engine<parts>{"model"}; }
