// Command gen writes the tables of XMPP extensions into docs/xeps.md and README.md. `make docs` runs it.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/jingled/jingled/internal/xeps"
)

func main() {
	// go generate runs it in the directory of package xeps.
	if err := run(filepath.Join("..", "..")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(root string) error {
	all, err := xeps.All()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, "docs"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "docs", "xeps.md"), []byte(xeps.Document(all)), 0o644); err != nil {
		return err
	}
	readme := filepath.Join(root, "README.md")
	old, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	fresh, err := xeps.Readme(string(old), all)
	if err != nil {
		return err
	}
	return os.WriteFile(readme, []byte(fresh), 0o644)
}
