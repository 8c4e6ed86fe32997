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
		Use:     "man",
		Short:   "Write the manual pages",
		Example: "  jingle-relay man --dir /usr/local/share/man/man8",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			date := time.Unix(0, 0) // the pages are the same whenever they are made
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if err := doc.GenManTree(root, &doc.GenManHeader{Title: "JINGLE-RELAY", Section: "8", Source: "Jingled " + version, Manual: "Jingled", Date: &date}, dir); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "manual pages are in", dir)
			return err
		},
	}
	c.Flags().StringVar(&dir, "dir", ".", "`FOLDER` to write them to")
	return c
}
