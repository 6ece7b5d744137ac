package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"strata/app/httpapi"
)

type tokenCommand struct {
	Name   string   `arg:"" help:"Whose token it is: the name in the log, and of the rate and the idempotency keys."`
	Scopes []string `name:"scopes" sep:"," default:"listings:write,listings:delete" help:"What it allows: ${default}, or one of them."`
}

// Run prints a new token and what configures it. The token is nowhere else, so what is printed is the only copy.
func (c *tokenCommand) Run(std streams) error {
	if !tokenName.MatchString(c.Name) {
		return usageError{fmt.Errorf("NAME: must be 1 to 64 letters, digits, dots, dashes and underscores")}
	}
	scopes, err := parseScopes(c.Scopes)
	if err != nil {
		return usageError{fmt.Errorf("--scopes: %w", err)}
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	// The prefix lets scanners of source code tell what they have found.
	token := "strata_" + base64.RawURLEncoding.EncodeToString(secret)
	_, err = fmt.Fprintf(std.out, `token       %s
API_TOKENS  %s

The token is shown this once, and is for the client: Authorization: Bearer TOKEN.
The other is for the service, and is no secret; several are separated by commas.
`, token, tokenEntry(c.Name, scopes, token))
	return err
}

// tokenEntry is how a token stands in API_TOKENS.
func tokenEntry(name string, scopes []httpapi.Scope, token string) string {
	names := make([]string, len(scopes))
	for i, scope := range scopes {
		names[i] = string(scope)
	}
	return fmt.Sprintf("%s:%s:%x", name, strings.Join(names, "+"), sha256.Sum256([]byte(token)))
}
