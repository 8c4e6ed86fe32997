package main

import (
	"slices"

	"github.com/spf13/cobra"
)

// groups are the commands as the help shows them, by what people want to do.
var groups = []struct {
	id, title string
	commands  []string
}{
	{"calls", "Calls:", []string{"call", "answer", "calls", "hangup", "mute", "unmute", "hold", "unhold", "dtmf", "video", "transfer-call", "follow-transfer", "whip"}},
	{"rooms", "Group calls:", []string{"join", "leave", "invite", "rooms"}},
	{"files", "Files:", []string{"send", "receive", "get", "transfers", "pause", "resume", "cancel"}},
	{"people", "People:", []string{"contacts", "presence", "block", "unblock", "blocked", "trust"}},
	{"daemon", "The daemon:", []string{"status", "account", "phone", "history", "export", "doctor"}},
	{"other", "Others:", []string{"demo", "man", "completion", "help"}},
}

// sortIntoGroups puts the commands of the root into groups.
func sortIntoGroups(root *cobra.Command) {
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range root.Commands() {
			if slices.Contains(g.commands, c.Name()) {
				c.GroupID = g.id
			}
		}
	}
}
