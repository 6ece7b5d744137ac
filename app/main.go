// Strata is a property-listing service whose cache layers can be seen. This is its command line; see `strata --help`.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"strata/app/postgres"
	"strata/app/telemetry"
)

// version and revision are set by the linker: -ldflags "-X main.version=1.2.3 -X main.revision=...". Without a revision it is what the go command noted.
var (
	version  = "development"
	revision = ""
)

// The exit codes.
const (
	exitFailed = 1 // the command could not do its work, or the service is not ready
	exitUsage  = 2 // the command line or the environment is wrong
)

const about = `A property-listing service whose cache layers can be seen.

Every flag can be given by the environment variable beside it. Traces are configured by the standard OTEL_* variables.
Exit codes: 0 done, 1 failed or not ready, 2 wrong flags or configuration.`

type commandLine struct {
	Serve   serveCommand   `cmd:"" help:"Serve the API until SIGINT or SIGTERM."`
	Migrate migrateCommand `cmd:"" help:"Bring the database's schema up to date."`
	Seed    seedCommand    `cmd:"" help:"Fill the database with made-up listings."`
	Health  healthCommand  `cmd:"" help:"Ask a running service whether it is ready."`
	Config  configCommand  `cmd:"" help:"Print the configuration that serve would run with, without secrets."`
	Token   tokenCommand   `cmd:"" help:"Make a token that allows writes: print it, once, and the line that configures it."`
	Version versionCommand `cmd:"" help:"Print the version."`

	Completion completionCommand `cmd:"" help:"Print a script that lets a shell complete commands and flags."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns its exit code. What goes wrong is one line on errOut.
func execute(ctx context.Context, args []string, out, errOut io.Writer) int {
	fail := func(code int, err error) int {
		line := strings.Join(strings.Fields(telemetry.HidePasswords(err.Error())), " ")
		_, _ = fmt.Fprintln(errOut, "strata:", line)
		return code
	}
	helped := false
	var commands commandLine
	parser, err := kong.New(&commands, kong.Name("strata"), kong.Description(about), kong.Writers(out, errOut),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Exit(func(int) { helped = true }))
	if err != nil {
		return fail(exitUsage, err)
	}
	command, err := parser.Parse(args)
	switch {
	case helped:
		return 0
	case err != nil:
		return fail(exitUsage, fmt.Errorf("%w (strata --help tells more)", err))
	}
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(parser.Model)
	err = command.Run(streams{out, errOut})
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return fail(exitUsage, err)
	case err != nil:
		return fail(exitFailed, err)
	}
	return 0
}

type streams struct{ out, errOut io.Writer }

// usageError is an error of the caller's: a flag or a variable is wrong.
type usageError struct{ error }

type serveCommand struct {
	Config Config `embed:""`
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, std streams) error {
	if err := c.Config.Validate(); err != nil {
		return usageError{err}
	}
	c.Config.Version, c.Config.Revision = version, revision
	return run(ctx, c.Config, std.out)
}

type configCommand struct {
	Config Config `embed:""`
}

// Run prints the configuration, also if it is wrong, and then what is wrong.
func (c *configCommand) Run(std streams) error {
	if err := c.Config.Print(std.out); err != nil {
		return err
	}
	if err := c.Config.Validate(); err != nil {
		return usageError{err}
	}
	return nil
}

// ownerFlags are those of the commands that work as the database's owner.
type ownerFlags struct {
	URL URL       `name:"database-owner-url" env:"DATABASE_OWNER_URL" placeholder:"URL" help:"PostgreSQL as the role that owns the schema."`
	Log LogConfig `embed:""`
}

func (f ownerFlags) check() error {
	if err := checkPostgres("--database-owner-url (DATABASE_OWNER_URL)", f.URL); err != nil {
		return usageError{err}
	}
	return nil
}

type migrateCommand struct {
	ownerFlags `embed:""`
}

// Run brings the schema up to date.
func (c *migrateCommand) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	log, err := telemetry.NewLogger(telemetry.Config{LogLevel: c.Log.Level, LogFormat: c.Log.Format}, std.out)
	if err != nil {
		return usageError{err}
	}
	return postgres.Migrate(ctx, string(c.URL), log)
}

type seedCommand struct {
	ownerFlags `embed:""`
	Listings   int    `name:"listings" default:"100000" help:"How many listings."`
	Seed       uint64 `name:"seed" default:"1" help:"The same seed makes the same listings."`
	IfEmpty    bool   `name:"if-empty" help:"Leave a database that holds listings as it is, and succeed."`
}

// Run fills the database.
func (c *seedCommand) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	if err := checkPositive("--listings", c.Listings); err != nil {
		return usageError{err}
	}
	err := postgres.Seed(ctx, string(c.URL), postgres.SeedConfig{
		Listings: c.Listings, Seed: c.Seed, Progress: progress(std.errOut),
	})
	if c.IfEmpty && errors.Is(err, postgres.ErrNotEmpty) {
		_, err = fmt.Fprintln(std.out, "the database already holds listings; nothing to do")
	}
	return err
}

// progress returns a function that draws a bar where somebody looks at it, and otherwise writes a line for each tenth.
func progress(out io.Writer) func(done, total int) {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		var bar *progressbar.ProgressBar
		return func(done, total int) {
			if bar == nil {
				bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(out), progressbar.OptionSetDescription("seeding listings"),
					progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("listings"),
					progressbar.OptionThrottle(50*time.Millisecond), progressbar.OptionOnCompletion(func() { _, _ = fmt.Fprintln(out) }))
			}
			_ = bar.Set(done) // a bar that cannot be drawn is no reason to stop
		}
	}
	tenth := -1
	return func(done, total int) {
		if now := done * 10 / max(total, 1); now > tenth {
			tenth = now
			_, _ = fmt.Fprintf(out, "seeding listings: %d of %d\n", done, total)
		}
	}
}

type healthCommand struct {
	Admin   AdminConfig   `embed:""`
	Timeout time.Duration `name:"timeout" default:"2s" help:"How long to wait for the answer."`
}

// Run succeeds if the service at the admin address is ready, and says what it answered.
func (c *healthCommand) Run(ctx context.Context, std streams) error {
	if err := firstError(checkAddr("--admin-addr (ADMIN_ADDR)", c.Admin.Addr), checkPositive("--timeout", c.Timeout)); err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(c.Admin.Addr)+"/readyz", nil)
	if err != nil {
		return usageError{err}
	}
	client := http.Client{Transport: new(http.Transport)} // asks the service itself, whatever HTTP_PROXY says
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("asking the admin port: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return fmt.Errorf("asking the admin port: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%d: %s", answer.StatusCode, body)
	}
	_, err = std.out.Write(body)
	return err
}

// reachable turns an address to listen on into one to connect to: a service on all addresses is on the loopback one too.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return addr
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(std streams) error {
	_, err := fmt.Fprintf(std.out, "strata %s (revision %s, %s, %s/%s)\n", version, cmp.Or(revision, telemetry.Revision()), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
