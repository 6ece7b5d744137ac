package local

import (
	_ "embed" // for guard.sh
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

//go:embed guard.sh
var guardScript string

// The shell and its tools are found whatever our own PATH says.
const (
	shell      = "/bin/sh"
	systemPath = "PATH=/usr/local/bin:/usr/bin:/bin"
)

var errStopped = errors.New("the stack is stopped")

// guard is a small shell process in a session of its own that outlives this process, were it only for a moment. It reads from a
// pipe; the end of file is the news that we are gone, by Stop, by a panic or by SIGKILL, and it cleans up.
//
// The usual alternative, a parent-death signal, is Linux's alone and ends a child with the *thread* that started it, which Go ends when it likes.
type guard struct {
	cmd *exec.Cmd

	mu   sync.Mutex
	pipe *os.File // nil when closed
}

// newGuard starts the guard of a directory, which need not exist yet. Nothing else may ever have that name.
func newGuard(dir string) (*guard, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	cmd := exec.Command(shell, "-c", guardScript, "strata-guard", dir)
	cmd.Dir = "/"
	cmd.Env = []string{systemPath}
	cmd.Stdin = reader
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		writer.Close()
		return nil, err
	}
	return &guard{cmd: cmd, pipe: writer}, nil
}

// close has the guard end everything that is registered, newest first, and remove the directory. It waits for that.
func (g *guard) close() error {
	g.mu.Lock()
	pipe := g.pipe
	g.pipe = nil
	g.mu.Unlock()
	if pipe == nil {
		return nil
	}
	return errors.Join(pipe.Close(), g.cmd.Wait())
}

// launch starts a command that ends with this process: by the signal, and by SIGKILL ten seconds later.
//
// The child registers itself with the guard before it becomes the command, under the same process id. Until then it holds the
// pipe open, so however early we die, the guard reads its line before the end of file.
func (g *guard) launch(cmd *exec.Cmd, signal syscall.Signal) (*Process, error) {
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	pipe := 3 + len(cmd.ExtraFiles)
	register := fmt.Sprintf(`echo "start $$ %d" >&%d && exec "$@" %d>&-`, signal, pipe, pipe)
	cmd.Args = append([]string{shell, "-c", register, shell, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pipe == nil {
		return nil, errStopped
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, g.pipe)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go p.wait(g)
	return p, nil
}

// forget keeps the guard from ending a process that has got the id of one that is over.
func (g *guard) forget(pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pipe != nil {
		fmt.Fprintf(g.pipe, "end %d\n", pid) // without a guard to read it there is nothing to forget either
	}
}
