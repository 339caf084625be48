package main

// row is one line of the comparison.
type row struct {
	name  string
	title string
	// unit of the throughput and of the CPU time.
	unit string
	load load
	// cost of the bcrypt hash of the user; 5 where it is not said.
	cost int
	// bar is the most CPU that ours may use for a unit, as a part of what the reference uses in the same run.
	bar float64
	// throughput is the least that ours must reach, as a multiple of the reference's.
	throughput float64
	// withNginx: nginx serves the same file beside the registries, and ours must use less CPU.
	withNginx bool
}

const (
	defaultCost = 5
	highCost    = 10
)

// The bars are those of the project's issue on speed.
var rows = []row{
	{name: "pull", title: "pull of 256 MiB blobs, HTTP/1.1", unit: "GB", load: pull(1, false), bar: 0.80, throughput: 1, withNginx: true},
	{name: "pull-4", title: "pull of 256 MiB blobs, HTTP/1.1, 4 at once", unit: "GB", load: pull(4, false), bar: 0.80, throughput: 1, withNginx: true},
	{name: "pull-http2", title: "pull of 256 MiB blobs, HTTP/2, 2 at once", unit: "GB", load: pull(2, true), bar: 0.50, throughput: 1},
	{name: "push", title: "push of 256 MiB blobs", unit: "GB", load: push(1), bar: 0.40, throughput: 1},
	{name: "push-4", title: "push of 256 MiB blobs, 4 at once", unit: "GB", load: push(4), bar: 0.40, throughput: 1},
	{name: "manifest-get", title: "GET manifest by tag, Basic auth, bcrypt cost 5", unit: "request", load: repeat(32, "GET", manifestByTag), bar: 0.03, throughput: 1},
	{name: "manifest-head", title: "HEAD manifest by tag, Basic auth, bcrypt cost 5", unit: "request", load: repeat(32, "HEAD", manifestByTag), bar: 0.03, throughput: 1},
	{name: "manifest-cost10", title: "GET manifest by tag, Basic auth, bcrypt cost 10", unit: "request", load: repeat(32, "GET", manifestByTag), cost: highCost, bar: 0.001, throughput: 1},
	{name: "images", title: "push of images of 5 layers of 4 KiB, 8 at once", unit: "image", load: images, bar: 0.10, throughput: 8},
	{name: "tags", title: "tags/list, pages of 100 of 10,000", unit: "page", load: repeat(8, "GET", tagsPage), bar: 0.05, throughput: 1},
	{name: "catalog", title: "_catalog, pages of 100 of 10,000 repositories", unit: "page", load: repeat(8, "GET", catalogPage), bar: 0.10, throughput: 1},
}
