//go:build !unix

package app

// raiseDescriptors returns 0: the system has no such limit.
func raiseDescriptors() int { return 0 }
