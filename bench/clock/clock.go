// Package clock tells what time the programs in Go have used, and what they may.
package clock

import (
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// CPUNs is the processor time of the process: a goroutine may change its thread.
func CPUNs() float64 {
	const clockProcessCPUTime = 2
	var t syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockProcessCPUTime,
		uintptr(unsafe.Pointer(&t)), 0)
	return float64(t.Nano())
}

// BudgetNs is the time to measure for.
func BudgetNs() float64 {
	ms, err := strconv.ParseFloat(os.Getenv("BENCH_MS"), 64)
	if err != nil {
		ms = 300
	}
	return ms * float64(time.Millisecond)
}
