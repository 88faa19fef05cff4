// SPDX-License-Identifier: Apache-2.0
#include "fault_watch.hpp"

#include <unistd.h>

#include <cstring>

#include "device_memory.hpp"

namespace loopserve::simt {

namespace {

struct sigaction before;
stack_t stack_before;
char stack[64 * 1024];  // a thread's own may be what ran out

void explain(int, siginfo_t* info, void*) {
  char const* const text = device_memory::instance().holds(info->si_addr)
                               ? "emulator: device memory was touched without dev::load, dev::store, an atomic or a copy\n"
                               : "emulator: a kernel touched memory that is none: past the end of its shared memory, or of its stack?\n";
  if (write(STDERR_FILENO, text, std::strlen(text)) < 0) { _exit(3); }
  sigaction(SIGSEGV, &before, nullptr);  // the instruction runs again, into the handler that was there before
}

}  // namespace

fault_watch::fault_watch() {
  stack_t other{};
  other.ss_sp = stack;
  other.ss_size = sizeof stack;
  sigaltstack(&other, &stack_before);
  struct sigaction action {};
  action.sa_sigaction = explain;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, &before);
}

fault_watch::~fault_watch() {
  sigaction(SIGSEGV, &before, nullptr);
  sigaltstack(&stack_before, nullptr);
}

}  // namespace loopserve::simt
