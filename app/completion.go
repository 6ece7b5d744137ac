package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"${enum}. For bash: source <(strata completion bash)."`
}

// Run prints the script. It holds all words, so that completing asks nobody.
func (c *completionCommand) Run(std streams, model *kong.Application) error {
	var script string
	switch c.Shell {
	case "fish":
		script = fishScript(model)
	case "zsh":
		script = "autoload -U +X bashcompinit && bashcompinit\n" + bashScript(model)
	default:
		script = bashScript(model)
	}
	_, err := fmt.Fprint(std.out, script)
	return err
}

// bashScript completes the command as the first word, and its flags and their values after that.
func bashScript(model *kong.Application) string {
	var cases strings.Builder
	var commands []string
	for _, command := range model.Leaves(true) {
		words := []string{"--help"}
		for _, flag := range command.Flags {
			words = append(words, "--"+flag.Name)
			if values := flag.EnumSlice(); flag.Enum != "" {
				for _, value := range values {
					words = append(words, "--"+flag.Name+"="+value)
				}
			}
		}
		slices.Sort(words)
		commands = append(commands, command.Name)
		fmt.Fprintf(&cases, "\t%s) words='%s' ;;\n", command.Name, strings.Join(append(words, values(command)...), " "))
	}
	return fmt.Sprintf(`_strata() {
	local words='%s --help'
	[ "$COMP_CWORD" -gt 1 ] && case "${COMP_WORDS[1]}" in
%s	*) words='' ;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _strata strata
`, strings.Join(commands, " "), &cases)
}

func fishScript(model *kong.Application) string {
	var b strings.Builder
	for _, command := range model.Leaves(true) {
		fmt.Fprintf(&b, "complete -c strata -f -n __fish_use_subcommand -a %s -d '%s'\n", command.Name, quoted(command.Help))
		for _, flag := range command.Flags {
			fmt.Fprintf(&b, "complete -c strata -n '__fish_seen_subcommand_from %s' -l %s -r -d '%s'", command.Name, flag.Name, quoted(flag.Help))
			if flag.Enum != "" {
				fmt.Fprintf(&b, " -f -a '%s'", strings.Join(flag.EnumSlice(), " "))
			}
			b.WriteByte('\n')
		}
		if words := values(command); len(words) > 0 {
			fmt.Fprintf(&b, "complete -c strata -f -n '__fish_seen_subcommand_from %s' -a '%s'\n", command.Name, strings.Join(words, " "))
		}
	}
	return b.String()
}

// values are what a command's arguments may be, where that is known.
func values(command *kong.Node) (words []string) {
	for _, argument := range command.Positional {
		if argument.Enum != "" {
			words = append(words, argument.EnumSlice()...)
		}
	}
	return words
}

func quoted(text string) string { return strings.ReplaceAll(text, "'", `'\''`) }
