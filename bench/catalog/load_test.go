package catalogbench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func stringReader(s string) io.Reader { return strings.NewReader(s) }

// A result is what one scenario did at one concurrency.
type result struct {
	requests int
	took     time.Duration
	p50, p99 time.Duration
	bytes    int64
	cpu      cpu // of all requests
}

func (r result) rate() float64 { return float64(r.requests) / r.took.Seconds() }

// request is what goes over the wire, written once.
func request(host, method, path, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n", method, path, host, token)
	if body != "" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

// load sends requests round robin over some connections for a while. It shares the
// machine with what it measures, so it does as little as it can: requests are ready
// bytes, and answers are read over.
func load(t testing.TB, host string, requests [][]byte, connections int, lasting time.Duration) result {
	t.Helper()
	var next atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	var size int64
	var failed error
	end := time.Now().Add(lasting)
	start := time.Now()
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			took, n, err := drive(host, requests, &next, end)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			size += n
			if err != nil && failed == nil {
				failed = err
			}
		})
	}
	wg.Wait()
	r := result{requests: len(all), took: time.Since(start), bytes: size}
	if failed != nil || len(all) == 0 {
		t.Fatalf("load: %v after %d requests", failed, len(all))
	}
	slices.Sort(all)
	r.p50, r.p99 = all[len(all)/2], all[min(len(all)-1, len(all)*99/100)]
	return r
}

func drive(host string, requests [][]byte, next *atomic.Int64, end time.Time) (took []time.Duration, size int64, err error) {
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	for {
		start := time.Now()
		if start.After(end) && len(took) > 0 {
			return took, size, nil
		}
		req := requests[int(next.Add(1))%len(requests)]
		if _, err := conn.Write(req); err != nil {
			return took, size, err
		}
		n, err := readAnswer(in)
		if err != nil {
			return took, size, fmt.Errorf("%s: %w", bytes.SplitN(req, []byte("\r\n"), 2)[0], err)
		}
		took, size = append(took, time.Since(start)), size+n
	}
}

// readAnswer reads over an answer with status 200 and returns how long its body is.
func readAnswer(in *bufio.Reader) (size int64, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return 0, fmt.Errorf("answer %q", line)
	}
	length, chunked := int64(0), false
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Content-Length":
			length, _ = strconv.ParseInt(string(value), 10, 64)
		case "Transfer-Encoding":
			chunked = true
		}
	}
	if !chunked {
		_, err := in.Discard(int(length))
		return length, err
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return size, err
		}
		n, err := strconv.ParseInt(string(bytes.TrimRight(line, "\r\n")), 16, 64)
		if err != nil {
			return size, err
		}
		if _, err := in.Discard(int(n) + 2); err != nil {
			return size, err
		}
		if size += n; n == 0 {
			return size, nil
		}
	}
}
