// Package faults tests what becomes of calls and files when servers, networks, disks and processes fail. docs/operations.md
// says what users see of it.
package faults
