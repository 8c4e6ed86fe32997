// Package usage says in words what is wrong with the arguments of a command.
package usage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Arguments says what err, cobra's, says of the number of arguments in words that fit the command.
func Arguments(c *cobra.Command, args []string, err error) error {
	usage := strings.TrimSuffix(c.UseLine(), " [flags]")
	switch text := err.Error(); {
	case strings.HasPrefix(text, "unknown command") && len(args) > 0:
		return fmt.Errorf("%q does not take the argument %q", c.CommandPath(), args[0])
	case strings.Contains(text, "arg(s)"):
		if len(args) == 0 {
			return fmt.Errorf("an argument is missing: %s", usage)
		}
		return fmt.Errorf("these are not the arguments of %s", usage)
	}
	return err
}

// UnknownCommand says that a command has no command of this name, and which there are that look like it.
func UnknownCommand(c *cobra.Command, name string) error {
	text := fmt.Sprintf("there is no command %q", c.CommandPath()+" "+name)
	if near := c.SuggestionsFor(name); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(text)
}
