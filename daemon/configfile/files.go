package configfile

import (
	"fmt"

	"github.com/jingled/jingled/daemon"
)

// fileAccept is a rule by which files are taken without asking.
type fileAccept struct {
	From      string   `toml:"from"`
	List      []string `toml:"list"`
	MaxSize   int64    `toml:"max_size"`
	Types     []string `toml:"types"`
	Encrypted bool     `toml:"encrypted"`
	Dir       string   `toml:"dir"`
}

// fileHook is a command for files.
type fileHook struct {
	Command []string `toml:"command"`
	Sent    bool     `toml:"sent"`
	Timeout duration `toml:"timeout"`
}

// files reads what is set about files.
func (f *file) files(cfg *daemon.Config, at func(string) string) error {
	cfg.PortMapping, cfg.FetchNetworks = f.PortMapping, f.FetchNetworks
	cfg.UploadLimit, cfg.DownloadLimit, cfg.RequireEncryption = f.UploadLimit, f.DownloadLimit, f.Encrypt
	cfg.Completed = daemon.Hook{Command: f.OnFile.Command, Sent: f.OnFile.Sent, Timeout: f.OnFile.Timeout.Duration}
	for i, r := range f.Accept {
		p, err := policy(filePolicy{From: r.From, List: r.List})
		if err != nil {
			return fmt.Errorf("accept %d: %w", i+1, err)
		}
		dir, err := absolute(at(r.Dir))
		if err != nil {
			return err
		}
		cfg.Accept = append(cfg.Accept, daemon.AcceptRule{Policy: p, MaxSize: r.MaxSize, Types: r.Types, Encrypted: r.Encrypted, Dir: dir})
	}
	return nil
}
