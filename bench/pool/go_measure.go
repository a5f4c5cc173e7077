// What stretch.hpp and cases.hpp are to the other programs: threads, timing and the command line.
package main

import (
	"fmt"
	"log"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"../clock"
)

// Per message, in nanoseconds: time, and processor time of the whole process.
type cost struct{ wall, cpu float64 }

// The messages that goroutines of one kind have to put or take.
type portions struct{ claimed, messages uint64 }

// Calls body(first, end) for each portion that this goroutine gets.
func (p *portions) each(body func(first, end uint64)) {
	const size = 256
	for {
		end := atomic.AddUint64(&p.claimed, size)
		first := end - size
		if first >= p.messages {
			return
		}
		if end > p.messages {
			end = p.messages
		}
		body(first, end)
	}
}

// Runs the goroutines of one stretch, and demands that all messages have arrived whole.
func runStretch(s shape, messages uint64, produce func(*portions),
	consume func(*portions) uint64) cost {
	toPut, toTake := portions{0, messages}, portions{0, messages}
	var sum uint64
	var all sync.WaitGroup
	begin := make(chan struct{})
	start := func(count int, work func()) {
		all.Add(count)
		for ; count > 0; count-- {
			go func() {
				<-begin
				work()
				all.Done()
			}()
		}
	}
	start(s.producers, func() { produce(&toPut) })
	start(s.consumers, func() { atomic.AddUint64(&sum, consume(&toTake)) })
	wall, cpu := time.Now(), clock.CPUNs()
	close(begin)
	all.Wait()
	result := cost{float64(time.Since(wall)), clock.CPUNs() - cpu}
	if sum != messages*(messages-1) {
		log.Fatal("a message was lost, doubled or torn")
	}
	return result
}

func median(values []float64) float64 {
	sort.Float64s(values)
	return values[len(values)/2]
}

func medianCost(stretch func(messages uint64) cost) cost {
	budget := clock.BudgetNs()
	messages := uint64(1024)
	for stretch(messages).wall < budget/16 {
		messages *= 2
	}
	var wall, cpu []float64
	for spent := 0.0; spent < budget; spent += wall[len(wall)-1] {
		c := stretch(messages)
		wall = append(wall, c.wall)
		cpu = append(cpu, c.cpu)
	}
	return cost{median(wall) / float64(messages), median(cpu) / float64(messages)}
}

type benchCase struct {
	name string
	run  func() cost
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
			result := c.run()
			fmt.Printf("%s %.3f cpu %.3f\n", c.name, result.wall, result.cpu)
			return 0
		}
	}
	if wanted == "--list" {
		return 0
	}
	fmt.Fprintln(os.Stderr, "no such case:", wanted)
	return 1
}
