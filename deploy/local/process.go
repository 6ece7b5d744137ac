package local

import (
	"context"
	"os"
	"os/exec"
	"syscall"
)

// Process is a child process that cannot outlive its Stack.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // from cmd.Wait; to be read once done is closed
}

// Launch starts a command that ends with the Stack, before its servers do, or with this process: a service that uses them, say.
// It is sent SIGTERM, and SIGKILL if it is still there ten seconds later. It runs in a session of its own, so a Ctrl-C is not for it.
// The command must not be used otherwise afterwards.
func (s *Stack) Launch(cmd *exec.Cmd) (*Process, error) {
	return s.guard.launch(cmd, syscall.SIGTERM)
}

func (p *Process) wait(g *guard) {
	p.err = p.cmd.Wait()
	g.forget(p.PID())
	close(p.done)
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the process to end. Its error is that of exec.Cmd.Wait.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// State returns how the process ended and what it used. It waits for the end.
func (p *Process) State() *os.ProcessState {
	<-p.done
	return p.cmd.ProcessState
}

// Stop asks the process to end, with SIGTERM, and waits until it has. When ctx ends first, it is killed. Ending is no error, whatever the exit code.
func (p *Process) Stop(ctx context.Context) {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-ctx.Done():
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

// signal sends a signal. The only error there can be is that the process has ended already.
func (p *Process) signal(sig os.Signal) { _ = p.cmd.Process.Signal(sig) }

// end sends a signal and waits for the process to end.
func (p *Process) end(sig os.Signal) {
	p.signal(sig)
	<-p.done
}
