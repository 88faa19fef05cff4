// SPDX-License-Identifier: Apache-2.0
/// A program in C++ that takes the GPU where there is one. It compiles neither engine. Without a device it says so and, once the other engine has answered, exits with 77.
#include <iostream>
#include <string>

#include <loopserve/loopserve.cuh>
#include <loopserve/loopserve.hpp>

namespace ls = loopserve;

template <class Backend>
bool answers(char const* name, char const* model) {
  ls::engine<ls::defaults<Backend>> engine{model};
  auto chat = engine.open();
  auto const text = chat.say("The amber bear budget is 431. What is the amber bear budget?").text();
  std::cout << name << ": " << text << std::endl;
  return text.find("amber bear budget is 431") != std::string::npos;
}

int main(int, char** argv) {
  try {
    return answers<ls::cuda>("cuda", argv[1]) ? 0 : 1;
  } catch (ls::cuda_error const& e) {
    std::cout << "skipped: " << e.what() << std::endl;
    return answers<ls::cpu>("cpu", argv[1]) ? 77 : 1;
  }
}
