package main

import (
	"encoding/binary"
	"fmt"
	"net/http"

	"pakhuis/benches/client"
	"pakhuis/benches/peers"
	"pakhuis/benches/tree"
)

const (
	name     = "bench/tagged"
	pageSize = 100
)

// compare measures the same requests at each size; `prepare` stores that much and gives the requests.
func (settings *settings) compare(what string, sizes []int, prepare func(volume string, size int, user *client.Client, server *peers.Server) ([]request, error)) error {
	var costs [][]cost
	var titles []string
	for _, size := range sizes {
		found, requests, err := settings.atSize(size, prepare)
		if err != nil {
			return fmt.Errorf("%s, %d: %w", what, size, err)
		}
		costs = append(costs, found)
		titles = nil
		for _, request := range requests {
			titles = append(titles, request.title)
		}
	}
	settings.printTable(what, sizes, titles, costs)
	return nil
}

func (settings *settings) atSize(size int, prepare func(string, int, *client.Client, *peers.Server) ([]request, error)) ([]cost, []request, error) {
	volume, err := peers.Scratch(settings.directory)
	if err != nil {
		return nil, nil, err
	}
	defer peers.Forget(volume)
	server, user, err := settings.start(volume)
	if err != nil {
		return nil, nil, err
	}
	defer server.Stop()
	defer user.Close()
	requests, err := prepare(volume, size, user, server)
	if err != nil {
		return nil, nil, err
	}
	costs, err := measureAll(server, requests)
	return costs, requests, err
}

func (settings *settings) tags() error {
	return settings.compare("tags of one repository", settings.sizes(100, 10_000, 1_000_000), settings.manyTags)
}

func (settings *settings) manyTags(volume string, size int, user *client.Client, server *peers.Server) ([]request, error) {
	manifest, err := pushImage(user, name)
	if err != nil {
		return nil, err
	}
	tags, err := tree.Tags(volume, name, client.Digest(manifest), size)
	if err != nil {
		return nil, err
	}
	list := "/v2/" + name + "/tags/list"
	requests := []request{
		{"GET manifest by tag", get(user, "/v2/"+name+"/manifests/"+tags[size/2])},
		{"tags, first page", get(user, fmt.Sprintf("%s?n=%d", list, pageSize))},
		{"tags, page in the middle", get(user, fmt.Sprintf("%s?n=%d&last=%s", list, pageSize, tags[size/2]))},
	}
	requests, err = settings.withPages(requests, user, map[string]string{"page of the repository": "/ui/r/" + name})
	// Last what adds to the volume.
	return append(requests, request{"PUT manifest by a new tag", func(number int) error {
		return user.PutManifest(name, fmt.Sprintf("new%d", number), manifest)
	}}), err
}

func (settings *settings) blobs() error {
	return settings.compare("blobs", settings.sizes(100, 10_000, 1_000_000), settings.manyBlobs)
}

func (settings *settings) manyBlobs(volume string, size int, user *client.Client, server *peers.Server) ([]request, error) {
	if _, err := pushImage(user, name); err != nil {
		return nil, err
	}
	if err := tree.Blobs(volume, size); err != nil {
		return nil, err
	}
	return []request{
		{"GET blob of 4 KiB", get(user, "/v2/"+name+"/blobs/"+client.Digest(small(-1)))},
		{"upload start", func(int) error { _, err := user.StartUpload(name); return err }},
		{"push of a blob of 4 KiB", func(number int) error { return user.PushBlob(name, small(number)) }},
	}, nil
}

func (settings *settings) repositories() error {
	return settings.compare("repositories", settings.sizes(100, 10_000, 100_000), settings.manyRepositories)
}

func (settings *settings) manyRepositories(volume string, size int, user *client.Client, server *peers.Server) ([]request, error) {
	names, err := tree.Repositories(volume, size)
	if err != nil {
		return nil, err
	}
	// Repositories without a manifest are on no page.
	manifest, err := pushImage(user, "bench/pushed")
	if err != nil {
		return nil, err
	}
	if err := tree.Tagged(volume, names, client.Digest(manifest)); err != nil {
		return nil, err
	}
	requests := []request{
		{"start to the first answer", func(int) error {
			again, other, err := settings.start(volume)
			if err == nil {
				other.Close()
				again.Stop()
			}
			return err
		}},
		{"catalogue, first page", get(user, fmt.Sprintf("/v2/_catalog?n=%d", pageSize))},
		{"catalogue, page in the middle", get(user, fmt.Sprintf("/v2/_catalog?n=%d&last=%s", pageSize, names[size/2]))},
	}
	requests, err = settings.withPages(requests, user, map[string]string{"page of the catalogue": "/ui/"})
	// Last what adds to the volume.
	return append(requests, request{"first upload start in a repository", func(number int) error {
		_, err := user.StartUpload(fmt.Sprintf("bench/new%d", number))
		return err
	}}), err
}

func (settings *settings) referrers() error {
	return settings.compare("referrers of one image", settings.sizes(100, 1_000, 10_000), settings.manyReferrers)
}

func (settings *settings) manyReferrers(_ string, size int, user *client.Client, _ *peers.Server) ([]request, error) {
	subject, err := pushImage(user, name)
	if err != nil {
		return nil, err
	}
	empty := []byte("{}")
	if err := user.PushBlob(name, empty); err != nil {
		return nil, err
	}
	for number := 0; number < size; number++ {
		manifest := client.Referrer(empty, subject, number)
		if err := user.PutManifest(name, client.Digest(manifest), manifest); err != nil {
			return nil, err
		}
	}
	return []request{{"referrers, first page", get(user, "/v2/"+name+"/referrers/"+client.Digest(subject))}}, nil
}

// withPages adds pages of ours; the reference has none.
func (settings *settings) withPages(requests []request, user *client.Client, pages map[string]string) ([]request, error) {
	if settings.peer.Name != peers.Pakhuis {
		return requests, nil
	}
	browser, err := user.Browser()
	if err != nil {
		return nil, err
	}
	for title, path := range pages {
		if err := user.UntilRead(browser, path, pageSize); err != nil {
			return nil, err
		}
		requests = append(requests, request{title, func(int) error { return user.Page(browser, path) }})
	}
	return requests, nil
}

func get(user *client.Client, path string) func(int) error {
	return func(int) error {
		_, err := user.Expect(http.StatusOK, "GET", path, nil, "")
		return err
	}
}

// pushImage stores a small image under the tag 1.0 and gives its manifest.
func pushImage(user *client.Client, repository string) ([]byte, error) {
	config, layer := small(-1), small(-2)
	for _, blob := range [][]byte{config, layer} {
		if err := user.PushBlob(repository, blob); err != nil {
			return nil, err
		}
	}
	manifest := client.Manifest(config, layer)
	return manifest, user.PutManifest(repository, "1.0", manifest)
}

// small is a blob of 4 KiB, different for each number.
func small(number int) []byte {
	bytes := make([]byte, 4<<10)
	binary.LittleEndian.PutUint64(bytes, uint64(number))
	return bytes
}
