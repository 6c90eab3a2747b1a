package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
	"github.com/reactive-gw/reactive-gw/integration/bench/peer"
)

// peerNode is the peer that is no part of this program.
const peerNode = "node"

// peerProcess is a run of a peer.
type peerProcess struct {
	name     string
	cmd      *exec.Cmd
	children *nursery
	clients  netip.AddrPort
}

// startPeer starts a peer and waits until it serves.
func (b *bench) startPeer(ctx context.Context, name string) (*peerProcess, error) {
	program, args := "", []string(nil)
	var err error
	if name == peerNode {
		var script string
		script, err = peer.InstallNode(ctx)
		program, args = "node", []string{"--max-old-space-size=8192", script}
	} else {
		program, err = os.Executable()
		args = []string{peer.Command, name}
	}
	if err != nil {
		return nil, err
	}
	p := &peerProcess{name: name, children: b.children, cmd: exec.Command(program, args...)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("listen to %s: %w", name, err)
	}
	if err := b.children.start(p.cmd); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		p.clients, err = netip.ParseAddrPort(strings.TrimSpace(line))
	}
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("learn the address of %s: %w", name, err)
	}
	return p, nil
}

func (p *peerProcess) kill() { p.children.end(p.cmd) }

func (p *peerProcess) pid() int { return p.cmd.Process.Pid }

// publish returns when the peer has sent all, or has it on its way.
func (p *peerProcess) publish(ctx context.Context, what peer.Publication) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.clients.String()+"/publish?"+what.Query(), nil)
	if err != nil {
		return fmt.Errorf("let %s publish: %w", p.name, err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("let %s publish: %w", p.name, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("let %s publish: %s %w", p.name, text, err)
	}
	return nil
}

// delivered is what the peer's messages are counted as.
func (p *peerProcess) delivered() load.Kind {
	if p.name == peer.Centrifuge {
		return load.Other
	}
	return load.Change
}

// connect connects clients, each subscribed to one topic.
func (p *peerProcess) connect(ctx context.Context, connections, topics int) (*load.Swarm, error) {
	swarm, err := load.NewSwarm()
	if err != nil {
		return nil, err
	}
	dialing := load.Dialing{Server: p.clients, Path: func(conn int) string { return "/ws?topic=" + strconv.Itoa(conn%topics) }}
	begun := load.Subscribed
	if p.name == peer.Centrifuge {
		begun = load.Other
		dialing.Lines = true
		dialing.Hello = func(int) []string { return []string{`{"id":1,"connect":{}}`} }
	}
	watch := swarm.Watch(connections, begun)
	if err = swarm.Dial(ctx, connections, dialing); err == nil {
		err = watch.Wait(ctx, swarm)
	}
	if err != nil {
		swarm.Close()
		return nil, fmt.Errorf("connect to %s: %w", p.name, err)
	}
	return swarm, nil
}
