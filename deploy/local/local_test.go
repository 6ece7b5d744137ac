package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/shirou/gopsutil/v4/process"
)

// victimDir is set for a run of this test binary that is there to be killed: it starts a Stack in this directory.
const victimDir = "STRATA_LOCAL_VICTIM_DIR"

// shared is for the tests that neither stop anything nor need settings of their own.
var shared *Stack

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(dir)
	}
	var err error
	shared, err = Start(context.Background(), Config{PostgresSettings: map[string]string{"work_mem": "5MB", "cluster_name": oddName}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// oddName must be quoted with care in postgresql.conf.
const oddName = `it's "odd" \o/`

// pids are those of a victim's children.
type pids []int

func victim(dir string) {
	s, err := Start(context.Background(), Config{Dir: dir})
	if err == nil {
		var service *Process
		service, err = s.Launch(exec.Command("sleep", "600"))
		if err == nil {
			children := pids{s.PostgresPID(), s.RedisPID(), service.PID(), s.guard.cmd.Process.Pid}
			if err = json.NewEncoder(os.Stdout).Encode(children); err == nil {
				select {}
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func TestBothRolesFindWhatTheyNeed(t *testing.T) {
	s := shared

	owner := connect(t, s.OwnerURL)
	exec1(t, owner, `CREATE TABLE kept (id int)`)
	exec1(t, owner, `SELECT pg_stat_statements_reset()`)
	exec1(t, owner, `GRANT SELECT ON kept TO `+AppRole)
	for setting, want := range map[string]string{
		"work_mem": "5MB", "cluster_name": oddName, "track_io_timing": "on", "server_encoding": "UTF8", "is_superuser": "off", "TimeZone": "UTC",
	} {
		if got := ask(t, owner, `SELECT current_setting('`+setting+`')`); got != want {
			t.Errorf("%s is %s, want %s", setting, got, want)
		}
	}

	app := connect(t, s.DatabaseURL)
	if got := ask(t, app, `SELECT count(*)::text FROM kept`); got != "0" {
		t.Errorf("the application counts %s rows, want 0", got)
	}
	if _, err := app.Exec(t.Context(), `CREATE TABLE forbidden (id int)`); err == nil {
		t.Error("the application's role could create a table")
	}
	if got := ask(t, owner, `SELECT calls::text FROM pg_stat_statements WHERE query LIKE 'SELECT count(*)::text FROM kept'`); got != "1" {
		t.Errorf("the owner sees %s calls of the application's query, want 1", got)
	}
	if got := ask(t, connect(t, s.SuperuserURL), `SHOW server_version`); !strings.HasPrefix(got, s.PostgresVersion) {
		t.Errorf("PostgresVersion is %s, want that of %s", s.PostgresVersion, got)
	}
}

func TestAnotherDatabaseIsSeparate(t *testing.T) {
	s := shared
	exec1(t, connect(t, s.OwnerURL), `CREATE TABLE mine (id int)`)
	ownerURL, appURL, err := s.CreateDatabase(t.Context(), `second "one"`)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, connect(t, ownerURL), `SELECT coalesce(to_regclass('mine')::text, 'none')`); got != "none" {
		t.Errorf("the new database has the other's table")
	}
	if got := ask(t, connect(t, appURL), `SELECT current_database()`); got != `second "one"` {
		t.Errorf("the application is in database %s", got)
	}
}

func TestNoPasswordNoEntry(t *testing.T) {
	s := shared
	wrong := func(url string) string { return strings.ReplaceAll(url, s.password, "guess") }
	if conn, err := pgx.Connect(t.Context(), wrong(s.SuperuserURL)); err == nil {
		conn.Close(t.Context())
		t.Error("Postgres let a stranger in")
	}
	if err := ping(t, wrong(s.RedisURL)); err == nil {
		t.Error("Redis let a stranger in")
	}
}

func TestRedisComesBackEmptyOnItsPort(t *testing.T) {
	for name, cfg := range map[string]Config{"real": {}, "imitation": withoutRedis(t)} {
		t.Run(name, func(t *testing.T) {
			s := start(t, cfg)
			client := redisClient(t, s.RedisURL)
			if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
				t.Fatal(err)
			}

			s.StopRedis()
			if err := ping(t, s.RedisURL); err == nil {
				t.Error("a stopped Redis answers")
			}
			if got := s.RedisPID(); got != 0 {
				t.Errorf("a stopped Redis has process id %d", got)
			}
			if err := s.StartRedis(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, err := client.DBSize(t.Context()).Result(); err != nil || got != 0 {
				t.Errorf("after a restart Redis holds %d keys (%v), want 0", got, err)
			}
			if err := s.StartRedis(t.Context()); err == nil {
				t.Error("a running Redis was started a second time")
			}
		})
	}
}

func TestCommittedRowsSurviveKillPostgres(t *testing.T) {
	s := start(t, Config{NoRedis: true})
	owner := connect(t, s.OwnerURL)
	exec1(t, owner, `CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id`)

	s.KillPostgres()
	if err := owner.Ping(t.Context()); err == nil {
		t.Error("a killed Postgres answers")
	}
	if got := s.PostgresPID(); got != 0 {
		t.Errorf("a killed Postgres has process id %d", got)
	}
	if err := s.StartPostgres(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, connect(t, s.OwnerURL), `SELECT count(*)::text FROM kept`); got != "1000" {
		t.Errorf("%s rows are left, want 1000", got)
	}
}

func TestNothingIsLeftAfterStop(t *testing.T) {
	s := start(t, Config{})
	service, err := s.Launch(exec.Command("sleep", "600"))
	if err != nil {
		t.Fatal(err)
	}
	children := pids{s.PostgresPID(), s.RedisPID(), service.PID()}
	if err := s.Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	nothingIsLeft(t, s.Dir, children)
	if _, err := s.Launch(exec.Command("sleep", "600")); err == nil {
		t.Error("a stopped stack launched a process")
	}
}

func TestNothingIsLeftAfterItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Start(ctx, Config{Dir: openDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	children := pids{s.PostgresPID(), s.RedisPID()}
	cancel()
	nothingIsLeft(t, s.Dir, children)
}

func TestNothingIsLeftOfAnInterruptedStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg := Config{Dir: openDir(t), freePort: func() (int, error) {
		cancel()
		return freePort()
	}}
	if _, err := Start(ctx, cfg); err == nil {
		t.Fatal("Start succeeded although its context had ended")
	}
	isEmpty(t, cfg.Dir)
}

func TestNothingIsLeftOfAKilledProgram(t *testing.T) {
	dir := openDir(t)
	cmd, output := runVictim(t, dir)
	var children pids
	if err := json.NewDecoder(output).Decode(&children); err != nil {
		t.Fatal(err)
	}
	if got := slices.DeleteFunc(slices.Clone(children), func(pid int) bool { return alive(pid) }); len(got) != 0 {
		t.Fatalf("processes %v are not even running", got)
	}
	kill(t, cmd)
	nothingIsLeft(t, dir, children)
	isEmpty(t, dir)
}

func TestNothingIsLeftOfAProgramKilledWhileItStarts(t *testing.T) {
	for _, moment := range []string{"strata-*", "strata-*/initdb.log", "strata-*/postgres-*/base", "strata-*/postgres-*/postmaster.pid"} {
		t.Run(strings.ReplaceAll(moment, "/", ":"), func(t *testing.T) {
			dir := openDir(t)
			cmd, _ := runVictim(t, dir)
			eventually(t, "the victim gets as far as "+moment, func() bool {
				found, _ := filepath.Glob(filepath.Join(dir, moment))
				return len(found) > 0
			})
			kill(t, cmd)
			eventually(t, "no process works in "+dir, func() bool { return len(workingIn(t, dir)) == 0 })
			isEmpty(t, dir)
		})
	}
}

func TestAPortTakenMeanwhileIsTriedAgain(t *testing.T) {
	taken, err := net.Listen("tcp", address(0))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, cfg := range map[string]Config{"real": {}, "imitation": withoutRedis(t)} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			cfg.freePort = func() (int, error) {
				if calls++; calls%2 == 1 {
					return taken.Addr().(*net.TCPAddr).Port, nil
				}
				return freePort()
			}
			s := start(t, cfg)
			connect(t, s.DatabaseURL)
			if err := ping(t, s.RedisURL); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAMissingPostgresIsOneClearLine(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	cfg := Config{places: only(t.TempDir())}
	_, err := Start(t.Context(), cfg)
	if err == nil {
		t.Fatal("Start found a Postgres where there is none")
	}
	if message := err.Error(); !strings.Contains(message, "apt install postgresql") || strings.Contains(message, "\n") {
		t.Errorf("the error is not one line that says what to install:\n%s", message)
	}
}

func TestTheNewestPostgresThatWorksIsUsed(t *testing.T) {
	broken := t.TempDir()
	script(t, broken, "postgres", `echo "postgres (PostgreSQL) 18.4 (broken)"`)
	script(t, broken, "initdb", "exit 1")
	tooNew := t.TempDir()
	script(t, tooNew, "postgres", `echo "postgres (PostgreSQL) 19beta1"`)
	script(t, tooNew, "initdb", "touch "+tooNew+"/used; exit 1")
	s := start(t, Config{places: only(append([]string{tooNew, broken}, usualPlaces()...)...)})
	if s.PostgresVersion == "18.4" {
		t.Error("a Postgres that does not start was used")
	}
	if _, err := os.Stat(tooNew + "/used"); err == nil {
		t.Error("a Postgres of a version that is too new was tried")
	}
}

func TestAMiniredisStandsInForAMissingRedis(t *testing.T) {
	var lines []string
	cfg := withoutRedis(t)
	cfg.Log = func(line string) { lines = append(lines, line) }
	s := start(t, cfg)
	if !s.MiniRedis || s.RedisVersion != "miniredis" {
		t.Errorf("MiniRedis is %v and the version %s, want true and miniredis", s.MiniRedis, s.RedisVersion)
	}
	if len(lines) != 1 || !strings.Contains(lines[0], "miniredis") {
		t.Errorf("the log does not say that a miniredis stands in: %q", lines)
	}
	client := redisClient(t, s.RedisURL)
	if err := client.Set(t.Context(), "key", "value", 100*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the key expires", func() bool { return errors.Is(client.Get(t.Context(), "key").Err(), redis.Nil) })
}

func TestALaunchedProcessKeepsItsFilesAndItsExitCode(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command(shell, "-c", `echo "$1" >&3; exit 7`, "name", "two words")
	cmd.ExtraFiles = []*os.File{file}
	p, err := shared.Launch(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err == nil || p.State().ExitCode() != 7 {
		t.Errorf("it ended with %v, want exit code 7", err)
	}
	if text, err := os.ReadFile(file.Name()); err != nil || string(text) != "two words\n" {
		t.Errorf("it wrote %q (%v) to its file", text, err)
	}
	if _, err := shared.Launch(exec.Command("no-such-program")); err == nil {
		t.Error("a program that does not exist was launched")
	}
}

func start(t *testing.T, cfg Config) *Stack {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// withoutRedis returns the settings of a machine on which Postgres alone is to be found.
func withoutRedis(t *testing.T) Config {
	t.Helper()
	found := look(t.Context(), Config{places: usualPlaces})
	if len(found.postgres) == 0 {
		t.Fatal("no Postgres found")
	}
	// Its directory can be one where Redis is, too: link the programs to one where it is not.
	dir := t.TempDir()
	for _, name := range []string{"postgres", "initdb"} {
		if err := os.Symlink(filepath.Join(found.postgres[0].bin, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return Config{places: only(dir), NoInstall: true}
}

func only(places ...string) func() []string { return func() []string { return places } }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec1(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	var answer string
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

func ping(t *testing.T, url string) error {
	t.Helper()
	return pingRedis(t.Context(), url)
}

// openDir returns a temporary directory that the servers' user can enter, which those of testing.T are not.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o711), os.Chmod(filepath.Dir(dir), 0o711)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func script(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func runVictim(t *testing.T, dir string) (*exec.Cmd, *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	t.Cleanup(func() { reader.Close() })
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	cmd.Stdout, cmd.Stderr = writer, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, reader
}

// kill kills the victim as a shell or a CI machine would: with its whole process group.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the victim ended well although it was killed")
	}
}

func nothingIsLeft(t *testing.T, dir string, children pids) {
	t.Helper()
	eventually(t, fmt.Sprint("processes ", children, " end"), func() bool { return !slices.ContainsFunc(children, alive) })
	eventually(t, "no process works in "+dir, func() bool { return len(workingIn(t, dir)) == 0 })
	if !strings.HasPrefix(filepath.Base(dir), "strata-") {
		return
	}
	eventually(t, dir+" is removed", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
}

func isEmpty(t *testing.T, dir string) {
	t.Helper()
	eventually(t, dir+" is empty", func() bool {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries) == 0
	})
}

// alive says whether a process exists and is more than a zombie.
func alive(pid int) bool {
	p, err := process.NewProcess(int32(pid))
	if err != nil {
		return false
	}
	status, err := p.Status()
	return err == nil && !slices.Contains(status, process.Zombie)
}

// workingIn returns the command lines of the processes that have to do with a directory.
func workingIn(t *testing.T, dir string) []string {
	t.Helper()
	all, err := process.Processes()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range all {
		line, _ := p.Cmdline() // no error matters here: the process may be over by now
		cwd, _ := p.Cwd()
		if strings.Contains(line, dir) || strings.Contains(cwd, dir) {
			found = append(found, line)
		}
	}
	return found
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		case <-again.C:
		}
	}
}
