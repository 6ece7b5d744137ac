package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// The major versions of Postgres that Strata is made for.
const oldestPostgres, newestPostgres = 15, 18

// installation is one found Postgres.
type installation struct {
	bin     string // directory of its programs
	version string // such as 15.18
	major   int
}

// servers are the programs found on this machine.
type servers struct {
	postgres []installation // newest first
	redis    string         // path of redis-server or valkey-server; empty if there is none
}

// usualPlaces returns the directories in which packagers put servers without having them on everybody's PATH.
func usualPlaces() []string {
	var places []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                                   // the RPMs of postgresql.org
		"/usr/libexec/postgresql*",                           // Alpine
		"/usr/lib/postgresql*/bin",                           // openSUSE
		"/usr/local/pgsql/bin",                               // built from source
		"/opt/homebrew/opt/postgresql@*/bin",                 // Homebrew
		"/usr/local/opt/postgresql@*/bin",                    // Homebrew on Intel
		"/opt/local/lib/postgresql*/bin",                     // MacPorts
		"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
		"/usr/local/bin", "/usr/bin", "/usr/sbin", "/opt/homebrew/bin", "/opt/local/bin",
	} {
		found, _ := filepath.Glob(pattern) // its only error is a bad pattern
		places = append(places, found...)
	}
	return places
}

// find looks for the servers, and has those that are missing installed where that can be done.
func find(ctx context.Context, cfg Config) (servers, error) {
	found := look(ctx, cfg)
	missing := found.missing(cfg)
	if len(missing) > 0 && !cfg.NoInstall {
		if err := install(ctx, cfg.Log, missing); err != nil && !errors.Is(err, errCannotInstall) {
			cfg.Log("The installation did not succeed: " + err.Error())
		}
		found = look(ctx, cfg)
	}
	if err := ctx.Err(); err != nil {
		return servers{}, err
	}
	if len(found.postgres) == 0 {
		return servers{}, fmt.Errorf("no Postgres %d to %d found, neither on PATH nor in the usual directories: install one with its contributed modules (Debian and Ubuntu: apt install postgresql; Fedora: dnf install postgresql-server postgresql-contrib; macOS: brew install postgresql@%d)",
			oldestPostgres, newestPostgres, newestPostgres)
	}
	if found.redis == "" && !cfg.NoRedis {
		cfg.Log("No redis-server and no valkey-server found: miniredis, an imitation, stands in for Redis.")
	}
	return found, nil
}

// missing returns the Debian packages of what was not found.
func (f servers) missing(cfg Config) []string {
	var packages []string
	if len(f.postgres) == 0 {
		packages = append(packages, "postgresql")
	}
	if f.redis == "" && !cfg.NoRedis {
		packages = append(packages, "redis-server")
	}
	return packages
}

func look(ctx context.Context, cfg Config) servers {
	places := slices.Concat(cfg.places(), filepath.SplitList(os.Getenv("PATH")))
	var found servers
	for _, dir := range places {
		if found.redis == "" {
			found.redis = cmp.Or(program(dir, "redis-server"), program(dir, "valkey-server"))
		}
		at, ok := postgresIn(ctx, dir)
		same := func(other installation) bool { return other.bin == at.bin }
		if ok && !slices.ContainsFunc(found.postgres, same) {
			found.postgres = append(found.postgres, at)
		}
	}
	slices.SortStableFunc(found.postgres, func(a, b installation) int { return cmp.Compare(b.major, a.major) })
	return found
}

// program returns the path of an executable file in dir, or nothing.
func program(dir, name string) string {
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil || info.IsDir() || info.Mode().Perm()&0o111 == 0 {
		return ""
	}
	return path
}

// versionText finds "15.18" in "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", and "19beta1" is major 19.
var versionText = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// postgresIn returns the Postgres whose programs are in dir, if it is one of the versions that we want.
func postgresIn(ctx context.Context, dir string) (installation, bool) {
	server := program(dir, "postgres")
	if server == "" || program(dir, "initdb") == "" {
		return installation{}, false
	}
	server, err := filepath.EvalSymlinks(server) // /usr/bin/postgres may be a link; its initdb is beside it
	if err != nil {
		return installation{}, false
	}
	output, err := exec.CommandContext(ctx, server, "--version").Output()
	if err != nil {
		return installation{}, false
	}
	match := versionText.FindSubmatch(output)
	if match == nil {
		return installation{}, false
	}
	major, err := strconv.Atoi(string(match[2]))
	if err != nil || major < oldestPostgres || major > newestPostgres {
		return installation{}, false
	}
	return installation{bin: filepath.Dir(server), version: string(match[1]), major: major}, true
}
