package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "man",
		Short: "Write the manual pages",
		Example: `  jingle man --dir /usr/local/share/man/man1
  jingle man --dir . && man ./jingle-call.1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			// A fixed date: the pages are the same whenever they are made.
			date := time.Unix(0, 0)
			head := &doc.GenManHeader{Title: "JINGLE", Section: "1", Source: "Jingled " + version, Manual: "Jingled", Date: &date}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if err := doc.GenManTree(root, head, dir); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "manual pages are in", dir)
			return err
		},
	}
	c.Flags().StringVar(&dir, "dir", ".", "`FOLDER` to write them to")
	return c
}
