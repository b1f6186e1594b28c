// SPDX-License-Identifier: Apache-2.0
// What compilers, linkers and assemblers make of frames, one function each, for a test that runs it
// an instruction at a time. usage: native_steps [PLUGIN_A PLUGIN_B]. Ends with status 0.
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone, used))

volatile long sink;

KEEP long Leaf(long a) { return a * 3 + sink; }

// More values alive over calls than there are registers that survive them.
KEEP long PushesAll(long n) {
  long a = Leaf(n), b = Leaf(a), c = Leaf(b), d = Leaf(c), e = Leaf(d), f = Leaf(e), g = Leaf(f);
  return a ^ b ^ c ^ d ^ e ^ f ^ g ^ Leaf(a + b + c + d + e + f + g);
}

KEEP long LargeFrame(long n) {
  volatile char buffer[70000];
  buffer[n & 0xffff] = 1;
  return Leaf(buffer[n & 0xffff]);
}

KEEP long Alloca(long n) {
  char* p = alloca((size_t)(n & 15) * 100 + 100);
  memset(p, (int)n, 50);
  return Leaf(p[7]) + Leaf(p[8]);
}

KEEP long Realigned(long n) {
  _Alignas(64) volatile long values[16];
  values[n & 15] = n;
  return Leaf(values[n & 15]);
}

// Realigned, with arguments on the stack and a frame that grows: addressed through a register of
// its own (DRAP).
KEEP long Drap(long a, long b, long c, long d, long e, long f, long g, long h) {
  _Alignas(64) volatile long values[16];
  char* p = alloca((size_t)(g & 7) * 64 + 32);
  memset(p, (int)h, 16);
  values[a & 15] = b + c + d + e + f + g + h;
  return Leaf(values[a & 15] + p[3]) + h;
}

__attribute__((target("avx"))) KEEP long SavesThenCalls(long n, double x) {
  double y = x * 2 + (double)Leaf(n);
  return Leaf((long)y) + (long)(y * x);
}

KEEP long TailTarget(long n) { return Leaf(n) + 1; }
KEEP long TailCall(long n) {
  if (n > 3) sink = Leaf(n);
  return TailTarget(n + 1);
}

__attribute__((cold)) KEEP long Cold(long n) { return Leaf(n) - 1; }
KEEP long HasColdPart(long n) {
  long value = Leaf(n);
  if (__builtin_expect(n < 0, 0)) {
    value += Cold(n);
    sink = value;
    value += Cold(value);
  }
  return value + Leaf(value);
}

KEEP long EarlyReturns(long n) {
  if (n == 0) return Leaf(1);
  long a = Leaf(n);
  if (a == 3) return a;
  long b = Leaf(a) + Leaf(a + n);
  if (b > 1000) return b + a;
  return PushesAll(a + b);
}

KEEP long Recursion(long n) { return n <= 0 ? Leaf(n) : Recursion(n - 1) + n; }

KEEP int Compare(const void* a, const void* b) {
  const long x = *(const long*)a;
  const long y = *(const long*)b;
  return (x > y) - (x < y);
}

KEEP void CallsLibraries(void) {
  // The first call of each goes through the dynamic linker's resolver, the second does not.
  for (int i = 0; i < 2; ++i) {
    sink += getppid();
    sink += strtol("123", NULL, 10);
    long values[9] = {5, 3, 9, 1, 7, 2, 8, 6, 4};
    qsort(values, 9, sizeof(values[0]), Compare);
    char text[64];
    snprintf(text, sizeof(text), "%g %s %ld", 1.5 + i, "text", values[0]);
    sink += (long)strlen(text);
  }
}

KEEP void OnSignal(int number) { sink += Leaf(number); }
KEEP void OnSignalInfo(int number, siginfo_t* info, void* context) {
  (void)context;
  sink += PushesAll(number) + info->si_signo;
}

KEEP void Signals(void) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = OnSignal;
  sigaction(SIGUSR1, &action, NULL);
  raise(SIGUSR1);
  static char stack[65536];
  const stack_t other = {.ss_sp = stack, .ss_size = sizeof(stack)};
  sigaltstack(&other, NULL);
  action.sa_sigaction = OnSignalInfo;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGUSR2, &action, NULL);
  raise(SIGUSR2);
  // A fault at the first instruction of a function, whose caller is no instruction before it.
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGALRM, &action, NULL);
  kill(getpid(), SIGALRM);
}

KEEP void Vdso(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  sink += now.tv_nsec + time(NULL);
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
}

KEEP void Vfork(void) {
  const pid_t child = vfork();
  if (child == 0) _exit(0);
  int status = 0;
  waitpid(child, &status, 0);
}

static jmp_buf place;
KEEP void JumpsBack(long n) {
  if (Leaf(n) != 0) longjmp(place, 1);
}
KEEP void Jumps(void) {
  if (setjmp(place) == 0) JumpsBack(4);
  sink += Leaf(2);
}

KEEP void Plugin(const char* path) {
  void* library = dlopen(path, RTLD_NOW);
  if (library == NULL) return;
  long (*function)(long) = (long (*)(long))dlsym(library, "PluginWork");
  if (function != NULL) sink += function(3);
  dlclose(library);
}

long AsmWithCfi(long (*call)(long));
long AsmBaseRegister(long (*call)(long));
long AsmExpression(long (*call)(long));
long AsmFramePointer(long (*call)(long));
long AsmFramePointerLeave(long (*call)(long));
long AsmNothing(long (*call)(long));

__asm__(
    ".text\n"
    ".globl AsmWithCfi\n.type AsmWithCfi, @function\n"
    "AsmWithCfi:\n"
    ".cfi_startproc\n"
    "push %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset rbx, 0\n"
    "push %r15\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset r15, 0\n"
    "sub $40, %rsp\n.cfi_adjust_cfa_offset 40\n"
    "mov %rdi, %rbx\n"
    "pushfq\n.cfi_adjust_cfa_offset 8\n"
    "popfq\n.cfi_adjust_cfa_offset -8\n"
    "call *%rbx\n"
    "add $40, %rsp\n.cfi_adjust_cfa_offset -40\n"
    "pop %r15\n.cfi_adjust_cfa_offset -8\n.cfi_restore r15\n"
    "pop %rbx\n.cfi_adjust_cfa_offset -8\n.cfi_restore rbx\n"
    "ret\n"
    ".cfi_endproc\n.size AsmWithCfi, .-AsmWithCfi\n"

    // The frame is found by a register that is neither the stack nor the frame pointer.
    ".globl AsmBaseRegister\n.type AsmBaseRegister, @function\n"
    "AsmBaseRegister:\n"
    ".cfi_startproc\n"
    "push %r12\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset r12, 0\n"
    "mov %rsp, %r12\n.cfi_def_cfa_register r12\n"
    "sub $100, %rsp\n"
    "and $-64, %rsp\n"
    "call *%rdi\n"
    "mov %r12, %rsp\n.cfi_def_cfa_register rsp\n"
    "pop %r12\n.cfi_adjust_cfa_offset -8\n.cfi_restore r12\n"
    "ret\n"
    ".cfi_endproc\n.size AsmBaseRegister, .-AsmBaseRegister\n"

    // DW_CFA_def_cfa_expression: DW_OP_breg7 8 (16 after the push), DW_OP_lit8, DW_OP_plus.
    ".globl AsmExpression\n.type AsmExpression, @function\n"
    "AsmExpression:\n"
    ".cfi_startproc\n"
    ".cfi_escape 0x0f, 0x04, 0x77, 0x00, 0x38, 0x22\n"
    "sub $24, %rsp\n"
    ".cfi_escape 0x0f, 0x04, 0x77, 0x18, 0x38, 0x22\n"
    "call *%rdi\n"
    "add $24, %rsp\n"
    ".cfi_escape 0x0f, 0x04, 0x77, 0x00, 0x38, 0x22\n"
    "ret\n"
    ".cfi_endproc\n.size AsmExpression, .-AsmExpression\n"

    ".globl AsmFramePointer\n.type AsmFramePointer, @function\n"
    "AsmFramePointer:\n"
    "push %rbp\n"
    "mov %rsp, %rbp\n"
    "sub $48, %rsp\n"
    "call *%rdi\n"
    "add $48, %rsp\n"
    "pop %rbp\n"
    "ret\n"
    ".size AsmFramePointer, .-AsmFramePointer\n"

    ".globl AsmFramePointerLeave\n.type AsmFramePointerLeave, @function\n"
    "AsmFramePointerLeave:\n"
    "endbr64\n"
    "push %rbp\n"
    "mov %rsp, %rbp\n"
    "push %rbx\n"
    "sub $40, %rsp\n"
    "mov %rdi, %rbx\n"
    "call *%rbx\n"
    "mov -8(%rbp), %rbx\n"
    "leave\n"
    "ret\n"
    ".size AsmFramePointerLeave, .-AsmFramePointerLeave\n"

    // Neither: its instructions tell where its caller is.
    ".globl AsmNothing\n.type AsmNothing, @function\n"
    "AsmNothing:\n"
    "sub $24, %rsp\n"
    "call *%rdi\n"
    "add $24, %rsp\n"
    "ret\n"
    ".size AsmNothing, .-AsmNothing\n");

KEEP long Callback(long n) { return PushesAll(n & 7); }

KEEP void Assembly(void) {
  sink += AsmWithCfi(Callback);
  sink += AsmBaseRegister(Callback);
  sink += AsmExpression(Callback);
  sink += AsmFramePointer(Callback);
  sink += AsmFramePointerLeave(Callback);
  sink += AsmNothing(Callback);
}

KEEP void Compiled(long n) {
  sink += PushesAll(n);
  sink += LargeFrame(n);
  sink += Alloca(n) + Alloca(n + 7);
  sink += Realigned(n);
  sink += Drap(n, 2, 3, 4, 5, 6, 7, 8);
  if (__builtin_cpu_supports("avx")) sink += SavesThenCalls(n, 1.5);
  sink += TailCall(n) + TailCall(n + 9);
  sink += HasColdPart(n) + HasColdPart(-n);
  sink += EarlyReturns(0) + EarlyReturns(1) + EarlyReturns(9) + EarlyReturns(2000);
  sink += Recursion(20);
}

int main(int argc, char** argv) {
  Compiled(2);
  CallsLibraries();
  Signals();
  Vdso();
  Vfork();
  Jumps();
  for (int i = 1; i < argc; ++i) {
    Plugin(argv[i]);
    Plugin(argv[i]);
  }
  Assembly();
  return 0;
}
