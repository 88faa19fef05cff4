// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <loopserve/loopserve.hpp>

namespace ls = loopserve;

std::string reference_answer(char const* model, char const* question) {
  ls::engine<ls::defaults<ls::reference>> engine{model};
  auto chat = engine.open();
  return chat.say(question).text();
}
