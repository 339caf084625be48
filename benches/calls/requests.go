package main

import (
	"crypto/rand"
	"fmt"

	"pakhuis/benches/client"
)

// The measured requests, in the order of the table.
const (
	startFirst    = "upload start, first in a repository"
	startLater    = "upload start, later"
	patch         = "PATCH"
	commit        = "PUT commit, first in a repository"
	commitLater   = "PUT commit, later"
	commitWhole   = "PUT commit with all bytes"
	cancel        = "cancel an upload"
	mountBlob     = "mount"
	headBlob      = "HEAD blob"
	getBlob       = "GET blob"
	headMissing   = "HEAD blob that is absent"
	putManifest   = "PUT manifest by tag, one layer"
	putLater      = "PUT manifest by tag, another image and tag"
	putAgain      = "PUT manifest by tag, the same again"
	headTag       = "HEAD manifest by tag, warm"
	getTag        = "GET manifest by tag, warm"
	getDigest     = "GET manifest by digest, warm"
	listTags      = "tags page"
	deleteTag     = "delete a tag"
	deleteDigest  = "delete a manifest"
	deleteBlob    = "delete a blob"
	blobSize      = 64 << 10
	manifestIsNew = "1.0"
)

var requests = []string{
	startFirst, startLater, patch, commit, commitLater, commitWhole, cancel, mountBlob, headBlob, getBlob,
	headMissing, putManifest, putAgain, putLater, headTag, getTag, getDigest, listTags, deleteTag, deleteDigest, deleteBlob,
}

// bar is the most path calls and flushes that a request of ours may make.
type bar struct{ paths, flushes int }

var bars = map[string]bar{
	startFirst:  {16, 3},
	startLater:  {6, 1},
	patch:       {5, 1},
	commit:      {24, 6},
	commitLater: {24, 6},
	putManifest: {40, 8},
	headBlob:    {4, 0},
	headTag:     {3, 0},
	getTag:      {3, 0},
	getDigest:   {2, 0},
}

// above is why a request may be above its bar. Any other that is makes the program fail.
var above = map[string]string{
	commit:      "each directory of a new repository has a name to be flushed, and what other servers made is flushed too",
	putManifest: "a new manifest and a new tag are directories of their own, each with a name to be flushed",
}

// measure runs one request and keeps the calls that it made.
type measure func(name string, request func() error)

// life takes a new repository through every request, once each.
func life(user *client.Client, repository string, measured measure) error {
	layer, config := random(), random()
	if err := pushInSteps(user, repository, layer, measured); err != nil {
		return err
	}
	if err := pushWhole(user, repository, config, measured); err != nil {
		return err
	}
	blob := "/v2/" + repository + "/blobs/" + client.Digest(layer)
	measured(headBlob, expect(user, 200, "HEAD", blob))
	measured(getBlob, expect(user, 200, "GET", blob))
	measured(headMissing, expect(user, 404, "HEAD", "/v2/"+repository+"/blobs/"+client.Digest(random())))
	manifest := client.Manifest(config, layer)
	push := func() error { return user.PutManifest(repository, manifestIsNew, manifest) }
	measured(putManifest, push)
	measured(putAgain, push)
	second := random()
	if err := pushLater(user, repository, second, measured); err != nil {
		return err
	}
	measured(putLater, func() error {
		return user.PutManifest(repository, "1.1", client.Manifest(config, second))
	})
	byTag := "/v2/" + repository + "/manifests/" + manifestIsNew
	byDigest := "/v2/" + repository + "/manifests/" + client.Digest(manifest)
	for _, location := range []string{byTag, byDigest} {
		if err := expect(user, 200, "GET", location)(); err != nil {
			return err
		}
	}
	measured(headTag, expect(user, 200, "HEAD", byTag))
	measured(getTag, expect(user, 200, "GET", byTag))
	measured(getDigest, expect(user, 200, "GET", byDigest))
	measured(listTags, expect(user, 200, "GET", "/v2/"+repository+"/tags/list?n=100"))
	if err := mountInto(user, repository+"-other", repository, layer, measured); err != nil {
		return err
	}
	measured(deleteTag, expect(user, 202, "DELETE", byTag))
	measured(deleteDigest, expect(user, 202, "DELETE", byDigest))
	measured(deleteBlob, expect(user, 202, "DELETE", blob))
	return nil
}

func pushInSteps(user *client.Client, repository string, blob []byte, measured measure) error {
	var location string
	var failed error
	measured(startFirst, func() error {
		location, failed = user.StartUpload(repository)
		return failed
	})
	measured(patch, func() error {
		location, failed = user.Patch(location, blob)
		return failed
	})
	measured(commit, func() error {
		failed = user.Commit(location, client.Digest(blob), nil)
		return failed
	})
	return failed
}

func pushWhole(user *client.Client, repository string, blob []byte, measured measure) error {
	var location string
	var failed error
	measured(startLater, func() error {
		location, failed = user.StartUpload(repository)
		return failed
	})
	measured(cancel, expect(user, 204, "DELETE", location))
	if location, failed = user.StartUpload(repository); failed != nil {
		return failed
	}
	measured(commitWhole, func() error {
		failed = user.Commit(location, client.Digest(blob), blob)
		return failed
	})
	return failed
}

func pushLater(user *client.Client, repository string, blob []byte, measured measure) error {
	location, failed := user.StartUpload(repository)
	if failed != nil {
		return failed
	}
	if location, failed = user.Patch(location, blob); failed != nil {
		return failed
	}
	measured(commitLater, func() error {
		failed = user.Commit(location, client.Digest(blob), nil)
		return failed
	})
	return failed
}

func mountInto(user *client.Client, repository, from string, blob []byte, measured measure) error {
	// Another blob first: the repository is there, as it mostly is.
	if err := user.PushBlob(repository, random()); err != nil {
		return err
	}
	location := fmt.Sprintf("/v2/%s/blobs/uploads/?mount=%s&from=%s", repository, client.Digest(blob), from)
	measured(mountBlob, expect(user, 201, "POST", location))
	return nil
}

func expect(user *client.Client, status int, method, location string) func() error {
	return func() error {
		_, err := user.Expect(status, method, location, nil, "")
		return err
	}
}

func random() []byte {
	bytes := make([]byte, blobSize)
	_, _ = rand.Read(bytes)
	return bytes
}
