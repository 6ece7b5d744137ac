package local

import (
	"context"
	_ "embed" // for install.sh
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

//go:embed install.sh
var installScript string

// errCannotInstall says that this is no Debian, or that we may not install anything.
var errCannotInstall = errors.New("apt cannot be used here")

// install installs Debian packages, if that needs no question to be answered. It returns errCannotInstall otherwise.
func install(ctx context.Context, log func(string), packages []string) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errCannotInstall
	}
	command := []string{shell, "-c", installScript, "strata-install"}
	if os.Geteuid() != 0 {
		if exec.CommandContext(ctx, "sudo", "-n", "true").Run() != nil {
			return errCannotInstall
		}
		command = append([]string{"sudo", "-n"}, command...)
	}
	log(fmt.Sprintf("Installing %s by apt, which takes a minute. No service of theirs is started.", strings.Join(packages, " and ")))
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], packages...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // the script removes its files, and apt is not to be interrupted
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, lastLine(output))
	}
	return ctx.Err()
}

func lastLine(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return lines[len(lines)-1]
}
