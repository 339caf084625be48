//! Any bytes under any declared type: refused with a short reason, or a manifest of one meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pakhuis::oci::Manifest;

fuzz_target!(|input: (Option<&str>, &[u8])| {
    let (content_type, bytes) = input;
    match Manifest::parse(bytes, content_type) {
        Ok(manifest) => {
            assert_eq!(manifest.kind.is_index(), manifest.config.is_none());
            assert!(manifest.layers.is_empty() || manifest.manifests.is_empty());
            assert!(manifest.required_blobs().all(|blob| !blob.is_stored_elsewhere()));
            manifest.effective_artifact_type();
            // What is stored is read again without its declared type, and must then be a manifest too.
            let declared = Manifest::parse(bytes, Some(manifest.kind.media_type()));
            assert_eq!(declared.as_ref(), Ok(&manifest));
        }
        Err(error) => assert!(error.to_string().len() < 400),
    }
});
