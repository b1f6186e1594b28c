/* SPDX-License-Identifier: Apache-2.0 */
/* service.py in C that is C++ as well: burns CPU in tokenize() and checksum(), three to one, until SIGTERM, and then ends
 * with status 7. With "hidden" as its argument it wants not to be looked into. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

static volatile sig_atomic_t stopped;
static volatile unsigned sink;

static void stop(int signal_number) {
  (void)signal_number;
  stopped = 1;
}

static double cpu_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

__attribute__((noinline)) void tokenize(double until) {
  while (cpu_time() < until) {
    for (unsigned i = 0; i < 100000; ++i) sink = sink * 31 + i;
  }
}

__attribute__((noinline)) void checksum(double until) {
  while (cpu_time() < until) {
    for (unsigned i = 0; i < 100000; ++i) sink = (sink ^ i) * 17;
  }
}

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "hidden") == 0) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  signal(SIGTERM, stop);
  puts("ready");
  fflush(stdout);
  while (!stopped) {
    tokenize(cpu_time() + 0.015);
    checksum(cpu_time() + 0.005);
  }
  puts("bye");
  return 7;
}
