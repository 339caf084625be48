package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"pakhuis/benches/client"
	"pakhuis/benches/peers"
	"pakhuis/benches/tree"
)

const gigabyte = 1e9

// effort is how much one round of a load does.
type effort struct {
	blobs    int
	duration time.Duration
}

// load puts one round of a load on a server.
type load func(stage *stage, effort effort) (measurement, error)

// pull reads the large blob again and again; units are GB.
func pull(streams int, http2 bool) load {
	return func(stage *stage, effort effort) (measurement, error) {
		path := "/v2/" + largeName + "/blobs/" + stage.stored.large
		if stage.server.Peer.Name == peers.StaticFile {
			path = "/large"
		}
		measured, err := stage.drive(streams, effort.blobs, 0, func(int) error {
			return stage.download(stage.users[http2], path)
		})
		measured.units *= largeBlob / gigabyte
		return measured, err
	}
}

func (stage *stage) download(user *client.Client, path string) error {
	response, err := user.Request("GET", path, nil, 0, "")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	// Large reads, and nothing done with the bytes: the client has to share the cores with the server.
	read, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{response.Body}, make([]byte, 1<<20))
	if err == nil && (read != largeBlob || response.StatusCode != http.StatusOK) {
		err = fmt.Errorf("GET %s: %s, %d bytes", path, response.Status, read)
	}
	return err
}

// newBlob is the large blob with a beginning of its own.
type newBlob struct {
	beginning [8]byte
	digest    string
}

var pushed atomic.Uint64

func makeNewBlob() newBlob {
	var blob newBlob
	binary.LittleEndian.PutUint64(blob.beginning[:], pushed.Add(1))
	hash := sha256.New()
	_, _ = io.Copy(hash, blob.reader())
	blob.digest = "sha256:" + hex.EncodeToString(hash.Sum(nil))
	return blob
}

func (blob *newBlob) reader() io.Reader {
	return io.MultiReader(bytes.NewReader(blob.beginning[:]), bytes.NewReader(large[len(blob.beginning):]))
}

// push uploads large blobs that are new, streamed in one PATCH as docker does; units are GB.
func push(streams int) load {
	return func(stage *stage, effort effort) (measurement, error) {
		blobs := make([]newBlob, effort.blobs)
		for index := range blobs {
			blobs[index] = makeNewBlob()
		}
		measured, err := stage.drive(streams, len(blobs), 0, func(number int) error {
			return stage.upload(&blobs[number])
		})
		measured.units *= largeBlob / gigabyte
		for _, blob := range blobs {
			// The memory is needed for the next ones.
			_ = os.RemoveAll(filepath.Dir(tree.BlobFile(stage.server.Volume, blob.digest)))
		}
		return measured, err
	}
}

func (stage *stage) upload(blob *newBlob) error {
	user := stage.users[false]
	location, err := user.StartUpload("bench/pushed")
	if err != nil {
		return err
	}
	response, err := user.Request("PATCH", location, blob.reader(), -1, "application/octet-stream")
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("PATCH: %s", response.Status)
	}
	return user.Commit(response.Header.Get("Location"), blob.digest, nil)
}

// repeat sends one kind of request for a while; `location` gives the path of each.
func repeat(workers int, method string, location func(stored *stored, number int) string) load {
	return func(stage *stage, effort effort) (measurement, error) {
		user := stage.users[false]
		return stage.drive(workers, 0, effort.duration, func(number int) error {
			_, err := user.Expect(http.StatusOK, method, location(&stage.stored, number), nil, "")
			return err
		})
	}
}

func manifestByTag(*stored, int) string {
	return "/v2/" + imageName + "/manifests/" + imageTag
}

// pageOf gives the pages one after the other, as a client that reads the whole list.
func pageOf(path string, names []string, number int) string {
	page := number % (len(names) / pageSize)
	if page == 0 {
		return fmt.Sprintf("%s?n=%d", path, pageSize)
	}
	return fmt.Sprintf("%s?n=%d&last=%s", path, pageSize, names[page*pageSize-1])
}

func tagsPage(stored *stored, number int) string {
	return pageOf("/v2/"+taggedName+"/tags/list", stored.tags, number)
}

func catalogPage(stored *stored, number int) string {
	return pageOf("/v2/_catalog", stored.repositories, number)
}

// images pushes images of five small layers, each new, as docker does: a HEAD, then POST, PATCH and PUT for each blob.
func images(stage *stage, effort effort) (measurement, error) {
	user := stage.users[false]
	return stage.drive(8, 0, effort.duration, func(number int) error {
		repository := fmt.Sprintf("bench/images%d", number%8)
		var blobs [][]byte
		for len(blobs) < 6 {
			blobs = append(blobs, small(pushed.Add(1)+2))
		}
		for _, blob := range blobs {
			path := "/v2/" + repository + "/blobs/" + client.Digest(blob)
			if _, err := user.Expect(http.StatusNotFound, "HEAD", path, nil, ""); err != nil {
				return err
			}
			if err := user.PushBlob(repository, blob); err != nil {
				return err
			}
		}
		tag := fmt.Sprintf("t%d", pushed.Add(1))
		return user.PutManifest(repository, tag, client.Manifest(blobs[0], blobs[1:]...))
	})
}
