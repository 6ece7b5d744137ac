// Strata is a property-listing service whose cache layers can be seen. This is its command line; see `strata --help`.
package main

import (
	"cmp"
	"context"
	"encoding/json"
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

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"example.com/strata/app/postgres"
	"example.com/strata/app/telemetry"
)

// version, revision and built are set by the linker: -ldflags "-X main.version=1.2.3 -X main.revision=...". Without a revision it is what
// the go command noted. A release is built when its source was committed, or no two builds of it would be the same.
var (
	version  = "development"
	revision = ""
	built    = ""
)

// The exit codes.
const (
	exitFailed = 1 // the command could not do its work, or the service is not ready
	exitUsage  = 2 // the command line or the environment is wrong
)

const about = `A property-listing service whose cache layers can be seen.

Every flag can be given by the environment variable beside it, too; the flag wins.
Traces are configured by the standard OTEL_* variables.
Exit codes: 0 done, 1 failed or not ready, 2 wrong flags or configuration.`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	cobra.EnableCommandSorting = false
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns its exit code. What goes wrong is one line on errOut.
func execute(ctx context.Context, args []string, out, errOut io.Writer) int {
	root := commandLine()
	root.SetArgs(append([]string{}, args...)) // of nil, Cobra makes the arguments of the process
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(errOut, "strata:", strings.Join(strings.Fields(telemetry.HidePasswords(err.Error())), " "))
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// commandLine is all of it. Cobra's setters of templates stay unused: one call of theirs links text/template, and that costs the linker
// its knowledge of which methods are never called, and the binary 11 MB.
func commandLine() *cobra.Command {
	root := &cobra.Command{
		Use: "strata <command>", Long: about,
		SilenceErrors: true, SilenceUsage: true, // execute prints what goes wrong, in one line
		SuggestionsMinimumDistance: 2,
		Args:                       cobra.ArbitraryArgs, // they come here only if they name no command
		RunE:                       unknownCommand,
		PersistentPreRunE:          func(cmd *cobra.Command, _ []string) error { return readEnvironment(cmd.Flags()) },
	}
	root.PersistentFlags().BoolP("help", "h", false, "Print this.")
	root.CompletionOptions.DisableDefaultCmd = true // ours has the same scripts, and fails like the other commands
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(printHelp)
	root.AddCommand(serveCommand(), migrateCommand(), seedCommand(), healthCommand(), configCommand(), tokenCommand(), versionCommand(), completionCommand())
	root.SetHelpCommand(helpCommand(root))
	return root
}

// usageError is an error of the caller's: a flag or a variable is wrong.
type usageError struct{ error }

// misuse is a usageError of somebody who may want to read the help.
func misuse(format string, args ...any) error {
	return usageError{fmt.Errorf(format+" (strata --help tells more)", args...)}
}

// unknownCommand repeats only what is almost a command's name. Anything else could be a secret that lost its flag.
func unknownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return misuse("no command: expected one of %s", strings.Join(commandNames(root), ", "))
	}
	if near := root.SuggestionsFor(args[0]); args[0] != "" && len(near) > 0 {
		return misuse("unknown command %q, did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return misuse("unknown command: expected one of %s", strings.Join(commandNames(root), ", "))
}

func commandNames(root *cobra.Command) (names []string) {
	for _, command := range root.Commands() {
		if command.IsAvailableCommand() {
			names = append(names, command.Name())
		}
	}
	return names
}

// takes refuses more or fewer arguments than have names. What is too much is not repeated: it could be a secret that lost its flag.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return misuse("%s: expected <%s>", cmd.Name(), names[len(args)])
		case len(args) > len(names):
			return misuse("%s: unexpected argument, number %d", cmd.Name(), len(names)+1)
		}
		return nil
	}
}

// printHelp says what a command does and which flags it has, as wide as the terminal. Cobra's own does not wrap.
func printHelp(cmd *cobra.Command, _ []string) {
	out := cmd.OutOrStdout()
	_, _ = fmt.Fprintf(out, "Usage: %s\n\n%s\n", cmd.UseLine(), cmp.Or(cmd.Long, cmd.Short))
	if cmd.HasAvailableSubCommands() {
		_, _ = fmt.Fprint(out, "\nCommands:\n")
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			_, _ = fmt.Fprintf(out, "  %-10s %s\n", c.Name(), c.Short)
		}
	}
	_, _ = fmt.Fprintf(out, "\nFlags:\n%s", cmd.Flags().FlagUsagesWrapped(width(out)))
}

func width(out io.Writer) int {
	if f, ok := out.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil {
			return columns
		}
	}
	return 80
}

func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help <command>", Short: "Print what a command does, and its flags.",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return commandNames(root), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			command, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(root, rest)
			}
			_ = command.LocalFlags() // adds those of all commands
			return command.Help()
		},
	}
}

func serveCommand() *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{Use: "serve", Short: "Serve the API until SIGINT or SIGTERM.", Args: takes()}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := cfg.Validate(); err != nil {
			return usageError{err}
		}
		cfg.Version, cfg.Revision = version, revision
		return run(cmd.Context(), cfg, cmd.OutOrStdout())
	}
	cfg.flags(flagsOf(cmd))
	completeFlags(cmd)
	return cmd
}

// configCommand prints the configuration, also if it is wrong, and then what is wrong.
func configCommand() *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{Use: "config", Short: "Print the configuration that serve would run with, without secrets.", Args: takes()}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := cfg.Print(cmd.OutOrStdout()); err != nil {
			return err
		}
		if err := cfg.Validate(); err != nil {
			return usageError{err}
		}
		return nil
	}
	cfg.flags(flagsOf(cmd))
	completeFlags(cmd)
	return cmd
}

// owner is what the commands are told that work as the database's owner.
type owner struct {
	url URL
	log LogConfig
}

func (o *owner) flags(f flagSet) {
	f.add("database-owner-url", "DATABASE_OWNER_URL", &o.url, "PostgreSQL as the role that owns the schema.")
	o.log.flags(f)
}

func (o *owner) check() error {
	if err := checkPostgres("--database-owner-url (DATABASE_OWNER_URL)", o.url); err != nil {
		return usageError{err}
	}
	return nil
}

func migrateCommand() *cobra.Command {
	var as owner
	cmd := &cobra.Command{Use: "migrate", Short: "Bring the database's schema up to date.", Args: takes()}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := as.check(); err != nil {
			return err
		}
		log, err := telemetry.NewLogger(telemetry.Config{LogLevel: as.log.Level, LogFormat: as.log.Format}, cmd.OutOrStdout())
		if err != nil {
			return usageError{err}
		}
		return postgres.Migrate(cmd.Context(), string(as.url), log)
	}
	as.flags(flagsOf(cmd))
	completeFlags(cmd)
	return cmd
}

func seedCommand() *cobra.Command {
	var (
		as       owner
		listings int
		seed     uint64
		ifEmpty  bool
	)
	cmd := &cobra.Command{Use: "seed", Short: "Fill the database with made-up listings.", Args: takes()}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := as.check(); err != nil {
			return err
		}
		if err := checkPositive("--listings", listings); err != nil {
			return usageError{err}
		}
		err := postgres.Seed(cmd.Context(), string(as.url), postgres.SeedConfig{
			Listings: listings, Seed: seed, Progress: progress(cmd.ErrOrStderr()),
		})
		if ifEmpty && errors.Is(err, postgres.ErrNotEmpty) {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "the database already holds listings; nothing to do")
		}
		return err
	}
	f := flagsOf(cmd)
	as.flags(f)
	f.add("listings", "", whole(&listings, 100_000), "How many listings.")
	f.add("seed", "", natural(&seed, 1), "The same seed makes the same listings.")
	f.add("if-empty", "", yesNo(&ifEmpty), "Leave a database that holds listings as it is, and succeed.")
	completeFlags(cmd)
	return cmd
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

// healthCommand succeeds if the service at the admin address is ready, and says what it answered.
func healthCommand() *cobra.Command {
	var (
		admin   AdminConfig
		timeout time.Duration
	)
	cmd := &cobra.Command{Use: "health", Short: "Ask a running service whether it is ready.", Args: takes()}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := firstError(checkAddr("--admin-addr (ADMIN_ADDR)", admin.Addr), checkPositive("--timeout", timeout)); err != nil {
			return usageError{err}
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		answer, err := askReadiness(ctx, admin.Addr)
		if err != nil {
			return err
		}
		_, err = cmd.OutOrStdout().Write(answer)
		return err
	}
	f := flagsOf(cmd)
	admin.flags(f)
	f.add("timeout", "", duration(&timeout, 2*time.Second), "How long to wait for the answer.")
	completeFlags(cmd)
	return cmd
}

// askReadiness returns what a ready service answers. That it is not ready is an error with its reasons.
func askReadiness(ctx context.Context, admin string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(admin)+"/readyz", nil)
	if err != nil {
		return nil, usageError{err}
	}
	client := http.Client{Transport: new(http.Transport)} // asks the service itself, whatever HTTP_PROXY says
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the admin port: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return nil, fmt.Errorf("asking the admin port: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%d: %s", answer.StatusCode, body)
	}
	return body, nil
}

// reachable turns an address to listen on into one to connect to: a service on all addresses is on the loopback one too.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return addr
}

func versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version", Short: "Print the version.", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := builtFrom{version, cmp.Or(revision, telemetry.Revision()), built, runtime.Version(), runtime.GOOS, runtime.GOARCH}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "strata %s (revision %s, %s, %s/%s)\n", v.Version, v.Revision, v.Go, v.OS, v.Arch)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "Print it as JSON, with the time that the release was built.")
	return c
}

// builtFrom is what a binary says of itself. Built is empty for one that is no release.
type builtFrom struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Built    string `json:"built"` // RFC 3339
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "completion <shell>", Short: "Print a script that lets a shell complete commands and flags.",
		Long: `Print a script that lets a shell complete commands and flags.

bash, with the package bash-completion:  source <(strata completion bash)
zsh, after compinit:                     source <(strata completion zsh)
fish:                                    strata completion fish | source
PowerShell:                              strata completion powershell | Out-String | Invoke-Expression`,
		Args: takes("shell"), ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(out)
			case "fish":
				return cmd.Root().GenFishCompletion(out, true)
			case "powershell":
				return cmd.Root().GenPowerShellCompletionWithDesc(out)
			}
			return misuse("completion: <shell> must be one of %s", strings.Join(cmd.ValidArgs, ", "))
		},
	}
}
