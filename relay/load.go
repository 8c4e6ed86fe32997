package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// DefaultConfigFile is where the configuration is looked for.
const DefaultConfigFile = "/etc/jingle-relay/jingle-relay.toml"

// DefaultSocket is the admin socket's place.
const DefaultSocket = "/run/jingle-relay/admin.sock"

// ErrConfig is wrapped by everything that is said about a configuration.
var ErrConfig = errors.New("configuration")

// Load reads and checks a configuration file.
func Load(file string) (Config, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("%w: there is no file %s; write one, or try the relay with --dev", ErrConfig, file)
	}
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c, err := Parse(b)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// Parse reads and checks a configuration. Keys that are not known are errors.
func Parse(b []byte) (Config, error) {
	var c Config
	dec := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, explain(err))
	}
	return c, c.Validate()
}

// explain turns go-toml's errors into sentences with a line.
func explain(err error) error {
	if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
		var lines []string
		for i := range strict.Errors {
			e := &strict.Errors[i]
			row, _ := e.Position()
			lines = append(lines, fmt.Sprintf("line %d: there is no setting %q", row, strings.Join(e.Key(), ".")))
		}
		return errors.New(strings.Join(lines, "; "))
	}
	if dec, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, col := dec.Position()
		what := strings.TrimPrefix(dec.Error(), "toml: ")
		if m := wrongType.FindStringSubmatch(what); m != nil {
			what = fmt.Sprintf("must be of the type %s, and is of the type %s", typeNames.Replace(m[2]), m[1])
		}
		if k := strings.Join(dec.Key(), "."); k != "" {
			what = k + ": " + what
		}
		return fmt.Errorf("line %d, column %d: %s", row, col, what)
	}
	return err
}

// wrongType is what the decoder says of a value of another type, in words of Go.
var (
	wrongType = regexp.MustCompile(`^cannot decode TOML (\w+) into struct field \S+ of type (\S+)$`)
	typeNames = strings.NewReplacer("[]", "array of ", "uint64", "integer", "uint16", "integer", "int64", "integer", "int", "integer", "bool", "boolean")
)

// secretLines reads secrets from a file, one a line; empty lines and comments are skipped.
func secretLines(file string) ([]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out, nil
}

// oneSecret returns text, or the first secret in file.
func oneSecret(key, text, file string) (string, error) {
	switch {
	case file == "":
		return text, nil
	case text != "":
		return "", fmt.Errorf("%s and %s_file are both given", key, key)
	}
	lines, err := secretLines(file)
	if err != nil {
		return "", fmt.Errorf("%s_file: %w", key, err)
	}
	if len(lines) == 0 {
		return "", fmt.Errorf("%s_file: %s is empty", key, file)
	}
	return lines[0], nil
}
