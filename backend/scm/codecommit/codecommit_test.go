package codecommit_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/backend/scm/codecommit"
	"github.com/callboard-dev/callboard/backend/scm/scmtest"
)

// fake answers the five calls of the reader for a repository with one branch.
func fake(files map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in map[string]string
		_ = json.NewDecoder(r.Body).Decode(&in)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		fail := func(code string) {
			w.Header().Set("X-Amzn-ErrorType", code)
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"__type": code})
		}
		if !strings.Contains(r.Header.Get("Authorization"), "Credential=AKIATEST/") || in["repositoryName"] != "shop" {
			fail("RepositoryDoesNotExistException")
			return
		}
		var out any
		switch _, call, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); call {
		case "GetRepository":
			out = map[string]any{"repositoryMetadata": map[string]any{"defaultBranch": "main"}}
		case "GetBranch":
			if in["branchName"] != "main" {
				fail("BranchDoesNotExistException")
				return
			}
			out = map[string]any{"branch": map[string]any{"branchName": "main", "commitId": "c0ffee"}}
		case "GetFile":
			content, ok := files[in["filePath"]]
			if !ok {
				fail("FileDoesNotExistException")
				return
			}
			out = map[string]any{"blobId": scmtest.BlobSHA(content), "fileContent": []byte(content)}
		case "GetBlob":
			for _, content := range files {
				if scmtest.BlobSHA(content) == in["blobId"] {
					out = map[string]any{"content": []byte(content)}
				}
			}
		case "GetFolder":
			folder := strings.Trim(in["folderPath"], "/")
			var list, subs []any
			seen := map[string]bool{}
			for name, content := range files {
				rest, ok := strings.CutPrefix(name, folder+"/")
				if folder == "" {
					rest, ok = name, true
				}
				if sub, _, deeper := strings.Cut(rest, "/"); ok && deeper && !seen[sub] {
					seen[sub] = true
					subs = append(subs, map[string]any{"absolutePath": strings.TrimPrefix(folder+"/"+sub, "/")})
				} else if ok && !deeper {
					list = append(list, map[string]any{"absolutePath": name, "blobId": scmtest.BlobSHA(content), "fileMode": "NORMAL"})
				}
			}
			out = map[string]any{"files": list, "subFolders": subs}
		}
		_ = json.NewEncoder(w).Encode(out)
	})
}

func TestReader(t *testing.T) {
	t.Parallel()
	network := scmtest.NewNetwork()
	network.Handle("codecommit.eu-west-1.amazonaws.com", fake(map[string]string{"catalog-info.yaml": "kind: Component", "docs/a.md": "a", "docs/deep/b.md": "b"}))
	is, err := scm.NewIntegrations(scm.Config{AWSCodeCommit: []scm.AWSCodeCommitConfig{{Region: "eu-west-1", AccessKeyID: "AKIATEST", SecretAccessKey: config.NewSecret("s")}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := scm.NewReader(is, scm.Options{
		Factories: []scm.ReaderFactory{codecommit.Readers}, WorkingDirectory: t.TempDir(),
		Clients: scm.NewClients(scm.ClientOptions{Transport: network}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const base = "https://eu-west-1.console.aws.amazon.com/codesuite/codecommit/repositories/shop/browse/refs/heads/main/--/"
	response, err := m.ReadURL(t.Context(), base+"catalog-info.yaml?region=eu-west-1", scm.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if content, err := response.Bytes(); string(content) != "kind: Component" {
		t.Errorf("%q, %v", content, err)
	}
	if _, err := m.ReadURL(t.Context(), base+"catalog-info.yaml", scm.ReadOptions{ETag: response.ETag}); !errors.Is(err, apierr.NotModified) {
		t.Errorf("with the etag: %v", err)
	}
	for _, url := range []string{base + "none", strings.Replace(base, "main", "other", 1) + "x", strings.Replace(base, "shop", "none", 1) + "x"} {
		if _, err := m.ReadURL(t.Context(), url, scm.ReadOptions{}); !errors.Is(err, apierr.NotFound) {
			t.Errorf("%s: %v", url, err)
		}
	}
	tree, err := m.ReadTree(t.Context(), base+"docs", scm.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for f, err := range tree.Files(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		r, _ := f.Open()
		content, _ := io.ReadAll(r)
		got[f.Path] = string(content)
	}
	if len(got) != 2 || got["a.md"] != "a" || got["deep/b.md"] != "b" || tree.ETag != "c0ffee" {
		t.Errorf("tree %v at %s", got, tree.ETag)
	}
	const root = "https://eu-west-1.console.aws.amazon.com/codesuite/codecommit/repositories/shop/browse"
	if _, err := m.ReadTree(t.Context(), root, scm.TreeOptions{ETag: "c0ffee"}); !errors.Is(err, apierr.NotModified) {
		t.Errorf("tree of the default branch with its etag: %v", err)
	}
}
