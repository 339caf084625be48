package main

import (
	"crypto/rand"
	"encoding/binary"
	"os"
	"time"

	"pakhuis/benches/client"
	"pakhuis/benches/peers"
	"pakhuis/benches/tree"
)

const (
	largeBlob  = 256 << 20
	many       = 10_000
	pageSize   = 100
	largeName  = "bench/large"
	imageName  = "bench/image"
	taggedName = "bench/tagged"
	imageTag   = "1.0"
)

// large is the blob that is pulled, and with another beginning each time the blobs that are pushed.
var large = func() []byte {
	bytes := make([]byte, largeBlob)
	_, _ = rand.Read(bytes)
	return bytes
}()

// stored is what a server has before a load begins.
type stored struct {
	large        string // digest
	tags         []string
	repositories []string
}

// prepare starts a registry and stores what the loads need, the large blob only when it is asked for.
func prepare(peer peers.Peer, directory string, cost int, withLarge bool) (*stage, error) {
	server, err := peers.Start(peer, peers.Options{Directory: directory, BcryptCost: cost})
	if err != nil {
		return nil, err
	}
	stage := &stage{server: server, users: map[bool]*client.Client{
		false: client.New(server, false),
		true:  client.New(server, true),
	}}
	if err := stage.fill(withLarge); err != nil {
		stage.close()
		return nil, err
	}
	return stage, nil
}

func (stage *stage) close() {
	for _, user := range stage.users {
		user.Close()
	}
	stage.server.Stop()
}

func (stage *stage) fill(withLarge bool) error {
	volume := stage.server.Volume
	time.Sleep(500 * time.Millisecond)
	stage.idle = stage.server.RSS()
	var err error
	if stage.stored.repositories, err = tree.Repositories(volume, many); err != nil {
		return err
	}
	if stage.server.Peer.Name == peers.StaticFile {
		return stage.fillStaticFile()
	}
	user := stage.users[false]
	if withLarge {
		if err := user.PushBlob(largeName, large); err != nil {
			return err
		}
		stage.stored.large = client.Digest(large)
	}
	config, layer := small(0), small(1)
	manifest := client.Manifest(config, layer)
	for _, name := range []string{imageName, taggedName} {
		for _, blob := range [][]byte{config, layer} {
			if err := user.PushBlob(name, blob); err != nil {
				return err
			}
		}
		if err := user.PutManifest(name, imageTag, manifest); err != nil {
			return err
		}
	}
	stage.stored.tags, err = tree.Tags(volume, taggedName, client.Digest(manifest), many)
	// What was written behind the server's back is older than what it may still hold for fresh.
	time.Sleep(100 * time.Millisecond)
	return err
}

func (stage *stage) fillStaticFile() error {
	return os.WriteFile(stage.server.Volume+"/large", large, 0o644)
}

// small is a blob of 4 KiB, different for each number.
func small(number uint64) []byte {
	bytes := make([]byte, 4<<10)
	copy(bytes, large)
	binary.LittleEndian.PutUint64(bytes, number)
	return bytes
}
