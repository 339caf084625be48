//! Images made from nothing: OCI layouts and docker archives whose bytes depend only on a seed.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Media types of what is made here.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Something stored in a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) media_type: &'static str,
    /// `sha256:` and 64 hexadecimal digits.
    pub(crate) digest: String,
    /// Bytes.
    pub(crate) size: u64,
}

impl Blob {
    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size })
    }

    /// The digest without its algorithm.
    pub(crate) fn hex(&self) -> &str {
        self.digest.strip_prefix("sha256:").expect("layouts here are sha256")
    }
}

/// What an image should be like; the same values make the same digests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageSpec {
    /// Two images share a layer only when they share a seed.
    pub(crate) seed: u64,
    pub(crate) layers: usize,
    /// Bytes of the one file in each layer; the layer is a tar of it and so a little larger.
    pub(crate) layer_bytes: u64,
    /// `amd64`, `arm64`: of `linux`.
    pub(crate) architecture: &'static str,
}

impl ImageSpec {
    /// An image for `linux/amd64`.
    pub(crate) fn new(seed: u64, layers: usize, layer_bytes: u64) -> Self {
        Self { seed, layers, layer_bytes, architecture: "amd64" }
    }
}

/// An OCI image layout on disk.
pub(crate) struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// An empty layout in a new directory.
    pub(crate) fn create(directory: &Path) -> Self {
        fs::create_dir_all(directory.join("blobs/sha256")).expect("a directory");
        fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
        let layout = Self { directory: directory.to_owned() };
        layout.write_index(&[]);
        layout
    }

    /// A layout with one image under `tag`, and the image's manifest.
    pub(crate) fn with_image(directory: &Path, spec: ImageSpec, tag: &str) -> (Self, Blob) {
        let layout = Self::create(directory);
        let manifest = layout.add_image(spec);
        layout.tag(&manifest, tag);
        (layout, manifest)
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of a blob.
    pub(crate) fn path(&self, blob: &Blob) -> PathBuf {
        self.directory.join("blobs/sha256").join(blob.hex())
    }

    /// The bytes of a blob.
    pub(crate) fn read(&self, blob: &Blob) -> Vec<u8> {
        fs::read(self.path(blob)).expect("a blob of this layout")
    }

    /// Stores bytes.
    pub(crate) fn add_blob(&self, media_type: &'static str, bytes: &[u8]) -> Blob {
        self.add(media_type, |file| file.write_all(bytes))
    }

    /// Stores a layer: a tar with one file of `bytes` bytes that no compression makes smaller.
    pub(crate) fn add_layer(&self, seed: u64, bytes: u64) -> Blob {
        self.add(LAYER, |file| {
            write_tar_entry(file, &format!("data-{seed:x}"), bytes, &mut pseudo_random(seed).take(bytes))?;
            file.write_all(&[0; 1024])
        })
    }

    /// Stores an image with its layers and its configuration.
    pub(crate) fn add_image(&self, spec: ImageSpec) -> Blob {
        let layers: Vec<_> = (0..spec.layers as u64)
            .map(|number| self.add_layer(spec.seed.wrapping_mul(1000) + number, spec.layer_bytes))
            .collect();
        // The layers are not compressed, so the digest of a layer is its diff_id too.
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer.digest.as_str()).collect();
        let history: Vec<_> = (0..spec.layers)
            .map(|number| json!({ "created": "2026-01-02T03:04:05Z", "created_by": format!("layer {number}") }))
            .collect();
        let config = json!({
            "architecture": spec.architecture,
            "os": "linux",
            "created": "2026-01-02T03:04:05Z",
            "config": { "Cmd": ["/nothing"], "Labels": { "seed": spec.seed.to_string() } },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": history,
        });
        let config = self.add_blob(CONFIG, config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
        });
        self.add_blob(MANIFEST, manifest.to_string().as_bytes())
    }

    /// Stores an index over images, one a platform.
    pub(crate) fn add_index(&self, images: &[(Blob, &str)]) -> Blob {
        let manifests: Vec<_> = images
            .iter()
            .map(|(image, architecture)| {
                let mut descriptor = image.descriptor();
                descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
                descriptor
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        self.add_blob(INDEX, index.to_string().as_bytes())
    }

    /// Gives a manifest a name in `index.json`.
    pub(crate) fn tag(&self, manifest: &Blob, tag: &str) {
        let mut descriptor = manifest.descriptor();
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        let mut entries = self.index_entries();
        entries.push(descriptor);
        self.write_index(&entries);
    }

    /// What an image is made of, in the order of its manifest: the configuration, then the layers.
    pub(crate) fn parts(&self, image: &Blob) -> Vec<Blob> {
        let manifest: Value = serde_json::from_slice(&self.read(image)).expect("a manifest of this layout");
        let layers =
            manifest["layers"].as_array().expect("an image manifest").iter().map(|layer| (LAYER, layer));
        [(CONFIG, &manifest["config"])]
            .into_iter()
            .chain(layers)
            .map(|(media_type, descriptor)| Blob {
                media_type,
                digest: descriptor["digest"].as_str().expect("a digest").to_owned(),
                size: descriptor["size"].as_u64().expect("a size"),
            })
            .collect()
    }

    /// Writes the image as `docker load` reads it, named `repository:tag`.
    pub(crate) fn write_docker_archive(&self, image: &Blob, name: &str, archive: &Path) {
        let parts = self.parts(image);
        let (config, layers) = parts.split_first().expect("an image has a configuration");
        let config_name = format!("{}.json", config.hex());
        let layer_names: Vec<_> = layers.iter().map(|layer| format!("{}/layer.tar", layer.hex())).collect();
        let listing =
            json!([{ "Config": config_name, "RepoTags": [name], "Layers": layer_names }]).to_string();

        let mut file = BufWriter::new(File::create(archive).expect("a file"));
        for (part, part_name) in parts.iter().zip([config_name].iter().chain(&layer_names)) {
            let mut bytes = BufReader::new(File::open(self.path(part)).expect("a blob of this layout"));
            write_tar_entry(&mut file, part_name, part.size, &mut bytes).expect("a written archive");
        }
        let length = listing.len() as u64;
        write_tar_entry(&mut file, "manifest.json", length, &mut listing.as_bytes())
            .expect("a written archive");
        file.write_all(&[0; 1024]).and_then(|()| file.flush()).expect("a written archive");
    }

    fn add(&self, media_type: &'static str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Blob {
        let file = tempfile::NamedTempFile::new_in(&self.directory).expect("a file");
        let mut hashing = Hashing { hasher: Sha256::new(), size: 0, file: BufWriter::new(file) };
        write(&mut hashing).expect("a written blob");
        let hex: String = hashing.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let blob = Blob { media_type, digest: format!("sha256:{hex}"), size: hashing.size };
        let file = hashing.file.into_inner().expect("a written blob");
        file.persist(self.path(&blob)).expect("a file with its final name");
        blob
    }

    fn index_entries(&self) -> Vec<Value> {
        let text = fs::read(self.directory.join("index.json")).expect("a layout has an index");
        let index: Value = serde_json::from_slice(&text).expect("we wrote it");
        index["manifests"].as_array().expect("we wrote it").clone()
    }

    fn write_index(&self, entries: &[Value]) {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        fs::write(self.directory.join("index.json"), index.to_string()).expect("a file");
    }
}

struct Hashing<W> {
    hasher: Sha256,
    size: u64,
    file: W,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// An endless stream of bytes that depends only on the seed (xorshift64*).
pub(crate) fn pseudo_random(seed: u64) -> impl Read + Send + 'static {
    struct Stream {
        state: u64,
        word: [u8; 8],
        used: usize,
    }
    impl Stream {
        fn next_word(&mut self) -> [u8; 8] {
            self.state ^= self.state >> 12;
            self.state ^= self.state << 25;
            self.state ^= self.state >> 27;
            self.state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes()
        }
    }
    impl Read for Stream {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let left_over = buffer.len().min(8 - self.used);
            let (head, rest) = buffer.split_at_mut(left_over);
            head.copy_from_slice(&self.word[self.used..self.used + left_over]);
            self.used += left_over;
            let mut words = rest.chunks_exact_mut(8);
            for word in &mut words {
                word.copy_from_slice(&self.next_word());
            }
            let tail = words.into_remainder();
            if !tail.is_empty() {
                self.word = self.next_word();
                self.used = tail.len();
                tail.copy_from_slice(&self.word[..self.used]);
            }
            Ok(left_over + rest.len())
        }
    }
    // The generator has one fixed point, zero; neighbouring seeds must not give neighbouring streams.
    let state = (seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9) | 1;
    Stream { state, word: [0; 8], used: 8 }
}

/// One ustar entry: header, content, padding to 512 bytes.
fn write_tar_entry(tar: &mut dyn Write, name: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
    let mut header = [0_u8; 512];
    let mut put =
        |offset: usize, text: &str| header[offset..offset + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "15124320205\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.write_all(&header)?;
    let copied = io::copy(content, tar)?;
    assert_eq!(copied, size, "a tar entry has the size that its header says");
    let padding = (512 - size % 512) % 512;
    tar.write_all(&[0; 512][..usize::try_from(padding).expect("less than 512")])
}
