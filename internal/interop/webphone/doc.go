// Package webphone has tests only: two people with the phone of package web in two pages of a Chromium, each with a daemon,
// through a Prosody, in a network of their own (see testkit.InNetwork). Playwright drives the pages; what they looked like
// is kept in dist/webphone.
package webphone
