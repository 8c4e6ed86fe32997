// Package configfile reads the daemon's TOML configuration.
package configfile

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/xmpp"
)

// maxFile bounds the files that are read.
const maxFile = 1 << 20

// file is the configuration as it stands in TOML. Unknown keys are errors: most are misspelt.
type file struct {
	Downloads     string         `toml:"downloads"`
	State         string         `toml:"state"`
	MaxFileSize   int64          `toml:"max_file_size"`
	RingTimeout   duration       `toml:"ring_timeout"`
	ReachTimeout  duration       `toml:"reach_timeout"`
	RelayOnly     bool           `toml:"relay_only"`
	Encryption    string         `toml:"call_encryption"`
	InBandDTMF    bool           `toml:"dtmf_in_band"`
	Upload        bool           `toml:"upload"`
	Encrypt       bool           `toml:"require_encryption"`
	PortMapping   bool           `toml:"port_mapping"`
	UploadLimit   int64          `toml:"upload_limit"`
	DownloadLimit int64          `toml:"download_limit"`
	FetchNetworks []netip.Prefix `toml:"fetch_networks"`
	Accept        []fileAccept   `toml:"accept"`
	OnFile        fileHook       `toml:"on_file"`
	Loopback      bool           `toml:"loopback"`
	Accounts      []fileAccount  `toml:"account"`
}

type fileAccount struct {
	JID          string     `toml:"jid"`
	PasswordFile string     `toml:"password_file"`
	Resource     string     `toml:"resource"`
	Connect      string     `toml:"connect"`
	Proxy        string     `toml:"proxy"`
	Bind2        bool       `toml:"bind2"`
	Priority     int8       `toml:"priority"`
	TLS          string     `toml:"tls"`
	CA           string     `toml:"ca"`
	Pin          string     `toml:"pin"`
	Calls        filePolicy `toml:"calls"`
	Files        filePolicy `toml:"files"`
	Transfers    string     `toml:"transfers"`
	Share        fileShare  `toml:"share"`
	Bytestreams  fileStream `toml:"bytestreams"`
}

type fileStream struct {
	Listen    string       `toml:"listen"`
	Advertise []netip.Addr `toml:"advertise"`
}

type fileShare struct {
	Dir  string   `toml:"dir"`
	From string   `toml:"from"`
	List []string `toml:"list"`
}

type filePolicy struct {
	From string   `toml:"from"`
	List []string `toml:"list"`
}

// duration reads "90s" and the like. It is no plain number, as that could be set without a unit.
type duration struct{ time.Duration }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err == nil && v <= 0 {
		err = errors.New("a duration must be positive")
	}
	d.Duration = v
	return err
}

// Load reads a configuration. Relative paths in it are relative to its folder. Its errors name the line.
func Load(path string) (daemon.Config, error) {
	b, err := read(path)
	if err != nil {
		return daemon.Config{}, err
	}
	cfg, err := Parse(b, filepath.Dir(path))
	if err != nil {
		return cfg, fmt.Errorf("%s: %w", path, err)
	}
	return cfg, nil
}

// Parse is [Load] for a text; dir is what relative paths are relative to.
func Parse(text []byte, dir string) (daemon.Config, error) {
	var f file
	d := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return daemon.Config{}, explain(err)
	}
	at := func(p string) string {
		if p == "" || p == "-" || filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(dir, p)
	}
	cfg := daemon.Config{Downloads: at(f.Downloads), MaxFileSize: f.MaxFileSize, Loopback: f.Loopback, RelayOnly: f.RelayOnly, InBandDTMF: f.InBandDTMF, Upload: f.Upload,
		StateDir: at(f.State), RingTimeout: f.RingTimeout.Duration, ReachTimeout: f.ReachTimeout.Duration}
	var err error
	if cfg.CallEncryption, err = media.ParseEncryption(f.Encryption); err != nil {
		return cfg, fmt.Errorf("call_encryption: %w", err)
	}
	for setting, n := range map[string]int64{"max_file_size": f.MaxFileSize, "upload_limit": f.UploadLimit, "download_limit": f.DownloadLimit} {
		if n < 0 {
			return cfg, fmt.Errorf("%s is negative", setting)
		}
	}
	if cfg.Downloads, err = absolute(cfg.Downloads); err != nil {
		return cfg, err
	}
	if err := f.files(&cfg, at); err != nil {
		return cfg, err
	}
	for _, a := range f.Accounts {
		acc, err := account(a, at)
		if err != nil {
			return cfg, fmt.Errorf("account %q: %w", a.JID, err)
		}
		cfg.Accounts = append(cfg.Accounts, acc)
	}
	return cfg, nil
}

func account(a fileAccount, at func(string) string) (daemon.Account, error) {
	out := daemon.Account{Resource: a.Resource, Connect: a.Connect, Proxy: a.Proxy, Bind2: a.Bind2, Priority: a.Priority, TLS: xmpp.TLSMode(a.TLS), PinnedSHA256: a.Pin,
		Bytestreams: daemon.Bytestreams(a.Bytestreams), Transfers: daemon.TransferPolicy(a.Transfers)}
	j, err := jid.Parse(a.JID)
	if err != nil {
		return out, err
	}
	out.JID = j.Bare()
	if out.Resource == "" {
		out.Resource = j.Resource()
	}
	if a.PasswordFile != "" { // else it is where [daemon.Config].Secrets has it
		if out.Password, err = PasswordFile(at(a.PasswordFile)); err != nil {
			return out, err
		}
	}
	if a.CA != "" {
		if out.RootCAs, err = CertPool(at(a.CA)); err != nil {
			return out, fmt.Errorf("ca: %w", err)
		}
	}
	if out.Calls, err = policy(a.Calls); err != nil {
		return out, fmt.Errorf("calls: %w", err)
	}
	if out.Files, err = policy(a.Files); err != nil {
		return out, fmt.Errorf("files: %w", err)
	}
	if out.Share.Policy, err = policy(filePolicy{a.Share.From, a.Share.List}); err != nil {
		return out, fmt.Errorf("share: %w", err)
	}
	if a.Share.Dir != "" {
		if out.Share.Dir, err = filepath.Abs(at(a.Share.Dir)); err != nil {
			return out, fmt.Errorf("share: %w", err)
		}
	}
	return out, nil
}

func policy(p filePolicy) (daemon.Policy, error) {
	out := daemon.Policy{From: daemon.Audience(p.From)}
	for _, s := range p.List {
		j, err := jid.Parse(s)
		if err != nil {
			return out, err
		}
		out.List = append(out.List, j)
	}
	return out, nil
}

func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}

// explain puts the line and the key of a TOML error into one sentence.
func explain(err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		e := strict.Errors[0]
		line, _ := e.Position()
		return fmt.Errorf("line %d: there is no setting %q", line, strings.Join(e.Key(), "."))
	}
	if decode, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ := decode.Position()
		what := strings.TrimPrefix(decode.Error(), "toml: ")
		if m := wrongType.FindStringSubmatch(what); m != nil {
			what = fmt.Sprintf("%s must be of the type %s, and is of the type %s", strings.Join(decode.Key(), "."), typeNames.Replace(m[2]), m[1])
		}
		return fmt.Errorf("line %d: %s", line, what)
	}
	return err
}

// wrongType is what the decoder says of a value of another type, in words of Go.
var (
	wrongType = regexp.MustCompile(`^cannot decode TOML (\w+) into struct field \S+ of type (\S+)$`)
	typeNames = strings.NewReplacer("[]", "array of ", "uint64", "integer", "int64", "integer", "int8", "integer", "bool", "boolean")
)

// PasswordFile returns a function that reads a password from a file's first line; "-" is standard input, which is read
// at once. See [Exposed].
func PasswordFile(path string) (func() (string, error), error) {
	switch path {
	case "":
		return nil, errors.New("no password: name a file that holds it")
	case "-":
		b, err := io.ReadAll(io.LimitReader(os.Stdin, maxFile))
		if err != nil {
			return nil, err
		}
		return func() (string, error) { return firstLine(b) }, nil
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("password file: %w", err)
	}
	return func() (string, error) {
		b, err := read(path)
		if err != nil {
			return "", err
		}
		return firstLine(b)
	}, nil
}

func firstLine(b []byte) (string, error) {
	line, _, _ := strings.Cut(string(b), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", errors.New("the password is empty")
	}
	return line, nil
}

// CertPool returns the system's certificates and those of a PEM file.
func CertPool(path string) (*x509.CertPool, error) {
	b, err := read(path)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", path)
	}
	return pool, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return b, err
}
