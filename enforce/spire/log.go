package spire

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
)

// Limits of the log. The agent cuts lines of 64 KiB into pieces that it takes for something else.
const (
	maxLine = 48 << 10 // bytes of one line
	maxText = 6 << 10  // bytes of one text in it, before it is escaped
	maxKey  = 128      // bytes of a key
)

// timestamps are as the agent reads them.
const timestamps = "2006-01-02T15:04:05.000000Z07:00"

// NewLog returns a log of one JSON object a line, as the agent reads it from a plugin's stderr. The agent dies of a line whose @level, @message
// or @timestamp is no string: this is the only function that writes there. It has to be made before Serve, which puts another file into the
// place of os.Stderr. Everything from debug on is written: the agent chooses. Environments and credentials are no values for a log.
func NewLog(stderr io.Writer) *slog.Logger {
	return slog.New(&logHandler{lines: &lines{out: stderr}})
}

type logHandler struct {
	lines *lines
	with  []byte // fields of all lines
	group string // before the keys of what follows
}

var _ slog.Handler = (*logHandler)(nil)

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelDebug
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	line := append(make([]byte, 0, 512), '{')
	line = append(line, `"@level":"`+levelName(r.Level)+`","@message":`...)
	line = appendText(line, r.Message)
	at := r.Time
	if at.IsZero() {
		at = time.Now()
	}
	line = append(line, `,"@timestamp":"`+at.Format(timestamps)+`"`...)
	if len(line)+len(h.with) < maxLine {
		line = append(line, h.with...)
	}
	r.Attrs(func(a slog.Attr) bool {
		line = appendAttr(line, h.group, a)
		return true
	})
	h.lines.write(append(line, '}', '\n'))
	return nil
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := append([]byte(nil), h.with...)
	for _, a := range attrs {
		with = appendAttr(with, h.group, a)
	}
	return &logHandler{lines: h.lines, with: with, group: h.group}
}

// WithGroup implements slog.Handler. The keys of groups are flat.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &logHandler{lines: h.lines, with: h.with, group: h.group + name + "."}
}

func levelName(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "error"
	case level >= slog.LevelWarn:
		return "warn"
	case level >= slog.LevelInfo:
		return "info"
	}
	return "debug"
}

// appendAttr adds a field, unless the line has no place left for it.
func appendAttr(line []byte, group string, a slog.Attr) []byte {
	value := resolve(a.Value)
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range value.Group() {
			line = appendAttr(line, group, inner)
		}
		return line
	}
	// What begins with @ is the agent's.
	key := strings.TrimLeft(group+a.Key, "@")
	if key == "" {
		return line
	}
	start := len(line)
	line = append(line, ',')
	line = appendString(line, cut(key, maxKey))
	line = append(line, ':')
	line = appendValue(line, value)
	if len(line) > maxLine-2 { // the end of the line has place
		return line[:start]
	}
	return line
}

// resolve returns the value that a value stands for. One that panics over it must not take the plugin along.
func resolve(v slog.Value) (resolved slog.Value) {
	defer func() {
		if caught := recover(); caught != nil {
			resolved = slog.StringValue("a value that cannot be logged")
		}
	}()
	return v.Resolve()
}

// appendValue adds a number, a bool, null or a string: nothing that has an inside.
func appendValue(line []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindBool, slog.KindInt64, slog.KindUint64:
		return append(line, v.String()...)
	case slog.KindFloat64:
		if f := v.Float64(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return append(line, v.String()...)
		}
		return appendText(line, v.String())
	case slog.KindTime:
		return appendText(line, v.Time().Format(timestamps))
	case slog.KindAny:
		if v.Any() == nil {
			return append(line, "null"...)
		}
		return appendText(line, textOf(v.Any()))
	}
	return appendText(line, v.String())
}

// textOf returns the text of an error, or of something that knows its own, and the JSON of anything else.
func textOf(v any) (text string) {
	defer func() {
		if caught := recover(); caught != nil { // of a method of a nil pointer
			text = fmt.Sprintf("a %T that cannot be logged", v)
		}
	}()
	switch known := v.(type) {
	case error:
		return known.Error()
	case fmt.Stringer:
		return known.String()
	case []byte:
		return string(known)
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(encoded)
}

func appendText(line []byte, text string) []byte { return appendString(line, cut(text, maxText)) }

func appendString(line []byte, text string) []byte {
	encoded, err := json.Marshal(text)
	if err != nil { // no string does that
		return append(line, `""`...)
	}
	return append(line, encoded...)
}

// cut shortens a text to limit bytes and says that it did.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const mark = "…"
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

// libraryLog is the log of go-plugin.
type libraryLog struct {
	hclog.Logger // does nothing
	log          *slog.Logger
}

func newLibraryLog(log *slog.Logger) hclog.Logger {
	return &libraryLog{Logger: hclog.NewNullLogger(), log: log}
}

// Trace implements hclog.Logger. The agent drops its own level of that name.
func (l *libraryLog) Trace(message string, args ...any) { l.log.Debug(message, args...) }

// Debug implements hclog.Logger.
func (l *libraryLog) Debug(message string, args ...any) { l.log.Debug(message, args...) }

// Info implements hclog.Logger.
func (l *libraryLog) Info(message string, args ...any) { l.log.Info(message, args...) }

// Warn implements hclog.Logger.
func (l *libraryLog) Warn(message string, args ...any) { l.log.Warn(message, args...) }

// Error implements hclog.Logger.
func (l *libraryLog) Error(message string, args ...any) { l.log.Error(message, args...) }

// Named implements hclog.Logger.
func (l *libraryLog) Named(string) hclog.Logger { return l }

// With implements hclog.Logger.
func (l *libraryLog) With(...any) hclog.Logger { return l }
