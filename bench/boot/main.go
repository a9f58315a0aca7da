// Boot measures how a portal starts: from exec to readiness 200, the CPU that takes, and
// the memory it has then.
//
//	go build -o /tmp/portal ./examples/full
//	go run ./bench/boot -n 10 /tmp/portal --config app-config.yaml
//
// The configuration must name a fixed port. Times are for comparing two binaries or two
// databases in one sitting, not for quoting alone.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	runs := flag.Int("n", 10, "how often to start the program")
	base := flag.String("url", "http://127.0.0.1:7007", "where it listens")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: boot [-n RUNS] [-url URL] PROGRAM [ARG...]")
		os.Exit(2)
	}
	var wall, cpu, rss []float64
	for range *runs {
		w, c, m, err := boot(*base, flag.Args())
		if err != nil {
			fmt.Fprintln(os.Stderr, "boot:", err)
			os.Exit(1)
		}
		wall, cpu, rss = append(wall, w), append(cpu, c), append(rss, m)
	}
	fmt.Printf("%d starts          min   median      max\n", *runs)
	row("ready, ms", wall)
	row("CPU, ms", cpu)
	row("RSS, MB", rss)
}

func row(name string, v []float64) {
	slices.Sort(v)
	fmt.Printf("%-14s %8.1f %8.1f %8.1f\n", name, v[0], v[len(v)/2], v[len(v)-1])
}

// boot starts the program once, and stops it when it is ready.
func boot(base string, args []string) (wall, cpu, rss float64, err error) {
	cmd := exec.Command(args[0], args[1:]...)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, 0, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	client := &http.Client{Timeout: time.Second}
	for {
		res, err := client.Get(base + "/.backstage/health/v1/readiness")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Since(start) > time.Minute {
			return 0, 0, 0, errors.New("not ready after a minute")
		}
		time.Sleep(2 * time.Millisecond)
	}
	wall = float64(time.Since(start).Microseconds()) / 1000
	if cpu, err = cpuOf(cmd.Process.Pid); err != nil {
		return 0, 0, 0, err
	}
	rss, err = rssOf(cmd.Process.Pid)
	return wall, cpu, rss, err
}

// cpuOf is user and system time so far, in ms.
func cpuOf(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err == nil {
		if ns, err := strconv.ParseFloat(strings.Fields(string(b))[0], 64); err == nil {
			return threads(pid, ns/1e6), nil
		}
	}
	return 0, err
}

// threads adds the time of the other threads to that of the first one.
func threads(pid int, first float64) float64 {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return first
	}
	total := 0.0
	for _, e := range entries {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, e.Name()))
		if err != nil {
			continue
		}
		if ns, err := strconv.ParseFloat(strings.Fields(string(b))[0], 64); err == nil {
			total += ns / 1e6
		}
	}
	return max(total, first)
}

func rssOf(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(b))[1], 64)
	return pages * float64(os.Getpagesize()) / 1e6, err
}
