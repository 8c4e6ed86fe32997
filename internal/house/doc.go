// Package house holds the tests of the house itself: which room may import which, and the rules of style that a
// linter does not know. It has no code.
package house
