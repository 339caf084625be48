// Package tree fills a volume with much that is stored, by writing the directory tree of registry:2 itself: a million
// tags by requests would take hours. Files with the same content are one file with many names, to spare inodes.
package tree

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Repositories makes repositories with nothing in them, a thousand to a parent directory; gives their names in order.
func Repositories(volume string, count int) ([]string, error) {
	names := make([]string, 0, count)
	for index := 0; index < count; index++ {
		name := fmt.Sprintf("stored%04d/repository%06d", index/1000, index)
		for _, directory := range []string{"_layers", "_manifests/revisions", "_manifests/tags"} {
			if err := os.MkdirAll(filepath.Join(repository(volume, name), directory), 0o755); err != nil {
				return nil, err
			}
		}
		names = append(names, name)
	}
	return names, nil
}

// Tagged gives each repository the manifest, which the volume has, and the tag "latest" of it.
func Tagged(volume string, names []string, digest string) error {
	links := &sameFile{path: filepath.Join(volume, "link-of-many-repositories"), content: []byte(digest)}
	defer links.forget()
	for _, name := range names {
		manifests := filepath.Join(repository(volume, name), "_manifests")
		for _, place := range []string{"revisions/sha256/" + strings.TrimPrefix(digest, "sha256:"), "tags/latest/current"} {
			directory := filepath.Join(manifests, place)
			if err := os.MkdirAll(directory, 0o755); err != nil {
				return err
			}
			if err := links.appearAs(filepath.Join(directory, "link")); err != nil {
				return err
			}
		}
	}
	return nil
}

// Tags makes tags of a manifest that the repository has; gives their names in order.
func Tags(volume, name, digest string, count int) ([]string, error) {
	tags := filepath.Join(repository(volume, name), "_manifests/tags")
	if err := os.MkdirAll(tags, 0o755); err != nil {
		return nil, err
	}
	links := &sameFile{path: filepath.Join(volume, "link-of-many-tags"), content: []byte(digest)}
	defer links.forget()
	names := make([]string, 0, count)
	for index := 0; index < count; index++ {
		tag := fmt.Sprintf("v%07d", index)
		current := filepath.Join(tags, tag, "current")
		if err := os.MkdirAll(current, 0o755); err != nil {
			return nil, err
		}
		if err := links.appearAs(filepath.Join(current, "link")); err != nil {
			return nil, err
		}
		names = append(names, tag)
	}
	return names, nil
}

// Blobs makes blobs that no repository has. Their bytes are not those of their digests, which nobody asks for.
func Blobs(volume string, count int) error {
	blobs := filepath.Join(volume, "docker/registry/v2/blobs/sha256")
	for shard := 0; shard < 256; shard++ {
		if err := os.MkdirAll(filepath.Join(blobs, fmt.Sprintf("%02x", shard)), 0o755); err != nil {
			return err
		}
	}
	data := &sameFile{path: filepath.Join(volume, "data-of-many-blobs"), content: []byte("stored")}
	defer data.forget()
	for index := 0; index < count; index++ {
		encoded := fmt.Sprintf("%02x%062x", index%256, index)
		blob := filepath.Join(blobs, encoded[:2], encoded)
		if err := os.Mkdir(blob, 0o755); err != nil {
			return err
		}
		if err := data.appearAs(filepath.Join(blob, "data")); err != nil {
			return err
		}
	}
	return nil
}

// sameFile is a file that appears in many places; anew after 30,000 of them, since ext4 allows 65,000.
type sameFile struct {
	path    string
	content []byte
	places  int
}

func (file *sameFile) appearAs(path string) error {
	if file.places%30_000 == 0 {
		file.forget()
		if err := os.WriteFile(file.path, file.content, 0o644); err != nil {
			return err
		}
	}
	file.places++
	return os.Link(file.path, path)
}

func (file *sameFile) forget() {
	_ = os.Remove(file.path)
}

// BlobFile is where the bytes of a blob are.
func BlobFile(volume, digest string) string {
	encoded := strings.TrimPrefix(digest, "sha256:")
	return filepath.Join(volume, "docker/registry/v2/blobs/sha256", encoded[:2], encoded, "data")
}

func repository(volume, name string) string {
	return filepath.Join(volume, "docker/registry/v2/repositories", name)
}
