// What measure.hpp is to the other programs: timing and the command line.
package main

import (
	"fmt"
	"os"
	"sort"

	"../clock"
)

// Nanoseconds per operation of body(n), which does n of them: the median of up to 63 stretches that
// together use the budget.
func nsPerOperation(body func(n uint64)) float64 {
	const stretchesMax = 63
	budget := clock.BudgetNs()
	elapsed := func(n uint64) float64 {
		start := clock.CPUNs()
		body(n)
		return clock.CPUNs() - start
	}
	body(2)
	n := uint64(1)
	for elapsed(n) < budget/(2*stretchesMax) {
		n *= 2
	}
	var stretches []float64
	for spent := 0.0; len(stretches) < stretchesMax && spent < budget; {
		stretches = append(stretches, elapsed(n))
		spent += stretches[len(stretches)-1]
	}
	sort.Float64s(stretches)
	return stretches[len(stretches)/2] / float64(n)
}

type benchCase struct {
	name string
	run  func() float64 // per operation; one call per process
}

// What main returns to the system.
func runCases(cases []benchCase, arguments []string) int {
	wanted := "--list"
	if len(arguments) > 1 {
		wanted = arguments[1]
	}
	for _, c := range cases {
		if wanted == "--list" {
			fmt.Println(c.name)
		} else if wanted == c.name {
			fmt.Printf("%s %.3f\n", c.name, c.run())
			return 0
		}
	}
	if wanted == "--list" {
		return 0
	}
	fmt.Fprintln(os.Stderr, "no such case:", wanted)
	return 1
}
