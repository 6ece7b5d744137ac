// Command image packs the released binaries of Linux into one image for all of them, as an OCI layout in a tar file, the same bytes each
// time. The image holds the binary, the certificates of Mozilla's roots and nothing else; it is the last stage of app/Dockerfile without a
// Docker engine, and without a base image that would have to be fetched.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// settings are what the command line says.
type settings struct {
	output, version, revision string
	created                   time.Time
	binaries                  map[string]string // by architecture
}

func main() {
	var s settings
	var epoch int64
	flag.StringVar(&s.output, "output", "strata.oci.tar", "the image, as a tar of an OCI layout")
	flag.StringVar(&s.version, "version", "development", "label org.opencontainers.image.version")
	flag.StringVar(&s.revision, "revision", "unknown", "label org.opencontainers.image.revision")
	flag.Int64Var(&epoch, "epoch", 0, "the time of everything in it, in seconds since 1970")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "image [flags] ARCHITECTURE=BINARY...")
		flag.PrintDefaults()
	}
	flag.Parse()
	s.created, s.binaries = time.Unix(epoch, 0).UTC(), make(map[string]string)
	for _, argument := range flag.Args() {
		arch, path, ok := strings.Cut(argument, "=")
		if !ok {
			flag.Usage()
			os.Exit(2)
		}
		s.binaries[arch] = path
	}
	digest, err := s.write()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

// write makes the layout and packs it. It returns the index's digest, by which a registry will know the image.
func (s settings) write() (v1.Hash, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range []string{"amd64", "arm64"} {
		path, ok := s.binaries[arch]
		if !ok {
			return v1.Hash{}, fmt.Errorf("there is no binary for %s", arch)
		}
		image, err := s.image(arch, path)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("%s: %w", arch, err)
		}
		platform := v1.Platform{OS: "linux", Architecture: arch}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	dir, err := os.MkdirTemp("", "image")
	if err != nil {
		return v1.Hash{}, err
	}
	defer os.RemoveAll(dir)
	written, err := layout.Write(dir, empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	name := map[string]string{"org.opencontainers.image.ref.name": s.version}
	if err := written.AppendIndex(index, layout.WithAnnotations(name)); err != nil {
		return v1.Hash{}, err
	}
	if err := s.pack(dir); err != nil {
		return v1.Hash{}, err
	}
	return index.Digest()
}

// image is the one of an architecture: two layers, of which the first hardly ever changes.
func (s settings) image(arch, path string) (v1.Image, error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots, err := s.layer("etc/ssl/certs/ca-certificates.crt", certificates(), 0o644)
	if err != nil {
		return nil, err
	}
	program, err := s.layer("usr/local/bin/strata", binary, 0o755)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.AppendLayers(image, roots, program)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(image, s.config(arch, image))
}

// config says what app/Dockerfile says.
func (s settings) config(arch string, image v1.Image) *v1.ConfigFile {
	file, err := image.ConfigFile()
	if err != nil {
		panic(err) // it is in memory
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", arch, v1.Time{Time: s.created}
	file.Config = v1.Config{
		User: "65532:65532", Entrypoint: []string{"/usr/local/bin/strata"}, Cmd: []string{"serve"}, WorkingDir: "/",
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "8081/tcp": {}},
		Env:          []string{"PATH=/usr/local/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "strata",
			"org.opencontainers.image.description": "A property-listing service whose cache layers can be seen",
			"org.opencontainers.image.licenses":    "MIT",
			"org.opencontainers.image.version":     s.version,
			"org.opencontainers.image.revision":    s.revision,
		},
	}
	for i := range file.History {
		file.History[i] = v1.History{Created: v1.Time{Time: s.created}, CreatedBy: "tools/image"}
	}
	return file
}

// layer holds one file and the folders above it, all root's and of one time.
func (s settings) layer(name string, content []byte, mode int64) (v1.Layer, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	parts := strings.Split(name, "/")
	for i := 1; i < len(parts); i++ {
		header := &tar.Header{Typeflag: tar.TypeDir, Name: strings.Join(parts[:i], "/") + "/", Mode: 0o755, ModTime: s.created}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: s.created}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil }
	return tarball.LayerFromOpener(opener, tarball.WithMediaType(types.OCILayer))
}

// certificates are Mozilla's, from the module that Go's own fallback uses: pinned by go.sum, whatever the machine trusts that builds.
func certificates() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes everything
	}
	return out.Bytes()
}

// pack writes the folder as a tar, in the order of its names.
func (s settings) pack(dir string) error {
	out, err := os.Create(s.output)
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(name), Mode: 0o644, Size: int64(len(content)), ModTime: s.created}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Close()
}
