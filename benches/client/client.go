// Package client speaks to a registry as docker, containerd and podman do: with Go's net/http.
package client

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"pakhuis/benches/peers"
)

// Media types of an OCI image.
const (
	ManifestType = "application/vnd.oci.image.manifest.v1+json"
	ConfigType   = "application/vnd.oci.image.config.v1+json"
	LayerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// Client is one user of a server with connections of its own.
type Client struct {
	base string
	http *http.Client
}

// New gives a client that signs in with each request. Only one protocol is offered: a comparison must not depend on
// which one a server prefers.
func New(server *peers.Server, http2 bool) *Client {
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		MaxIdleConnsPerHost: 1024,
		DisableCompression:  true,
		ForceAttemptHTTP2:   http2,
	}
	if !http2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	return &Client{base: "https://" + server.Address, http: &http.Client{Transport: transport}}
}

// Close ends the connections.
func (client *Client) Close() {
	client.http.CloseIdleConnections()
}

// Request sends one request. `location` is a path, or what a server gave as Location.
func (client *Client) Request(method, location string, body io.Reader, length int64, contentType string) (*http.Response, error) {
	if strings.HasPrefix(location, "/") {
		location = client.base + location
	}
	request, err := http.NewRequest(method, location, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.ContentLength = length
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	request.Header.Set("Accept", ManifestType)
	request.SetBasicAuth(peers.User, peers.Password)
	return client.http.Do(request)
}

// Expect sends one request, reads the answer to its end and fails on another status.
func (client *Client) Expect(status int, method, location string, body []byte, contentType string) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	response, err := client.Request(method, location, reader, int64(len(body)), contentType)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != status {
		return nil, fmt.Errorf("%s %s: %s %s", method, location, response.Status, text)
	}
	return response, nil
}

// StartUpload gives the Location of a new upload.
func (client *Client) StartUpload(repository string) (string, error) {
	response, err := client.Expect(202, "POST", "/v2/"+repository+"/blobs/uploads/", nil, "")
	if err != nil {
		return "", err
	}
	return response.Header.Get("Location"), nil
}

// Patch sends bytes to an upload and gives its next Location.
func (client *Client) Patch(location string, bytes []byte) (string, error) {
	response, err := client.Expect(202, "PATCH", location, bytes, "application/octet-stream")
	if err != nil {
		return "", err
	}
	return response.Header.Get("Location"), nil
}

// Commit ends an upload; a body is its last bytes.
func (client *Client) Commit(location, digest string, body []byte) error {
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	_, err := client.Expect(201, "PUT", location+separator+"digest="+url.QueryEscape(digest), body, "application/octet-stream")
	return err
}

// PushBlob uploads a blob as docker does: POST, PATCH, PUT.
func (client *Client) PushBlob(repository string, blob []byte) error {
	location, err := client.StartUpload(repository)
	if err != nil {
		return err
	}
	if location, err = client.Patch(location, blob); err != nil {
		return err
	}
	return client.Commit(location, Digest(blob), nil)
}

// PutManifest stores a manifest under a tag or digest.
func (client *Client) PutManifest(repository, reference string, manifest []byte) error {
	_, err := client.Expect(201, "PUT", "/v2/"+repository+"/manifests/"+reference, manifest, ManifestType)
	return err
}

// Digest is the sha256 digest of bytes, as OCI writes it.
func Digest(bytes []byte) string {
	sum := sha256.Sum256(bytes)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Manifest is that of an image.
func Manifest(config []byte, layers ...[]byte) []byte {
	var text strings.Builder
	fmt.Fprintf(&text, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[`, ManifestType, descriptor(ConfigType, config))
	for index, layer := range layers {
		if index > 0 {
			text.WriteByte(',')
		}
		text.WriteString(descriptor(LayerType, layer))
	}
	text.WriteString("]}")
	return []byte(text.String())
}

func descriptor(mediaType string, bytes []byte) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, Digest(bytes), len(bytes))
}

// Referrer is the manifest of an artifact that names an image as its subject.
func Referrer(empty, subject []byte, number int) []byte {
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":"application/vnd.example.bench","config":%s,"layers":[%s],"subject":%s,"annotations":{"number":"%d"}}`,
		ManifestType, descriptor("application/vnd.oci.empty.v1+json", empty), descriptor("application/vnd.oci.empty.v1+json", empty),
		descriptor(ManifestType, subject), number))
}
