package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// fittingHelp lets help fit the terminal that it is shown on. What is not a terminal gets it as it is.
func fittingHelp(root *cobra.Command) {
	width, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil || width < 20 {
		return
	}
	width = min(width, 120)
	// Cobra's template, with flags that are wrapped.
	cobra.AddTemplateFunc("fit", func(s string) string { return fit(s, width) })
	cobra.AddTemplateFunc("flags", func(c *cobra.Command, inherited bool) string {
		if inherited {
			return c.InheritedFlags().FlagUsagesWrapped(width)
		}
		return c.LocalFlags().FlagUsagesWrapped(width)
	})
	usage := strings.NewReplacer(
		".LocalFlags.FlagUsages | trimTrailingWhitespaces", "flags . false | trimTrailingWhitespaces",
		".InheritedFlags.FlagUsages | trimTrailingWhitespaces", "flags . true | trimTrailingWhitespaces",
	).Replace(root.UsageTemplate())
	root.SetUsageTemplate(usage)
	root.SetHelpTemplate(strings.Replace(root.HelpTemplate(), ". | trimTrailingWhitespaces", ". | fit | trimTrailingWhitespaces", 1))
}

// fit breaks the paragraphs of a text anew. Lines that are indented stay as they are.
func fit(text string, width int) string {
	var out strings.Builder
	at := 0 // columns that are used on the line
	end := func() {
		if at > 0 {
			out.WriteByte('\n')
			at = 0
		}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == ' ' || line[0] == '\t' {
			end()
			out.WriteString(line + "\n")
			continue
		}
		for word := range strings.FieldsSeq(line) {
			n := len([]rune(word))
			if at > 0 && at+1+n > width {
				end()
			}
			if at > 0 {
				out.WriteByte(' ')
				at++
			}
			out.WriteString(word)
			at += n
		}
	}
	end()
	return out.String()
}
