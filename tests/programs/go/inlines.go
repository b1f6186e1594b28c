// SPDX-License-Identifier: Apache-2.0

// Prints as JSON where its code is, and its own stack at some places by the runtime's own tables:
// for each return address - 1 the function, file and line. Inlined calls have addresses as well.
package main

import (
	"encoding/json"
	"os"
	"reflect"
	"runtime"
)

type frame struct {
	PC   uint64 `json:"pc"`
	Name string `json:"name"`
	File string `json:"file"`
	Line int    `json:"line"`
}

var stacks [][]frame

//go:noinline
func record() {
	pcs := make([]uintptr, 64)
	pcs = pcs[:runtime.Callers(1, pcs)]
	var stack []frame
	frames := runtime.CallersFrames(pcs)
	for _, pc := range pcs {
		f, _ := frames.Next()
		stack = append(stack, frame{uint64(pc - 1), f.Function, f.File, f.Line})
	}
	stacks = append(stacks, stack)
}

func innermost() { record() }
func inner()     { innermost() }
func outer()     { inner(); innermost() }

type shape interface{ area() int }
type square struct{ side int }

func (s square) area() int { return smaller(s.side) * s.side }

func smaller(n int) int {
	if n > 1 {
		inner()
	}
	return n
}

//go:noinline
func measure(s shape) int { return s.area() }

func each[T any](items []T, f func(T)) {
	for _, item := range items {
		f(item)
	}
}

func main() {
	outer()
	measure(square{3})
	measure(&square{4})
	each([]string{"a"}, func(string) { inner() })
	done := make(chan bool)
	go func() { outer(); close(done) }()
	<-done
	func() {
		defer func() { recover(); inner() }()
		var nothing *square
		_ = nothing.area()
	}()
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"version": runtime.Version(),
		"main":    uint64(reflect.ValueOf(main).Pointer()),
		"stacks":  stacks,
	})
}
