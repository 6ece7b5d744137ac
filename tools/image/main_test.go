package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// pack writes an image of two made-up binaries and returns the tar and its digest.
func pack(t *testing.T, version string) ([]byte, v1.Hash) {
	t.Helper()
	dir := t.TempDir()
	s := settings{output: filepath.Join(dir, "image.tar"), version: version, revision: "abc", created: time.Unix(1_700_000_000, 0).UTC(), binaries: make(map[string]string)}
	for _, arch := range []string{"amd64", "arm64"} {
		s.binaries[arch] = filepath.Join(dir, arch)
		if err := os.WriteFile(s.binaries[arch], []byte("the program for "+arch), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := s.write()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.output)
	if err != nil {
		t.Fatal(err)
	}
	return text, digest
}

func TestTheImageIsTheSameBytesEachTime(t *testing.T) {
	first, digest := pack(t, "1.0.0")
	again, digestAgain := pack(t, "1.0.0")
	if !bytes.Equal(first, again) || digest != digestAgain {
		t.Error("two images of the same binaries differ")
	}
	if _, other := pack(t, "1.0.1"); other == digest {
		t.Error("another version has the same digest")
	}
}

func TestTheImageHoldsOneBinaryAndTheCertificatesForEachArchitecture(t *testing.T) {
	text, digest := pack(t, "1.0.0")
	dir := t.TempDir()
	unpack(t, text, dir)
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	index, err := outer.ImageIndex(digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 2 {
		t.Fatalf("%d images, want one an architecture", len(manifest.Manifests))
	}
	for _, m := range manifest.Manifests {
		image, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Architecture != m.Platform.Architecture || config.Config.User != "65532:65532" || config.Config.Labels["org.opencontainers.image.version"] != "1.0.0" {
			t.Errorf("the image for %s says %+v", m.Platform.Architecture, config)
		}
		files := make(map[string]string)
		layers, err := image.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			content, err := l.Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			read(t, content, func(name string, content []byte) { files[name] = string(content) })
		}
		if got, want := files["usr/local/bin/strata"], "the program for "+config.Architecture; got != want {
			t.Errorf("the program is %q, want %q", got, want)
		}
		if roots := files["etc/ssl/certs/ca-certificates.crt"]; bytes.Count([]byte(roots), []byte("BEGIN CERTIFICATE")) < 100 || len(files) != 2 {
			t.Errorf("%d files, and %d bytes of certificates", len(files), len(roots))
		}
	}
}

func TestAnImageNeedsBothArchitectures(t *testing.T) {
	s := settings{output: filepath.Join(t.TempDir(), "image.tar"), binaries: map[string]string{"amd64": os.Args[0]}}
	if _, err := s.write(); err == nil || err.Error() != "there is no binary for arm64" {
		t.Errorf("error %v", err)
	}
}

func unpack(t *testing.T, text []byte, dir string) {
	t.Helper()
	read(t, bytes.NewReader(text), func(name string, content []byte) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	})
}

// read hands on the files of a tar.
func read(t *testing.T, r io.Reader, file func(name string, content []byte)) {
	t.Helper()
	for tr := tar.NewReader(r); ; {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			file(header.Name, content)
		}
	}
}
