package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"example.com/strata/app/cache"
)

// flagSet is the flags of a command, in the order in which they are shown.
type flagSet struct{ *pflag.FlagSet }

func flagsOf(cmd *cobra.Command) flagSet {
	cmd.Flags().SortFlags = false
	return flagSet{cmd.Flags()}
}

// variableKey is where a flag notes the environment variable that gives it, too.
const variableKey = "strata_variable"

// add makes a flag, whose value already holds the default. Without a variable only the command line gives it.
func (f flagSet) add(name, variable string, value pflag.Value, help string) {
	if variable != "" {
		help += " ($" + variable + ")"
	}
	flag := f.VarPF(value, name, "", help)
	if variable != "" {
		flag.Annotations = map[string][]string{variableKey: {variable}}
	}
	if value.Type() == "bool" {
		flag.NoOptDefVal = "true"
	}
}

func variableOf(flag *pflag.Flag) string {
	return strings.Join(flag.Annotations[variableKey], "")
}

// readEnvironment sets the flags that the command line has left out and whose variables exist. An empty variable is a value as any other.
func readEnvironment(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(flag *pflag.Flag) {
		text, given := os.LookupEnv(variableOf(flag))
		if err != nil || flag.Changed || !given {
			return
		}
		if bad := flag.Value.Set(text); bad != nil {
			err = misuse("%s: %w", called(flag), bad)
		}
	})
	return err
}

// called is a flag's name and its variable's: whoever is told so may have written either.
func called(flag *pflag.Flag) string {
	if variable := variableOf(flag); variable != "" {
		return fmt.Sprintf("--%s (%s)", flag.Name, variable)
	}
	return "--" + flag.Name
}

// flagError says what is wrong with a command line without repeating more of it than the name of a flag: pflag's own words quote
// values, and in -api-tokens=... and ---api-tokens=... what it takes for flags are values, too.
func flagError(_ *cobra.Command, err error) error {
	var (
		invalid *pflag.InvalidValueError
		missing *pflag.ValueRequiredError
		unknown *pflag.NotExistError
	)
	switch {
	case errors.As(err, &invalid):
		return misuse("%s: %w", called(invalid.GetFlag()), errors.Unwrap(invalid))
	case errors.As(err, &missing):
		return misuse("%s: has no value", called(missing.GetFlag()))
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return misuse("unknown flag: -%.1s; names have two dashes", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return misuse("unknown flag: --%s", startOfName(unknown.GetSpecifiedName()))
	}
	return misuse("a flag is not of the form --name=value")
}

// startOfName cuts off what cannot be part of a flag's name, such as the secret in --api-tokens:secret.
func startOfName(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-", r) })
	if end < 0 {
		return text
	}
	return text[:end]
}

// value is what a flag sets, of any type whose text can be printed. Its errors do not repeat what was given, which may be a secret
// that came to the wrong flag.
type value[T any] struct {
	to    *T
	kind  string // in the help, in the place of the value
	want  string // what it must be
	parse func(string) (T, error)
}

func (v value[T]) String() string { return fmt.Sprint(*v.to) }

func (v value[T]) Type() string { return v.kind }

func (v value[T]) Set(text string) error {
	parsed, err := v.parse(text)
	if err != nil {
		return errors.New("must be " + v.want)
	}
	*v.to = parsed
	return nil
}

func text(to *string, fallback, kind string) pflag.Value {
	*to = fallback
	return value[string]{to, kind, "text", func(text string) (string, error) { return text, nil }}
}

func whole[N int | int64](to *N, fallback N) pflag.Value {
	*to = fallback
	return value[N]{to, "int", "a whole number", func(text string) (N, error) {
		n, err := strconv.ParseInt(text, 0, strconv.IntSize)
		return N(n), err
	}}
}

func natural(to *uint64, fallback uint64) pflag.Value {
	*to = fallback
	return value[uint64]{to, "int", "a whole number and not below 0", func(text string) (uint64, error) { return strconv.ParseUint(text, 0, 64) }}
}

func decimal(to *float64, fallback float64) pflag.Value {
	*to = fallback
	return value[float64]{to, "number", "a number", func(text string) (float64, error) { return strconv.ParseFloat(text, 64) }}
}

func duration(to *time.Duration, fallback time.Duration) pflag.Value {
	*to = fallback
	return value[time.Duration]{to, "duration", "a duration such as 500ms, 10s or 5m", time.ParseDuration}
}

func yesNo(to *bool) pflag.Value {
	return value[bool]{to, "bool", "true, 1, yes, false, 0 or no", func(text string) (bool, error) {
		switch strings.ToLower(text) {
		case "true", "1", "yes":
			return true, nil
		case "false", "0", "no":
			return false, nil
		}
		return false, strconv.ErrSyntax
	}}
}

// kept is a list of the places where entries are kept, which sets those where none are.
type kept struct{ without *cache.Places }

func allBut(without *cache.Places) pflag.Value { return kept{without} }

func (k kept) String() string { return (cache.AllPlaces &^ *k.without).String() }

func (k kept) Type() string { return "list" }

func (k kept) Set(text string) error {
	in, err := cache.ParsePlaces(text)
	if err != nil {
		return err
	}
	*k.without = cache.AllPlaces &^ in
	return nil
}

// choice is one of a few words, which shells complete.
type choice struct {
	to *string
	of []string
}

func oneOf(to *string, fallback string, of ...string) pflag.Value {
	*to = fallback
	return choice{to, of}
}

func (c choice) String() string { return *c.to }

func (c choice) Type() string { return strings.Join(c.of, "|") }

func (c choice) Set(text string) error {
	if !slices.Contains(c.of, text) {
		return errors.New("must be one of " + strings.Join(c.of, ", "))
	}
	*c.to = text
	return nil
}

// completeFlags tells shells which words each of the command's flags can be given. The rest are no names of files.
func completeFlags(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		words, _ := flag.Value.(choice)
		complete := cobra.FixedCompletions(words.of, cobra.ShellCompDirectiveNoFileComp)
		_ = cmd.RegisterFlagCompletionFunc(flag.Name, complete) // fails only for a flag that is not there, or has one already
	})
}
