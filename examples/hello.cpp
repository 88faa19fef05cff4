// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <loopserve/loopserve.hpp>
namespace ls = loopserve;

int main(int argc, char** argv) try {
  ls::engine<ls::defaults<ls::cpu>> engine{argc > 1 ? argv[1] : "assets/demo-model"};  // a Hugging Face folder or a GGUF file
  auto chat = engine.open();
  for (auto const& piece : chat.say("The amber bear budget is 431. What is the amber bear budget?")) {
    std::cout << piece << std::flush;
  }
  std::cout << '\n';
} catch (ls::error const& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
