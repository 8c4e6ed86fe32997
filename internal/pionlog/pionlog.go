// Package pionlog lets pion's libraries log to slog.
package pionlog

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// Factory returns a factory for pion that logs to l; nil discards. What pion calls debug is dropped: it has passwords
// of ICE sessions in it. A library cannot know what its messages mean to people, so its warnings are our debugging, and
// its errors our warnings.
func Factory(l *slog.Logger) logging.LoggerFactory { return factory{l} }

type factory struct{ l *slog.Logger }

// NewLogger implements [logging.LoggerFactory].
func (f factory) NewLogger(scope string) logging.LeveledLogger {
	if f.l == nil {
		return logger{slog.New(slog.DiscardHandler)}
	}
	return logger{f.l.With("lib", "pion/"+scope)}
}

type logger struct{ l *slog.Logger }

func (p logger) log(level slog.Level, format string, args ...any) {
	if p.l.Enabled(context.Background(), level) {
		p.l.Log(context.Background(), level, fmt.Sprintf(format, args...))
	}
}

// The methods of [logging.LeveledLogger].

func (p logger) Trace(string)              {}
func (p logger) Tracef(string, ...any)     {}
func (p logger) Debug(string)              {}
func (p logger) Debugf(string, ...any)     {}
func (p logger) Info(m string)             { p.log(slog.LevelDebug, "%s", m) }
func (p logger) Infof(f string, a ...any)  { p.log(slog.LevelDebug, f, a...) }
func (p logger) Warn(m string)             { p.log(slog.LevelDebug, "%s", m) }
func (p logger) Warnf(f string, a ...any)  { p.log(slog.LevelDebug, f, a...) }
func (p logger) Error(m string)            { p.log(slog.LevelWarn, "%s", m) }
func (p logger) Errorf(f string, a ...any) { p.log(slog.LevelWarn, f, a...) }
