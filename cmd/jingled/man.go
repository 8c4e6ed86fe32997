package main

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newMan is for those who make packages.
func newMan() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:    "man",
		Short:  "Write the manual page",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			f, err := os.Create(filepath.Join(dir, "jingled.1"))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			date := time.Unix(0, 0) // the page is the same whenever it is made
			root := cmd.Root()
			root.DisableAutoGenTag = true
			return doc.GenMan(root, &doc.GenManHeader{Title: "JINGLED", Section: "1", Source: "Jingled " + version, Manual: "Jingled", Date: &date}, f)
		},
	}
	c.Flags().StringVar(&dir, "dir", ".", "`FOLDER` to write it to")
	return c
}
