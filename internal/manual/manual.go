// Package manual makes the commands by which the programs write their own manual pages.
package manual

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Command returns the command "man" of a program, which writes a page for the program and each of its commands. section is
// that of the manual: "1" or "8".
func Command(program, section, version, example string) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:     "man",
		Short:   "Write the manual pages",
		Example: example,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			date := time.Unix(0, 0) // the pages are the same whenever they are made
			head := &doc.GenManHeader{Title: strings.ToUpper(program), Section: section, Source: "Jingled " + version, Manual: "Jingled", Date: &date}
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
