package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"example.com/strata/app/httpapi"
)

// tokenCommand prints a new token and what configures it. The token is nowhere else, so what is printed is the only copy.
func tokenCommand() *cobra.Command {
	var all []string
	for _, scope := range httpapi.Scopes() {
		all = append(all, string(scope))
	}
	var allowed []string
	cmd := &cobra.Command{
		Use: "token <name>", Short: "Make a token that allows writes, and the line that configures it.",
		Long: `Make a token that allows writes: print it, once, and the line that configures it.

<name> is whose token it is: the name in the log, and of the rate and the idempotency keys.`,
		Args: takes("name"), ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if !tokenName.MatchString(name) {
			return usageError{errors.New("<name>: must be 1 to 64 letters, digits, dots, dashes and underscores")}
		}
		scopes, err := parseScopes(allowed)
		if err != nil {
			return usageError{fmt.Errorf("--scopes: %w", err)}
		}
		if len(scopes) == 0 {
			return usageError{errors.New("--scopes: names none, and the token would allow nothing")}
		}
		secret := make([]byte, 32)
		_, _ = rand.Read(secret) // never fails
		// The prefix lets scanners of source code tell what they have found.
		token := "strata_" + base64.RawURLEncoding.EncodeToString(secret)
		_, err = fmt.Fprintf(cmd.OutOrStdout(), `token       %s
API_TOKENS  %s

The token is shown this once, and is for the client: Authorization: Bearer TOKEN.
The other is for the service, and is no secret; several are separated by commas.
`, token, tokenEntry(name, scopes, token))
		return err
	}
	cmd.Flags().StringSliceVar(&allowed, "scopes", all, "What it allows: all `scopes`, or one of them.")
	_ = cmd.RegisterFlagCompletionFunc("scopes", cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
	return cmd
}

// tokenEntry is how a token stands in API_TOKENS.
func tokenEntry(name string, scopes []httpapi.Scope, token string) string {
	names := make([]string, len(scopes))
	for i, scope := range scopes {
		names[i] = string(scope)
	}
	return fmt.Sprintf("%s:%s:%x", name, strings.Join(names, "+"), sha256.Sum256([]byte(token)))
}
