package main

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

func TestVersionIsTheSameForPeopleAndPrograms(t *testing.T) {
	var out, text, errOut bytes.Buffer
	if code := execute(t.Context(), []string{"version", "--json"}, &out, &errOut); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errOut)
	}
	decoder := json.NewDecoder(&out)
	decoder.DisallowUnknownFields()
	var v builtFrom
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	if v.Version != version || v.Revision == "" || v.Go != runtime.Version() || v.OS != runtime.GOOS || v.Arch != runtime.GOARCH {
		t.Errorf("says %+v", v)
	}
	if code := execute(t.Context(), []string{"version"}, &text, &errOut); code != 0 || !strings.Contains(text.String(), "strata "+v.Version+" (revision "+v.Revision+",") {
		t.Errorf("in words: %q", text.String())
	}
}
