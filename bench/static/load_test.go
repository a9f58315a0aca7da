package staticbench

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// connections is how many there are at a time.
const connections = 16

// load sends requests round robin for a while and returns how many were answered. It shares
// the machine with what it measures, so it does as little as it can: requests are ready
// bytes, and answers are read over.
func load(t *testing.T, addr, encoding string, requests [][]byte, lasting time.Duration) int64 {
	t.Helper()
	var next, answered atomic.Int64
	end := time.Now().Add(lasting)
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			if err := drive(addr, encoding, requests, &next, &answered, end); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return answered.Load()
}

func drive(addr, encoding string, requests [][]byte, next, answered *atomic.Int64, end time.Time) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	for first := true; first || time.Now().Before(end); first = false {
		req := requests[int(next.Add(1))%len(requests)]
		if _, err := conn.Write(req); err != nil {
			return err
		}
		if err := readAnswer(in, encoding); err != nil {
			return fmt.Errorf("%s: %w", bytes.SplitN(req, []byte("\r\n"), 2)[0], err)
		}
		answered.Add(1)
	}
	return nil
}

// readAnswer reads over an answer, which must be whole and in the encoding that was asked
// for, unless it is small.
func readAnswer(in *bufio.Reader, encoding string) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return fmt.Errorf("answer %q", line)
	}
	length, got := -1, "identity"
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Content-Length":
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		case "Content-Encoding":
			got = string(value)
		}
	}
	if length < 0 {
		return fmt.Errorf("an answer without a length")
	}
	if got != encoding && length > 1023 {
		return fmt.Errorf("%d bytes in %s, asked for was %s", length, got, encoding)
	}
	_, err = in.Discard(length)
	return err
}
