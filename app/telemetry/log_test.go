package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
)

func TestLogLineCarriesTheTraceOfItsContext(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := NewLogger(Config{LogFormat: format}, &out)
		if err != nil {
			t.Fatal(err)
		}
		ctx := trace.ContextWithRemoteSpanContext(t.Context(), remote(t, sampledParent))
		log.With("replica", 1).InfoContext(ctx, "with")
		log.InfoContext(t.Context(), "without")
		with, without, _ := strings.Cut(out.String(), "\n")
		for _, id := range []string{"trace_id", "0af7651916cd43dd8448eb211c80319c", "span_id", "b7ad6b7169203331"} {
			if !strings.Contains(with, id) {
				t.Errorf("%s: the line %s lacks %s", format, with, id)
			}
		}
		if strings.Contains(without, "trace_id") {
			t.Errorf("%s: the line %s of no trace has an id", format, without)
		}
	}
}

func TestLogLevelAndFormatAreChecked(t *testing.T) {
	for _, cfg := range []Config{{LogLevel: "loud"}, {LogFormat: "xml"}} {
		if _, err := NewLogger(cfg, nil); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
	var out bytes.Buffer
	log, err := NewLogger(Config{LogLevel: "warn"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud", "took", 49*time.Millisecond)
	var line struct{ Msg, Level, Took string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%q is not one line of JSON: %v", out.String(), err)
	}
	if line.Msg != "loud" || line.Level != "WARN" || line.Took != "49ms" {
		t.Errorf("logged %+v, want the warning alone", line)
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(Config{}, &out)
	if err != nil {
		t.Fatal(err)
	}
	const url = "postgres://app:hunter2@db:5432/strata"
	log.Info("starting", "url", url, "Authorization", "Bearer hunter2", "token", "hunter2", "dsn", "host=db password=hunter2 user=app")
	log.Error("failed", "error", fmt.Errorf("opening pool: %w", errors.New(`parse "`+url+`": invalid port`)))
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("a password was logged:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "db:5432/strata") {
		t.Errorf("more than the password is hidden:\n%s", out.String())
	}
}

func TestPasswordsOfURLsAreHidden(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"no URL at all, a@b:c":                "no URL at all, a@b:c",
		"http://127.0.0.1:8080/v1":            "http://127.0.0.1:8080/v1",
		"redis://cache:6379/0":                "redis://cache:6379/0",
		"redis://:pw@cache:6379/0":            "redis://:[hidden]@cache:6379/0",
		"postgres://u@h/d":                    "postgres://u@h/d",
		"postgres://u:pw@h/d?sslmode=disable": "postgres://u:[hidden]@h/d?sslmode=disable",
		"postgres://u:p@w/x%zz@h/d":           "postgres://u:[hidden]@h/d",
		`parse "postgres://u:pw@h": and "redis://:pw@c" too`: `parse "postgres://u:[hidden]@h": and "redis://:[hidden]@c" too`,
		"postgres://h/d?user=u&password=pw&sslmode=disable":  "postgres://h/d?user=u&password=[hidden]&sslmode=disable",
		"host=h password=pw user=u":                          "host=h password=[hidden] user=u",
	} {
		if diff := cmp.Diff(HidePasswords(text), want); diff != "" {
			t.Errorf("%q (-got +want):\n%s", text, diff)
		}
	}
}
