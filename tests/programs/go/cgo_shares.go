// SPDX-License-Identifier: Apache-2.0

// As shares.go, with C below Go: half of the CPU in a C function that Go calls, a quarter in a Go
// function that is called back by C, a quarter in Go alone.
//
//	usage: cgo_shares SECONDS
package main

/*
#include <stdint.h>
#include <time.h>

extern void goCalledBack(int64_t nanoseconds);

static int64_t thread_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t process_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static volatile uint64_t sink;

__attribute__((noinline)) static int64_t c_hash(int64_t nanoseconds) {
  const int64_t begin = thread_time();
  int64_t now = begin;
  while (now - begin < nanoseconds) {
    uint64_t hash = 1;
    for (uint64_t i = 0; i < 5000; ++i) hash = (hash ^ i) * 1099511628211u;
    sink = hash;
    now = thread_time();
  }
  return now - begin;
}

__attribute__((noinline)) static int64_t c_call_back(int64_t nanoseconds) {
  const int64_t begin = thread_time();
  goCalledBack(nanoseconds);
  return thread_time() - begin;
}
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

var sink int

//go:noinline
func spin(nanoseconds int64) int64 {
	begin := int64(C.thread_time())
	now := begin
	for now-begin < nanoseconds {
		for i := 0; i < 50000; i++ {
			sink += i ^ sink<<1
		}
		now = int64(C.thread_time())
	}
	return now - begin
}

//export goCalledBack
func goCalledBack(nanoseconds C.int64_t) { spin(int64(nanoseconds)) }

//go:noinline
func alone(nanoseconds int64) int64 { return spin(nanoseconds) }

func main() {
	seconds, err := strconv.ParseFloat(os.Args[1], 64)
	if err != nil {
		panic(err)
	}
	runtime.LockOSThread() // the clock is the thread's
	fmt.Println("ready")
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	spent := map[string]int64{}
	for time.Now().Before(until) {
		spent["c_hash"] += int64(C.c_hash(3_500_000))
		spent["c_call_back"] += int64(C.c_call_back(1_750_000))
		spent["main.alone"] += alone(1_750_000)
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{"functions": spent, "process": int64(C.process_time())})
}
