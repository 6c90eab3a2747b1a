package peer

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed node
var nodeFiles embed.FS

// InstallNode lays out the hub on Node's ws in a folder of the user's cache, with the library from npm, and returns the
// program to give to node.
func InstallNode(ctx context.Context) (program string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for node's peer: %w", err)
	}
	dir := filepath.Join(cache, "reactive-gw-bench", "node")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make a folder for node's peer: %w", err)
	}
	for _, name := range []string{"package.json", "server.mjs"} {
		text, err := nodeFiles.ReadFile("node/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o644)
		}
		if err != nil {
			return "", fmt.Errorf("lay out node's peer: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("install ws from npm: %w: %.200s", err, out)
	}
	return filepath.Join(dir, "server.mjs"), nil
}
