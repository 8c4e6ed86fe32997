// Package conformance has tests only: it reads every well-formed XML example of the specifications that this project
// implements by the codecs of all its packages, writes it back, and wants to see the same again.
//
// The examples are not part of the project. The test looks for a folder shared/corpus beside the module and is skipped
// where there is none. What stands in its MANIFEST.tsv is a line for each file: path, XEP, set, kind, section, title,
// well-formed, and well-formed with namespaces.
package conformance
