// SPDX-License-Identifier: Apache-2.0
// Ends with 0 when it runs with the rights of root: the set-uid program of setuid_storm.py.
#include <unistd.h>

int main() { return ::geteuid() == 0 ? 0 : 1; }
