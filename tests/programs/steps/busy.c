// SPDX-License-Identifier: Apache-2.0
// Never ends: calls that go deep into a C library.
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int Compare(const void* a, const void* b) { return *(const int*)a - *(const int*)b; }

static long Deep(int n) {
  if (n == 0) {
    int values[200];
    for (int i = 0; i < 200; ++i) values[i] = rand() & 0xffff;
    qsort(values, 200, sizeof(int), Compare);
    return values[7];
  }
  return Deep(n - 1) + n;
}

int main(void) {
  regex_t expression;
  if (regcomp(&expression, "(a|b)+c[0-9]*", REG_EXTENDED) != 0) return 1;
  volatile long sum = 0;
  for (int i = 0;; ++i) {
    char text[200];
    snprintf(text, sizeof(text), "%.10g abababc%d %s", i * 0.37, i, "text");
    regmatch_t match[3];
    sum += regexec(&expression, text, 3, match, 0);
    sum += (long)strtod(text, NULL);
    sum += Deep(i % 30);
    time_t now = i;
    struct tm broken;
    sum += (long)strftime(text, sizeof(text), "%F %T", gmtime_r(&now, &broken));
    char* copies[20];
    for (int k = 0; k < 20; ++k) copies[k] = strdup(text);
    for (int k = 0; k < 20; ++k) free(copies[k]);
  }
}
