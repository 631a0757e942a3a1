package spire_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/enforce/spire/spiretest"
)

// What is hard to log reaches the agent as lines that do not harm it, by the way of the real process.
func TestPLUGIN11_HardValues(t *testing.T) {
	h := started(t, spiretest.Options{})
	configure(t, h, "v1")
	if _, err := h.Attest(soon(t), pidLogs); err != nil {
		t.Fatal(err)
	}
	line, err := h.Log.Await(soon(t), func(l spiretest.Line) bool { return strings.HasPrefix(l.Message(), "two\nlines") })
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"level": 1.0, "message": nil, "group.@timestamp": 7.0, "group.nil": nil, "group.object": `{"a":[1]}`, "group.number": 1.5, "group.nan": "NaN",
		"group.error": "an\nerror", "group.!BADKEY": "odd", "@level": "error",
	}
	for key, value := range want {
		if got, ok := line[key]; !ok || got != value {
			t.Errorf("%s is %v, want %v", key, got, value)
		}
	}
	if long := line.Text("group.long"); len(long) < 1000 || len(long) > 8<<10 || !strings.HasSuffix(long, "…") {
		t.Errorf("a text of 100 KiB has %d bytes", len(long))
	}
	works(t, h)
}

// Each kind of value leaves a line of JSON whose three strings are ours.
func TestPLUGIN11_Kinds(t *testing.T) {
	log := spiretest.NewLog()
	logger := spire.NewLog(log)
	for _, value := range []any{
		nil, 1, -1, uint64(1) << 63, 1.5, true, time.Second, time.Unix(0, 0), errors.New("x"), []byte("\xff"), []string{"a"}, map[string]any{}, struct{ A any }{},
		slog.GroupValue(slog.Any("@level", 1), slog.Any("", 2)), func() {}, make(chan int), (*time.Location)(nil), panics{}, log, "", "\u2028", valuer{},
	} {
		for _, key := range []string{"@level", "@message", "@timestamp", "@@level", "", "key", strings.Repeat("k", 1<<20)} {
			logger.Info("message", key, value)
			logger.With(key, value).WithGroup(key).Warn("message", key, value)
		}
	}
	for _, flaw := range log.Flaws() {
		t.Error(flaw)
	}
	for _, line := range log.Lines() {
		if line.Message() != "message" || line.Text("@level") != "info" && line.Text("@level") != "warn" {
			t.Errorf("somebody else's: %v", line)
		}
		if _, err := time.Parse("2006-01-02T15:04:05.000000Z07:00", line.Text("@timestamp")); err != nil {
			t.Error(err)
		}
	}
}

type valuer struct{}

func (valuer) LogValue() slog.Value { panic("no value") }

// Many values together fit the limit as well, and the last one that does not leaves a whole line.
func TestPLUGIN11_ManyValues(t *testing.T) {
	var out bytes.Buffer
	var many []any
	for range 1000 {
		many = append(many, "key", strings.Repeat("\x00", 1<<10))
	}
	logger := spire.NewLog(&out).With(many...).With(many...)
	logger.Info(strings.Repeat("\x00", 100<<10), many...)
	log := spiretest.NewLog()
	_, _ = log.Write(out.Bytes()) // it takes all
	if len(log.Flaws()) > 0 || len(log.Lines()) != 1 || out.Len() > 48<<10 {
		t.Errorf("%d bytes, %d lines: %.300q", out.Len(), len(log.Lines()), log.Flaws())
	}
}

func FuzzLog(f *testing.F) {
	f.Add("@message", "message", "value", 3)
	f.Add("", "\x00\xff", strings.Repeat("<", 1<<10), 100)
	f.Fuzz(func(t *testing.T, key, message, value string, n int) {
		log := spiretest.NewLog()
		logger := spire.NewLog(log)
		var values []any
		for range min(max(n, 0), 10) {
			values = append(values, key, value, key, []string{value})
		}
		logger.With(values...).WithGroup(key).Error(message, values...)
		if len(log.Flaws()) > 0 || len(log.Lines()) != 1 {
			t.Errorf("%d lines: %.300q", len(log.Lines()), log.Flaws())
		}
		if got := log.Lines()[0].Message(); utf8.ValidString(message) && len(message) < 1<<10 && got != message {
			t.Errorf("the message %q became %q", message, got)
		}
	})
}
