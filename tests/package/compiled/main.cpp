// SPDX-License-Identifier: Apache-2.0
/// Two translation units that use engines of loopserve::compiled; with TWICE, one that compiles such an engine again.
#include <iostream>
#include <string>

#include <loopserve/loopserve.hpp>

namespace ls = loopserve;

std::string reference_answer(char const* model, char const* question);

#ifdef TWICE
template class ls::engine<ls::defaults<ls::cpu>>;
#endif

int main(int, char** argv) {
  char const* const question = "The amber bear budget is 431. What is the amber bear budget?";
  ls::engine<ls::defaults<ls::cpu>> engine{argv[1]};
  auto chat = engine.open();
  auto const text = chat.say(question).text();
  std::cout << "cpu: " << text << "\nreference: " << reference_answer(argv[1], question) << '\n';
}
