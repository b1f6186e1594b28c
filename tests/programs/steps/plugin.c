// SPDX-License-Identifier: Apache-2.0
// A library to be loaded and unloaded. PLUGIN tells one from another.
#include <stdlib.h>

__attribute__((noinline)) long PluginInner(long n) { return n * PLUGIN + labs(n); }

__attribute__((visibility("default"))) long PluginWork(long n) {
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
