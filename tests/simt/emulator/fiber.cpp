// SPDX-License-Identifier: Apache-2.0
#include "fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#endif
#if defined(SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__)
#error "the emulator switches stacks by x86-64 instructions; another processor needs its own switch_stacks"
#endif

// Saves what a function call must preserve on the stack that is left, and restores it from the one that is entered.
extern "C" void loopserve_switch_stacks(void** leave, void* enter);
asm(R"(.text
.globl loopserve_switch_stacks
.type loopserve_switch_stacks,@function
loopserve_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size loopserve_switch_stacks,.-loopserve_switch_stacks
)");

namespace loopserve::simt {

namespace {

fiber* running = nullptr;
void* resumer = nullptr;  // the stack pointer of whoever resumed
void const* resumer_bottom = nullptr;
std::size_t resumer_bytes = 0;

std::size_t page_bytes() {
  static auto const bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

void leave([[maybe_unused]] void** fake_stack, [[maybe_unused]] void const* bottom, [[maybe_unused]] std::size_t bytes) {
#if defined(SIMT_ASAN)
  __sanitizer_start_switch_fiber(fake_stack, bottom, bytes);
#endif
}

void arrive([[maybe_unused]] void* fake_stack, [[maybe_unused]] void const** bottom, [[maybe_unused]] std::size_t* bytes) {
#if defined(SIMT_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
#endif
}

// Every launch takes as many stacks as a block has threads: they are kept.
std::vector<char*>& spare_stacks() {
  static std::vector<char*> stacks;
  return stacks;
}

}  // namespace

fiber::fiber() {
  if (!spare_stacks().empty()) {
    memory_ = spare_stacks().back();
    spare_stacks().pop_back();
    return;
  }
  void* const memory =
      mmap(nullptr, page_bytes() + stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, page_bytes(), PROT_NONE) != 0) { throw std::bad_alloc(); }
  memory_ = static_cast<char*>(memory);
}

fiber::~fiber() { spare_stacks().push_back(memory_); }

void fiber::start(void (*body)(void*), void* argument) {
  body_ = body;
  argument_ = argument;
  done_ = false;
  fake_stack_ = nullptr;
#if defined(SIMT_ASAN)
  __asan_unpoison_memory_region(memory_ + page_bytes(), stack_bytes);  // frames that were left for good
#endif
  auto** top = reinterpret_cast<void**>(memory_ + page_bytes() + stack_bytes);
  *--top = nullptr;  // the return address of begin, which does not return; it also aligns the stack as at a call
  *--top = reinterpret_cast<void*>(&fiber::begin);
  for (int saved = 0; saved < 6; ++saved) { *--top = nullptr; }
  at_ = top;
}

void fiber::resume() {
  running = this;
  void* fake_stack = nullptr;
  leave(&fake_stack, memory_ + page_bytes(), stack_bytes);
  loopserve_switch_stacks(&resumer, at_);
  arrive(fake_stack, nullptr, nullptr);
  running = nullptr;
}

void fiber::suspend() {
  fiber& self = *running;
  leave(&self.fake_stack_, resumer_bottom, resumer_bytes);
  loopserve_switch_stacks(&self.at_, resumer);
  arrive(self.fake_stack_, &resumer_bottom, &resumer_bytes);
}

void fiber::begin() {
  arrive(nullptr, &resumer_bottom, &resumer_bytes);
  running->body_(running->argument_);
  running->done_ = true;
  suspend();
  __builtin_unreachable();
}

}  // namespace loopserve::simt
