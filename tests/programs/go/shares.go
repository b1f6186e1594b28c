// SPDX-License-Identifier: Apache-2.0

// Burns CPU in functions of its own for a while and says how much went where.
//
//	usage: shares SECONDS [GOROUTINES]
//
// Prints "ready" when it begins, and at the end one line of JSON: CPU nanoseconds of each function
// by the kernel's clock of the thread, and of the whole process.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	processClock = 2 // CLOCK_PROCESS_CPUTIME_ID
	threadClock  = 3 // CLOCK_THREAD_CPUTIME_ID
)

func cpuTime(clock uintptr) int64 {
	var now syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

var sink atomic.Int64 // keeps the compiler from leaving work out

//go:noinline
func tokenize(nanoseconds int64) int64 {
	begin := cpuTime(threadClock)
	now := begin
	for now-begin < nanoseconds {
		words := 0
		for i := 0; i < 20; i++ {
			words += len(strings.Fields("alpha beta gamma delta"))
		}
		sink.Add(int64(words))
		now = cpuTime(threadClock)
	}
	return now - begin
}

// Inlined into checksum, and called by nothing else.
func mix(sum, i int) int { return sum*31 ^ i }

//go:noinline
func checksum(nanoseconds int64) int64 {
	begin := cpuTime(threadClock)
	now := begin
	for now-begin < nanoseconds {
		sum := 0
		for i := 0; i < 5000; i++ {
			sum = mix(sum, i)
		}
		sink.Add(int64(sum))
		now = cpuTime(threadClock)
	}
	return now - begin
}

type renderer struct{ width int }

//go:noinline
func (r *renderer) draw(nanoseconds int64) int64 {
	begin := cpuTime(threadClock)
	now := begin
	for now-begin < nanoseconds {
		digits := 0
		for i := 0; i < 20; i++ {
			digits += len(strconv.FormatInt(now, r.width))
		}
		sink.Add(int64(digits))
		now = cpuTime(threadClock)
	}
	return now - begin
}

func lookup(nanoseconds int64) int64 {
	table := map[string]int{"a": 1, "b": 2}
	probe := func() int64 {
		begin := cpuTime(threadClock)
		now := begin
		for now-begin < nanoseconds {
			sum := 0
			for i := 0; i < 100; i++ {
				sum += table["b"]
			}
			sink.Add(int64(sum))
			now = cpuTime(threadClock)
		}
		return now - begin
	}
	return call(probe)
}

//go:noinline
func call(f func() int64) int64 { return f() }

// A share of each round: the name in the profile, the function.
type part struct {
	name  string
	run   func(int64) int64
	share float64
}

const round = 7_000_000 // ns of CPU; no multiple of any sampling period

var parts = []part{
	{"main.tokenize", tokenize, 0.45},
	{"main.checksum", checksum, 0.25},
	{"main.(*renderer).draw", (&renderer{10}).draw, 0.20},
	{"main.lookup.func1", lookup, 0.10},
}

var (
	spent = map[string]int64{}
	lock  sync.Mutex
)

func work(until time.Time) {
	runtime.LockOSThread() // the clock is the thread's
	own := make([]int64, len(parts))
	for time.Now().Before(until) {
		for i, part := range parts {
			own[i] += part.run(int64(round * part.share))
		}
	}
	lock.Lock()
	defer lock.Unlock()
	for i, part := range parts {
		spent[part.name] += own[i]
	}
}

func main() {
	seconds, err := strconv.ParseFloat(os.Args[1], 64)
	if err != nil {
		panic(err)
	}
	goroutines := 1
	if len(os.Args) > 2 {
		goroutines, _ = strconv.Atoi(os.Args[2])
	}
	fmt.Println("ready")
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var all sync.WaitGroup
	for i := 1; i < goroutines; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			work(until)
		}()
	}
	work(until)
	all.Wait()
	json.NewEncoder(os.Stdout).Encode(map[string]any{"functions": spent, "process": cpuTime(processClock)})
}
