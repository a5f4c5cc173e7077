// Peer: Go's channels and select, on one thread at a time. A case ends with the process; goroutines
// that wait then are left where they are.
package main

import (
	"log"
	"os"
	"runtime"
)

// One operation is one way of a ping-pong.
func rendezvous() float64 {
	there, back := make(chan int), make(chan int)
	go func() {
		for {
			<-there
			back <- 1
		}
	}()
	return nsPerOperation(func(n uint64) {
		for ; n > 0; n-- {
			there <- 1
			<-back
		}
	}) / 2
}

// One goroutine sends all the time, and the one that measures receives.
func stream(capacity int) float64 {
	c := make(chan int, capacity)
	go func() {
		for {
			c <- 1
		}
	}()
	return nsPerOperation(func(n uint64) {
		for ; n > 0; n-- {
			<-c
		}
	})
}

// A value is put into one channel, another one each time, and a select finds it.
func selectReady(count uint64, receive selectFunc) float64 {
	c := channels(count, 1)
	return nsPerOperation(func(n uint64) {
		for i := uint64(0); i < n; i++ {
			select {
			case c[i%count] <- 1:
			default:
				log.Fatal("a channel that is empty takes nothing")
			}
			receive(c)
		}
	})
}

// Two goroutines that each wait in a select of their own, in which the other one wakes them.
func selectWoken(count uint64, receive selectFunc) float64 {
	there, back := channels(count, 0), channels(count, 0)
	go func() {
		receive(there)
		for i := uint64(0); ; i++ {
			back[i%count] <- 1
			receive(there)
		}
	}()
	return nsPerOperation(func(n uint64) {
		for i := uint64(0); i < n; i++ {
			there[i%count] <- 1
			receive(back)
		}
	}) / 2
}

func channels(count uint64, capacity int) []chan int {
	made := make([]chan int, count)
	for i := range made {
		made[i] = make(chan int, capacity)
	}
	return made
}

const sieveLast = 3571 // the 500th prime
const sievePrimes = 500

func sieveFilter(in <-chan int32, out chan<- int32, prime int32) {
	for x := range in {
		if x%prime != 0 {
			out <- x
		}
	}
	close(out)
}

func sieveOnce() {
	last := make(chan int32)
	go func(out chan<- int32) {
		for x := int32(2); x <= sieveLast; x++ {
			out <- x
		}
		close(out)
	}(last)
	found := 0
	for prime, more := <-last; more; prime, more = <-last {
		out := make(chan int32)
		go sieveFilter(last, out, prime)
		last = out
		found++
	}
	if found != sievePrimes {
		log.Fatal("the sieve has found something else than primes")
	}
}

// See channels.hpp.
func sieveMessages() int {
	var primes []int
	messages := 0
	for x := 2; x <= sieveLast; x++ {
		at := 0
		for at < len(primes) && x%primes[at] != 0 {
			at++
		}
		if at == len(primes) {
			primes = append(primes, x)
		}
		messages += at + 1
	}
	return messages
}

func sieve() float64 {
	return nsPerOperation(func(n uint64) {
		for ; n > 0; n-- {
			sieveOnce()
		}
	}) / float64(sieveMessages())
}

func main() {
	runtime.GOMAXPROCS(1)
	os.Exit(runCases([]benchCase{
		{"rendezvous", rendezvous},
		{"rendezvous-stream", func() float64 { return stream(0) }},
		{"buffered-128", func() float64 { return stream(128) }},
		{"sieve", sieve},
		{"select-2-ready", func() float64 { return selectReady(2, select2) }},
		{"select-8-ready", func() float64 { return selectReady(8, select8) }},
		{"select-64-ready", func() float64 { return selectReady(64, select64) }},
		{"select-2-woken", func() float64 { return selectWoken(2, select2) }},
		{"select-8-woken", func() float64 { return selectWoken(8, select8) }},
		{"select-64-woken", func() float64 { return selectWoken(64, select64) }},
	}, os.Args))
}
