// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <loopserve/loopserve.hpp>
namespace ls = loopserve;

int main(int, char** argv) {
  ls::engine<ls::defaults<ls::cpu>> engine{argv[1]};  // a Hugging Face folder or a GGUF file
  auto chat = engine.open();
  for (auto const& piece : chat.say("The amber bear budget is 431. What is the amber bear budget?")) {
    std::cout << piece << std::flush;
  }
  std::cout << '\n';
}
