// Fills a registry by real pushes: plain and multi-platform images, attestations, a chart, signatures, a thousand tags,
// and an image that tries to become part of every page that shows it.
import { createHash, randomBytes } from "node:crypto";

const OCI = "application/vnd.oci.image";
export const MANIFEST = `${OCI}.manifest.v1+json`;
const INDEX = `${OCI}.index.v1+json`;
const CONFIG = `${OCI}.config.v1+json`;
const LAYER = `${OCI}.layer.v1.tar+gzip`;
const EMPTY = "application/vnd.oci.empty.v1+json";

/** Tries to run, to load, to leave its place, and to turn text round. */
export const ATTACK = `"'><script>window.owned=1</script><img src=x onerror=window.owned=1>{{7*7}}<style>*{display:none}</style>\u202egpj.exe`;

const digestOf = (bytes) => "sha256:" + createHash("sha256").update(bytes).digest("hex");

/** A registry as a client sees it. */
export class Registry {
  constructor(url, user, password) {
    this.url = url;
    this.authorization = "Basic " + Buffer.from(`${user}:${password}`).toString("base64");
  }

  async ask(method, path, { body, type } = {}) {
    const headers = { authorization: this.authorization };
    if (type) headers["content-type"] = type;
    const answer = await fetch(new URL(path, this.url), { method, body, headers, redirect: "manual" });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }

  async blob(name, mediaType, content, annotations) {
    const bytes = Buffer.from(content);
    const digest = digestOf(bytes);
    const begun = await this.ask("POST", `/v2/${name}/blobs/uploads/`);
    const location = new URL(begun.headers.get("location"), this.url);
    location.searchParams.set("digest", digest);
    await this.ask("PUT", location.pathname + location.search, { body: bytes, type: "application/octet-stream" });
    return { mediaType, digest, size: bytes.length, ...(annotations && { annotations }) };
  }

  async manifest(name, tags, manifest) {
    const bytes = Buffer.from(JSON.stringify(manifest));
    const digest = digestOf(bytes);
    const query = tags.length > 1 ? "?" + tags.map((tag) => `tag=${tag}`).join("&") : "";
    const reference = tags.length === 1 ? tags[0] : digest;
    await this.ask("PUT", `/v2/${name}/manifests/${reference}${query}`, { body: bytes, type: manifest.mediaType });
    return { mediaType: manifest.mediaType, digest, size: bytes.length };
  }

  async image(name, tags, { architecture = "amd64", layers, config = {}, history, annotations } = {}) {
    const made = [];
    for (const layer of layers ?? [randomBytes(2000)]) made.push(await this.blob(name, LAYER, layer));
    const whole = { os: "linux", architecture, created: "2026-03-01T10:20:30Z", config, history, rootfs: { type: "layers", diff_ids: [] } };
    return this.manifest(name, tags, {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: await this.blob(name, CONFIG, JSON.stringify(whole)),
      layers: made,
      annotations,
    });
  }

  async artifact(name, tags, artifactType, { config, files, subject, annotations } = {}) {
    const layers = [];
    for (const [mediaType, content, about] of files) layers.push(await this.blob(name, mediaType, content, about));
    const [configType, configText] = config ?? [EMPTY, "{}"];
    const manifest = { schemaVersion: 2, mediaType: MANIFEST, config: await this.blob(name, configType, configText), layers, annotations };
    if (artifactType) manifest.artifactType = artifactType;
    if (subject) manifest.subject = subject;
    return this.manifest(name, tags, manifest);
  }
}

const base = randomBytes(400_000);

async function webImage(registry) {
  const layers = (extra) => [base, randomBytes(120_000), randomBytes(extra)];
  const config = {
    Entrypoint: ["/usr/bin/tini", "--"],
    Cmd: ["node", "server.js"],
    Env: ["PATH=/usr/local/bin:/usr/bin:/bin", "NODE_VERSION=22.4.1", "DATABASE_URL=postgres://app:hunter2@db:5432/app", "API_TOKEN=abc123"],
    User: "node",
    WorkingDir: "/app",
    ExposedPorts: { "8080/tcp": {} },
    Labels: { "org.opencontainers.image.source": "https://example.org/team/web", "org.opencontainers.image.revision": "3f2a1b7", maintainer: "team@example.org" },
  };
  const history = [
    { created_by: "/bin/sh -c #(nop) ADD file:9d2a1b in / " },
    { created_by: '/bin/sh -c #(nop)  CMD ["bash"]', empty_layer: true },
    { created_by: "RUN /bin/sh -c apt-get update && apt-get install --yes tini && rm -rf /var/lib/apt/lists/* # buildkit" },
    { created_by: "WORKDIR /app", empty_layer: true },
    { created_by: "COPY . /app # buildkit" },
  ];
  const other = { ...config, Cmd: ["node", "--enable-source-maps", "server.js"], Env: [...config.Env.slice(0, 1), "NODE_VERSION=22.5.0"] };
  await registry.image("team/web", ["1.9.0"], { layers: layers(50_000), config, history });
  await registry.image("team/web", ["1.10.0"], { layers: layers(60_000), config: other, history });
  const amd64 = await registry.image("team/web", [], { layers: layers(61_000), config: other, history });
  const arm64 = await registry.image("team/web", [], { architecture: "arm64", layers: layers(59_000), config: other, history });
  const statement = (type) => ["application/vnd.in-toto+json", JSON.stringify({ predicateType: type, nonce: randomBytes(9).toString("hex") }), { "in-toto.io/predicate-type": type }];
  const children = [];
  for (const [image, architecture] of [[amd64, "amd64"], [arm64, "arm64"]]) {
    children.push({ ...image, platform: { os: "linux", architecture } });
    const attestation = await registry.artifact("team/web", [], null, {
      config: [CONFIG, JSON.stringify({ architecture: "unknown", os: "unknown", about: image.digest })],
      files: [statement("https://spdx.dev/Document"), statement("https://slsa.dev/provenance/v0.2")],
    });
    const about = { "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest };
    children.push({ ...attestation, platform: { os: "unknown", architecture: "unknown" }, annotations: about });
  }
  const index = await registry.manifest("team/web", ["1.11.0"], { schemaVersion: 2, mediaType: INDEX, manifests: children });
  await registry.artifact("team/web", [], "application/spdx+json", {
    files: [["application/spdx+json", '{"spdxVersion":"SPDX-2.3"}', { "org.opencontainers.image.title": "sbom.spdx.json" }]],
    subject: index,
    annotations: { "org.opencontainers.image.created": "2026-03-02T00:00:00Z" },
  });
  // As cosign 2 keeps it: under a tag made of the digest, with the configuration type of images.
  await registry.artifact("team/web", [index.digest.replace(":", "-") + ".sig"], null, {
    config: [CONFIG, JSON.stringify({ architecture: "", os: "" })],
    files: [["application/vnd.dev.cosign.simplesigning.v1+json", '{"critical":{}}', { "dev.cosignproject.cosign/signature": "MEUCIQ==" }]],
  });
}

async function chart(registry) {
  const about = { name: "web", version: "1.2.0+build.7", description: "The web service and its database", appVersion: "1.11.0", apiVersion: "v2" };
  await registry.artifact("charts/web", ["1.2.0_build.7"], null, {
    config: ["application/vnd.cncf.helm.config.v1+json", JSON.stringify(about)],
    files: [["application/vnd.cncf.helm.chart.content.v1.tar+gzip", randomBytes(4000)]],
  });
  await registry.artifact("lab/models", ["weights"], "application/vnd.example.model", {
    files: [["application/octet-stream", randomBytes(300_000), { "org.opencontainers.image.title": "weights.bin" }], ["text/markdown", "# Model", { "org.opencontainers.image.title": "README.md" }]],
  });
}

async function thousandTags(registry) {
  const names = Array.from({ length: 1000 }, (_, number) => `build-${String(number).padStart(4, "0")}`);
  for (let at = 0; at < names.length; at += 10) {
    await registry.image("ci/nightly", names.slice(at, at + 10), { layers: [base, randomBytes(1000 + at)] });
  }
}

async function hostile(registry) {
  const labels = { [ATTACK]: ATTACK, link: "javascript:window.owned=1", link2: "data:text/html,<script>window.owned=1</script>", "org.opencontainers.image.source": "javascript:window.owned=1" };
  for (let number = 0; number < 3000; number++) labels[`label-${number}`] = "x".repeat(100);
  const config = { Labels: labels, Env: [ATTACK, `A=${ATTACK}`], Cmd: [ATTACK], Entrypoint: [ATTACK], User: ATTACK, WorkingDir: ATTACK, ExposedPorts: { [ATTACK]: {} }, Volumes: { [ATTACK]: {} }, StopSignal: ATTACK };
  const history = [{ created_by: ATTACK, comment: ATTACK }, { created_by: ATTACK.repeat(60) }, { created_by: "RUN " + ATTACK, empty_layer: true }];
  const annotations = { [ATTACK]: ATTACK, "org.opencontainers.image.title": ATTACK, "org.opencontainers.image.base.name": ATTACK + "\nRUN evil" };
  await registry.image("hostile/app", ["v1"], { layers: [ATTACK + "1", ATTACK + "2"], config, history, annotations });
  // Ten megabytes of labels: more than a summary reads.
  await registry.image("hostile/app", ["huge"], { config: { Labels: { big: "y".repeat(10 << 20) } }, layers: [ATTACK] });
  const index = await registry.image("hostile/app", [], { architecture: ATTACK, layers: [ATTACK] });
  await registry.manifest("hostile/app", ["index"], {
    schemaVersion: 2,
    mediaType: INDEX,
    manifests: [{ ...index, platform: { os: ATTACK, architecture: ATTACK, variant: ATTACK }, artifactType: ATTACK }],
    annotations,
  });
  await registry.artifact("hostile/app", ["artifact"], ATTACK, {
    config: [ATTACK, JSON.stringify({ [ATTACK]: ATTACK })],
    files: [[ATTACK, ATTACK, { "org.opencontainers.image.title": ATTACK }]],
    subject: index,
    annotations,
  });
}

/** Everything the pages are looked at with. */
export async function fill(registry) {
  await webImage(registry);
  await chart(registry);
  await thousandTags(registry);
  await hostile(registry);
  for (const size of [80_000, 90_000]) await registry.image("team/worker", ["latest"], { layers: [base, randomBytes(size)] });
  await registry.image("lab/untagged", [], {});
  await registry.image("scratch/looked-at", ["one", "two"], {});
  await registry.image("lab/mri/preprocessing", ["2024.1"], { layers: [base, randomBytes(700_000)] });
  await registry.image("hello-world", ["latest"], {});
}
