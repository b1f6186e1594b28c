// SPDX-License-Identifier: Apache-2.0
// Never ends: calls, sorts, allocates, on the main thread.
package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"sort"
)

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func main() {
	runtime.LockOSThread()
	total := 0
	for i := 0; ; i++ {
		total += fib(15)
		values := make([]int, 300)
		for k := range values {
			values[k] = (k*7919 + i) % 1000
		}
		sort.Slice(values, func(a, b int) bool { return values[a] < values[b] })
		text, _ := json.Marshal(map[string]any{"a": values[:20], "b": fmt.Sprint(total)})
		total += len(text)
	}
}
