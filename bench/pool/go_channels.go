// Peer: Go's channels, with as many goroutines as the others have threads, on all cores that the
// process may use.
package main

import (
	"fmt"
	"log"
	"os"
)

// See element.hpp.
type element interface {
	[1]uint32 | [2]uint32 | [16]uint32 | [64]uint32
}

// See shape.hpp.
type shape struct{ producers, consumers, bytes, capacity int }

func (s shape) slug() string {
	return fmt.Sprintf("%dp%dc-%db-%d", s.producers, s.consumers, s.bytes, s.capacity)
}

func shapes() []shape {
	var all []shape
	for _, t := range [][2]int{{1, 1}, {1, 2}, {2, 1}, {2, 2}, {4, 4}, {5, 5}} {
		for _, capacity := range []int{1, 64, 1000, 65536} {
			all = append(all, shape{t[0], t[1], 8, capacity})
		}
	}
	for _, count := range []int{1, 2} {
		for _, bytes := range []int{4, 64, 256} {
			all = append(all, shape{count, count, bytes, 1000})
		}
	}
	return all
}

func putEach[T element](c chan T, first, end uint64) {
	for ; first != end; first++ {
		var message T
		for i := 0; i < len(message); i++ {
			message[i] = uint32(first)
		}
		c <- message
	}
}

func takeEach[T element](c chan T, count uint64) uint64 {
	sum := uint64(0)
	for ; count > 0; count-- {
		message := <-c
		sum += uint64(message[0]) + uint64(message[len(message)-1])
	}
	return sum
}

// Takes `count`, which must be the numbers from `first` on.
func takeInOrder(c chan [2]uint32, first, count uint64) uint64 {
	sum := uint64(0)
	for end := first + count; first != end; first++ {
		message := <-c
		if message[0] != uint32(first) {
			log.Fatal("number ", message[0], " came in place of ", first)
		}
		sum += uint64(message[0]) + uint64(message[1])
	}
	return sum
}

func measure[T element](s shape) cost {
	c := make(chan T, s.capacity)
	produce := func(numbers *portions) {
		numbers.each(func(first, end uint64) { putEach(c, first, end) })
	}
	consume := func(numbers *portions) uint64 {
		sum := uint64(0)
		numbers.each(func(first, end uint64) { sum += takeEach(c, end-first) })
		return sum
	}
	return medianCost(func(messages uint64) cost {
		return runStretch(s, messages, produce, consume)
	})
}

func measureInOrder() cost {
	c := make(chan [2]uint32, 1000)
	produce := func(numbers *portions) {
		numbers.each(func(first, end uint64) { putEach(c, first, end) })
	}
	consume := func(numbers *portions) uint64 {
		sum := uint64(0)
		numbers.each(func(first, end uint64) { sum += takeInOrder(c, first, end-first) })
		return sum
	}
	return medianCost(func(messages uint64) cost {
		return runStretch(shape{1, 1, 8, 1000}, messages, produce, consume)
	})
}

func measureAny(s shape) cost {
	switch s.bytes {
	case 4:
		return measure[[1]uint32](s)
	case 64:
		return measure[[16]uint32](s)
	case 256:
		return measure[[64]uint32](s)
	}
	return measure[[2]uint32](s)
}

func main() {
	cases := []benchCase{{"bridge-1p1c-busy", measureInOrder}}
	for _, s := range shapes() {
		s := s
		cases = append(cases, benchCase{s.slug(), func() cost { return measureAny(s) }})
	}
	os.Exit(runCases(cases, os.Args))
}
