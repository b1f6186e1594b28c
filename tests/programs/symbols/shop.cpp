// SPDX-License-Identifier: Apache-2.0
// Compiled with several kinds of debug information, never run. The symbolizer's unit tests know the
// line numbers, and that mark_inner lies in inlined calls. clang-format would move them:
// clang-format off
namespace shop {
namespace {

inline __attribute__((always_inline)) int Inner(int x) {
  asm volatile(".globl mark_inner\nmark_inner: nop");
  return x + 1;
}

template <typename T>
inline __attribute__((always_inline)) T Middle(T x) {
  return static_cast<T>(
      Inner(static_cast<int>(x)) * 2);
}

}  // namespace

struct Counter {
  int start;
  int Add(long x) const;
};

__attribute__((noinline)) int Counter::Add(long x) const {
  const long sum =
      Middle(x) + start;
  return static_cast<int>(sum);
}

__attribute__((noinline, used)) static int Plain(int x) {
  asm volatile(".globl mark_plain\nmark_plain: nop");
  return x;
}

}  // namespace shop

extern "C" {

__attribute__((noinline)) int c_function(int x) {
  asm volatile(".globl mark_c\nmark_c: nop");
  return shop::Plain(x);
}

// Found by its size only: what lies behind its end is nobody's.
asm(".text\n"
    ".globl sized\n.type sized, @function\nsized: .byte 0x90, 0x90\n.size sized, 2\n"
    ".globl behind_sized\nbehind_sized: .byte 0x90, 0x90\n.size behind_sized, 2\n"
    ".skip 14, 0x90\n"
    ".type unsized, @function\nunsized: .skip 4, 0x90\n"
    ".globl strong\n.weak _weak\n.type strong, @function\n.type _weak, @function\n"
    ".type local_alias, @function\n"
    "_weak:\nlocal_alias:\nstrong: .byte 0x90\n.size strong, 1\n.size _weak, 1\n.size local_alias, 1\n");

int getpid();

int main(int argc, char**) {
  const shop::Counter counter{argc};
  return counter.Add(argc) + c_function(argc) + getpid();
}
}

// Two inlined calls side by side, in lines of another file than their function.
extern "C" {

int getppid();

__attribute__((always_inline)) static inline void FirstCall() {
  asm volatile(".globl mark_first\nmark_first: nop");
}

__attribute__((always_inline)) static inline void SecondCall() {
  asm volatile(".globl mark_second\nmark_second: nop");
}

__attribute__((noinline, used)) int side_by_side() {
#line 100 "part.inc"
  FirstCall();
  SecondCall();
  return getppid();
}
}
