package main

import (
	"fmt"
	"time"
)

// spent is what a piece of work took.
type spent struct{ elapsed, cpu time.Duration }

func (s spent) String() string {
	return fmt.Sprintf("%.2f s (CPU %.2f s)", s.elapsed.Seconds(), s.cpu.Seconds())
}

// medians are those of the times and of the processor times.
func medians(all []spent) (elapsed, cpu time.Duration) {
	var times, cpus []time.Duration
	for _, s := range all {
		times, cpus = append(times, s.elapsed), append(cpus, s.cpu)
	}
	return median(times), median(cpus)
}

// perUnit is the processor time in microseconds for one of n.
func perUnit(cpu time.Duration, n int) float64 { return float64(cpu.Nanoseconds()) / 1000 / float64(n) }

// meter measures the processor time of a process from its start on.
type meter struct {
	pid   int
	began time.Time
	cpu   time.Duration
}

func startMeter(pid int) (*meter, error) {
	cpu, err := cpuOf(pid)
	if err != nil {
		return nil, err
	}
	return &meter{pid, time.Now(), cpu}, nil
}

func (m *meter) stop() (spent, error) {
	elapsed := time.Since(m.began)
	cpu, err := cpuOf(m.pid)
	if err != nil {
		return spent{}, err
	}
	return spent{elapsed, cpu - m.cpu}, nil
}
