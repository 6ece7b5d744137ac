package local

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// server is a program of the Stack that writes a log and is ready when a question of ours is answered.
type server struct {
	name    string
	args    []string
	signal  syscall.Signal // that ends it soon and in order
	answers func(context.Context) error
}

// run starts a server and returns when it answers. It returns errPortTaken if the server could not have its port.
func (s *Stack) run(ctx context.Context, srv server) (*Process, error) {
	logPath := filepath.Join(s.Dir, srv.name+".log")
	process, err := s.spawn(logPath, srv.signal, srv.args)
	if err != nil {
		return nil, err
	}
	if err := ready(ctx, process, srv.answers); err != nil {
		process.end(srv.signal)
		log := tail(logPath)
		if strings.Contains(log, "Address already in use") {
			return nil, errPortTaken
		}
		return nil, fmt.Errorf("%w; its log ends with:\n%s", err, log)
	}
	return process, nil
}

// spawn starts a command as the servers' user, in the private directory, with none of our environment: PGDATA or PGOPTIONS would do harm.
func (s *Stack) spawn(logPath string, signal syscall.Signal, args []string) (*Process, error) {
	log, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = s.Dir
	cmd.Env = []string{systemPath, "HOME=" + s.Dir, "LC_ALL=C", "TZ=UTC"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = s.user.attributes()
	return s.guard.launch(cmd, signal)
}

// ready returns when the server answers, or says why it does not: it has ended, or its time is over.
func ready(ctx context.Context, process *Process, answers func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	go func() { // so that no question hangs on somebody else who has the port
		select {
		case <-process.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			select {
			case <-process.done:
				return fmt.Errorf("it ended at once: %v", process.cmd.ProcessState)
			default:
				return fmt.Errorf("it does not answer: %w (%w)", err, ctx.Err())
			}
		}
	}
}

// tail returns the last lines of a log.
func tail(path string) string {
	const enough = 1500
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > enough {
		file.Seek(-enough, io.SeekEnd) //nolint:errcheck // the worst that can come of it is a longer message
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}
