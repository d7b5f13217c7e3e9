// Command bill says what a built library is made of: for each module in it, and
// for Go itself, it copies the licenses, and it writes an SPDX document.
//
//	go run ./deploy/bill -library bin/libaws-for-fluent-bit.so -out dir
//
// The modules are read from the library, not from go.mod: what is not in it is
// not listed.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	library := flag.String("library", "bin/libaws-for-fluent-bit.so", "the built Go library")
	out := flag.String("out", "bin", "directory to write licenses/ and sbom.spdx.json to")
	flag.Parse()
	n, err := write(*library, *out)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bill: %v\n", err)
		os.Exit(1) //nolint:forbidigo // a program of its own, not a guest
	}
	fmt.Printf("%s is made of %d modules; their licenses and sbom.spdx.json are in %s\n", *library, n, *out) //nolint:forbidigo // its output
}

// part is a module in the library, or Go itself.
type part struct {
	path, version, sum string
	dir                string // where its source is
	license            string // SPDX expression
}

// write returns how many modules there are.
func write(library, out string) (int, error) {
	info, err := buildinfo.ReadFile(library)
	if err != nil {
		return 0, fmt.Errorf("cannot read what %s was built from: %w", library, err)
	}
	parts, err := partsOf(info)
	if err != nil {
		return 0, err
	}
	for i := range parts {
		p := &parts[i]
		if p.license, err = copyLicenses(p.dir, filepath.Join(out, "licenses", filepath.FromSlash(p.path))); err != nil {
			return 0, err
		}
	}
	text, err := os.ReadFile(library)
	if err != nil {
		return 0, err
	}
	doc, err := json.MarshalIndent(document(info, parts, sha256.Sum256(text), created()), "", "  ")
	if err != nil {
		return 0, err
	}
	return len(parts), os.WriteFile(filepath.Join(out, "sbom.spdx.json"), append(doc, '\n'), 0o644)
}

// created is the time in the document; SOURCE_DATE_EPOCH makes it repeatable.
func created() time.Time {
	if s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(s, 0)
	}
	return time.Now()
}

// partsOf returns the library's modules and where their sources are.
func partsOf(info *debug.BuildInfo) ([]part, error) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("cannot ask go for its place: %w", err)
	}
	parts := []part{{path: "std", version: strings.TrimPrefix(info.GoVersion, "go"), dir: strings.TrimSpace(string(goroot))}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", m.Path).Output()
		if err != nil {
			return nil, fmt.Errorf("cannot find the source of %s: %w", m.Path, err)
		}
		parts = append(parts, part{path: m.Path, version: m.Version, sum: m.Sum, dir: strings.TrimSpace(string(dir))})
	}
	return parts, nil
}

// licenseFile is how files are called that have to go along.
var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|notice|copying|patents)([.-].*)?$`)

// copyLicenses copies all such files of dir, and returns what they are. There
// must be one, and it must be known: what may not be passed on is found here.
func copyLicenses(dir, to string) (expression string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var found []string
	for _, f := range files {
		if f.IsDir() || !licenseFile.MatchString(f.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return "", err
		}
		if err := os.MkdirAll(to, 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(to, f.Name()), text, 0o644); err != nil {
			return "", err
		}
		for _, l := range licensesIn(string(text)) {
			if !slices.Contains(found, l) {
				found = append(found, l)
			}
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("cannot tell the license of %s", dir)
	}
	slices.Sort(found)
	return strings.Join(found, " AND "), nil
}

// licensesIn tells the licenses of a text by words that only they have. A file
// may hold several, for parts of a module.
func licensesIn(text string) (ids []string) {
	text = strings.Join(strings.Fields(text), " ")
	has := func(s string) bool { return strings.Contains(text, s) }
	if has("Apache License") && has("Version 2.0, January 2004") {
		ids = append(ids, "Apache-2.0")
	}
	if has("Permission is hereby granted, free of charge") {
		ids = append(ids, "MIT")
	}
	if has("Redistribution and use in source and binary forms") {
		if has("Neither the name") {
			ids = append(ids, "BSD-3-Clause")
		} else {
			ids = append(ids, "BSD-2-Clause")
		}
	}
	return ids
}

// https://spdx.github.io/spdx-spec/v2.3/
type spdx struct {
	SpdxVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	ID                string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creationInfo   `json:"creationInfo"`
	Packages          []spdxPackage  `json:"packages"`
	Relationships     []relationship `json:"relationships"`
}

type creationInfo struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID               string        `json:"SPDXID"`
	Name             string        `json:"name"`
	Version          string        `json:"versionInfo,omitempty"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	LicenseConcluded string        `json:"licenseConcluded"`
	LicenseDeclared  string        `json:"licenseDeclared"`
	CopyrightText    string        `json:"copyrightText"`
	Checksums        []checksum    `json:"checksums,omitempty"`
	ExternalRefs     []externalRef `json:"externalRefs,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type externalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

var notID = regexp.MustCompile(`[^A-Za-z0-9.-]`)

func document(info *debug.BuildInfo, parts []part, library [sha256.Size]byte, at time.Time) spdx {
	const self = "SPDXRef-aws-for-fluent-bit"
	sum := hex.EncodeToString(library[:])
	d := spdx{
		SpdxVersion: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: "libaws-for-fluent-bit.so",
		DocumentNamespace: "https://spdx.org/spdxdocs/aws-for-fluent-bit-" + sum,
		CreationInfo:      creationInfo{at.UTC().Format(time.RFC3339), []string{"Tool: aws-for-fluent-bit/deploy/bill"}},
		Packages: []spdxPackage{{
			ID: self, Name: info.Main.Path, DownloadLocation: "NOASSERTION", LicenseConcluded: "Apache-2.0", LicenseDeclared: "Apache-2.0",
			CopyrightText: "NOASSERTION", Checksums: []checksum{{"SHA256", sum}},
		}},
		Relationships: []relationship{{"SPDXRef-DOCUMENT", "DESCRIBES", self}},
	}
	for _, p := range parts {
		id := "SPDXRef-" + notID.ReplaceAllString(p.path, "-")
		s := spdxPackage{
			ID: id, Name: p.path, Version: p.version, DownloadLocation: "NOASSERTION", LicenseConcluded: p.license,
			LicenseDeclared: p.license, CopyrightText: "NOASSERTION",
			ExternalRefs: []externalRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + p.path + "@" + p.version}},
		}
		// go.sum's h1 is a SHA-256 of the module's files.
		if h1, ok := strings.CutPrefix(p.sum, "h1:"); ok {
			if raw, err := base64.StdEncoding.DecodeString(h1); err == nil {
				s.Checksums = []checksum{{"SHA256", hex.EncodeToString(raw)}}
			}
		}
		d.Packages = append(d.Packages, s)
		d.Relationships = append(d.Relationships, relationship{self, "CONTAINS", id})
	}
	return d
}
