// SPDX-License-Identifier: Apache-2.0
// A library to be loaded and unloaded. PLUGIN tells one from another.
#include <stdint.h>
#include <stdlib.h>

#define VISIBLE __attribute__((visibility("default"), noinline))

__attribute__((noinline)) long PluginInner(long n) { return n * PLUGIN + labs(n); }

VISIBLE long PluginWork(long n) {
#if PLUGIN == 1
  volatile long space[20];
  space[n] = PluginInner(n);
  return space[n] + PluginInner(n + 1);
#else
  long sum = 0;
  for (long i = 0; i < n; ++i) sum += PluginInner(sum + i);
  return sum;
#endif
}

#if PLUGIN == 1
VISIBLE uint64_t PluginBurnA(uint64_t turns) {
  uint64_t value = turns;
  for (uint64_t i = 0; i < turns * 8; ++i) {
    value ^= value >> 5;
    value *= 0xd6e8feb86659fd93;
  }
  return value;
}
#else
VISIBLE uint64_t PluginBurnB(uint64_t turns) {
  volatile uint64_t space[40];
  space[7] = turns;
  uint64_t value = turns;
  for (uint64_t i = 0; i < turns * 12; ++i) {
    value += value << 3;
    value *= 0xa0761d6478bd642f;
  }
  return value + space[7];
}
#endif
