package k8s

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stand-ins for the programs that buttons call. kubectl writes down what it was told, refuses what the real one refuses, and hands SQL to
// a real Postgres.
const (
	recordingKubectl = `#!/bin/bash
printf '%s\n' "$*" >>"$RECORD"
case " $* " in
*' delete pod pod/'*|*' delete pods pod/'*) echo "error: there is no need to specify a resource type as a separate argument when passing arguments in resource/name form" >&2; exit 1 ;;
*' delete '*pod/*) exit 0 ;;
*' get pods '*--output=name*) printf 'pod/strata-7d-a\npod/strata-7d-b\n' ;;
*' get job '*) printf 1 ;;
*' set env --local '*|*' create --filename=- '*) cat ;;
*' --dry-run=client '*) printf '{"kind": "Job"}' ;;
*' exec postgres-0 -- psql '*) for last; do :; done; exec "$PSQL" --no-psqlrc --set=ON_ERROR_STOP=1 --dbname="$DATABASE" "$last" ;;
*' exec postgres-0 -- sh '*|*' set env '*|*' rollout status deployment/strata '*|*' scale deployment/redis --replicas='[01]' '*|*' create '*|*' wait '*|*' logs '*) ;;
*) echo "kubectl was not expected to be told: $*" >&2; exit 1 ;;
esac
`
	recordingTilt = "#!/bin/sh\nprintf 'tilt %s\\n' \"$*\" >>\"$RECORD\"\n"
	noSleep       = "#!/bin/sh\n"
)

// desk is where buttons are pressed: the Tiltfile's command lines with stand-ins on PATH.
type desk struct {
	buttons map[string]string
	env     []string
	record  string
	psql    func(t *testing.T, sql string) string
}

func newDesk(t *testing.T) desk {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"kubectl": recordingKubectl, "tilt": recordingTilt, "sleep": noSleep} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	client, err := exec.LookPath("psql")
	if err != nil {
		t.Fatal("psql is missing; make test installs it with Postgres")
	}
	database := startDatabase(t)
	d := desk{buttons: make(map[string]string), record: filepath.Join(dir, "record")}
	d.env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "RECORD="+d.record, "PSQL="+client, "DATABASE="+database)
	d.psql = func(t *testing.T, sql string) string {
		t.Helper()
		return strings.TrimSpace(run(t, dir, "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--dbname="+database, "--command="+sql))
	}
	for name, c := range resources(execute(t, "up")) {
		if c.function == "local_resource" && name != "compile" {
			d.buttons[name] = c.text("cmd")
		}
	}
	return d
}

// press runs a button's command line and returns what kubectl and tilt were told.
func (d desk) press(t *testing.T, name string) []string {
	t.Helper()
	if err := os.WriteFile(d.record, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", d.buttons[name])
	cmd.Dir, cmd.Env = "..", d.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
	text, err := os.ReadFile(d.record)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// startDatabase runs `make run`'s program, which makes a private Postgres with the service's schema and listings, and returns its URL.
func startDatabase(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "run")
	run(t, "..", "go", "build", "-buildvcs=false", "-o", program, "./deploy/local/run")
	strata := os.Getenv("STRATA_BIN")
	if strata == "" {
		strata, _ = filepath.Abs("../bin/strata")
	}
	if _, err := os.Stat(strata); err != nil {
		t.Fatalf("no service: %v (make build makes it)", err)
	}
	cmd := exec.Command(program, "-strata", strata, "--listings", "300")
	cmd.Env = append(os.Environ(), "HTTP_ADDR="+freeAddress(t), "ADMIN_ADDR="+freeAddress(t), "LOG_LEVEL=error")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found, said := make(chan string, 1), new(strings.Builder)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Fprintln(said, lines.Text())
			if url := regexp.MustCompile(`^Postgres +(postgres://\S+)`).FindStringSubmatch(lines.Text()); url != nil {
				found <- url[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		_ = cmd.Wait() // it was told to end
	})
	select {
	case url := <-found:
		return url
	case <-read:
		t.Fatalf("the service ended:\n%s", said)
	case <-time.After(2 * time.Minute):
		t.Fatal("the service does not start")
	}
	return ""
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestEveryButtonDoesWhatItSays(t *testing.T) {
	d := newDesk(t)
	const sold = `SELECT count(*) FROM listings WHERE status = 'sold'`
	const here = "--context kind-strata --namespace strata "
	wants := map[string]string{ // the last thing that is told
		"fault-redis-gone":       here + "scale deployment/redis --replicas=1",
		"fault-replica-killed":   here + "delete --grace-period=0 --force pod/strata-7d-a",
		"fault-postgres-restart": here + "exec postgres-0 -- sh -c kill -INT 1",
		"seed-again":             "tilt trigger seed",
	}
	names := make([]string, 0, len(d.buttons))
	for name := range d.buttons {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { // what empties the database comes last
		if (a == "seed-again") != (b == "seed-again") {
			return map[bool]int{true: 1, false: -1}[a == "seed-again"]
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			presses := 1
			if name == "psql-sells-a-flat" {
				presses = 12
			}
			for range presses {
				before := d.psql(t, sold)
				told := d.press(t, name)
				for _, line := range told {
					if !strings.HasPrefix(line, here) && !strings.HasPrefix(line, "tilt ") && !strings.HasPrefix(line, "set env --local ") { // the last asks no cluster
						t.Errorf("goes to whatever cluster kubectl points at: %s", line)
					}
				}
				if want := wants[name]; want != "" && told[len(told)-1] != want {
					t.Errorf("told %q, want at last %q", told, want)
				}
				if after := d.psql(t, sold); name == "psql-sells-a-flat" && after != fmt.Sprint(number(t, before)+1) {
					t.Errorf("%s were sold, and after a press %s", before, after)
				}
			}
		})
	}
	if left := d.psql(t, `SELECT count(*) FROM listings`); left != "0" {
		t.Errorf("seed-again leaves %s listings", left)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
