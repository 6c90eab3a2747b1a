// Package app is the composition root: the commands of the program, and how its parts are put together and taken down.
// It alone sees every package; none of them sees it.
package app
