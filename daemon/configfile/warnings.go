package configfile

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/pelletier/go-toml/v2"
)

// Warnings are what is allowed in a configuration that [Load] has taken, but probably not meant.
func Warnings(path string) []string {
	b, err := read(path)
	if err != nil {
		return nil
	}
	var f file
	if err := toml.Unmarshal(b, &f); err != nil {
		return nil
	}
	at := func(p string) string {
		if filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(filepath.Dir(path), p)
	}
	var out []string
	folder := func(setting, dir string) {
		if dir == "" {
			return
		}
		if st, err := os.Stat(at(dir)); err != nil || !st.IsDir() {
			out = append(out, fmt.Sprintf("%s: there is no folder %s: it has to be made before files are there", setting, at(dir)))
		}
	}
	folder("downloads", f.Downloads)
	for _, a := range f.Accept {
		folder("accept.dir", a.Dir)
	}
	for _, a := range f.Accounts {
		folder("account.share.dir", a.Share.Dir)
		if a.PasswordFile != "" && Exposed(at(a.PasswordFile)) {
			out = append(out, fmt.Sprintf("account.password_file: everybody on this machine can read %s: run chmod 600 on it", at(a.PasswordFile)))
		}
	}
	return out
}
