package devtools

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// info is the answer of GET /info. Its names are those of upstream's runtime.
type info struct {
	OperatingSystem     string       `json:"operatingSystem"`
	ResourceUtilization string       `json:"resourceUtilization"`
	NodeJSVersion       string       `json:"nodeJsVersion"` // of Go
	BackstageVersion    string       `json:"backstageVersion"`
	Dependencies        []dependency `json:"dependencies"` // Go modules
}

type dependency struct {
	Name     string `json:"name"`
	Versions string `json:"versions"`
}

func (a *api) info(context.Context) any {
	return info{operatingSystem(), resourceUtilization(), runtime.Version(), backstageVersion("backstage.json"), dependencies()}
}

// operatingSystem is such as "vm: Linux 6.1 - linux/x64".
func operatingSystem() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	system := strings.TrimSpace(osName() + " " + firstLine("/proc/sys/kernel/osrelease"))
	return fmt.Sprintf("%s: %s - %s/%s", host, system, runtime.GOOS, architecture())
}

// osName is what the system calls itself.
func osName() string {
	switch runtime.GOOS {
	case "linux":
		return "Linux"
	case "darwin":
		return "Darwin"
	case "windows":
		return "Windows_NT"
	}
	return runtime.GOOS
}

// architecture is what upstream's runtime calls it.
func architecture() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x64"
	case "386":
		return "ia32"
	}
	return runtime.GOARCH
}

// resourceUtilization is such as "Memory: 2276/24105MB - Load: 8.82/8.50/6.20": what the
// machine has, where it says so, and else what this process has taken of it.
func resourceUtilization() string {
	memory := ""
	if total, available, ok := machineMemory("/proc/meminfo"); ok {
		memory = fmt.Sprintf("%d/%dMB", (total-available)>>10, total>>10)
	} else {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		memory = fmt.Sprintf("%dMB of this process", m.Sys>>20)
	}
	load := strings.Fields(firstLine("/proc/loadavg"))
	if len(load) < 3 {
		return "Memory: " + memory
	}
	return "Memory: " + memory + " - Load: " + strings.Join(load[:3], "/")
}

// machineMemory reads KiB from Linux.
func machineMemory(file string) (total, available int64, ok bool) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0, false
	}
	defer f.Close()
	found := 0
	for s := bufio.NewScanner(f); s.Scan() && found < 2; {
		name, rest, _ := strings.Cut(s.Text(), ":")
		value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil:
		case name == "MemTotal":
			total, found = n, found+1
		case name == "MemAvailable":
			available, found = n, found+1
		}
	}
	return total, available, found == 2
}

func firstLine(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	s := bufio.NewScanner(io.LimitReader(f, 1<<10))
	s.Scan()
	return s.Text()
}

// backstageVersion is the release of Backstage that the portal's frontend is of, from the
// file backstage.json in the working directory.
func backstageVersion(file string) string {
	const none = "N/A"
	f, err := os.Open(file)
	if err != nil {
		return none
	}
	defer f.Close()
	var doc struct {
		Version string `json:"version"`
	}
	if json.NewDecoder(io.LimitReader(f, 1<<20)).Decode(&doc) != nil || doc.Version == "" {
		return none
	}
	return doc.Version
}

// dependencies are the Go modules of this program.
func dependencies() []dependency {
	out := []dependency{}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	for _, m := range append([]*debug.Module{&build.Main}, build.Deps...) {
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Path != "" {
			out = append(out, dependency{m.Path, m.Version})
		}
	}
	slices.SortFunc(out, func(a, b dependency) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
