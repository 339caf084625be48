//! What must be true of the files of a volume, whatever was killed.

use std::fs;
use std::path::Path;

use crate::support::sha256;

/// Nothing half written is visible, whether a manifest names it or not: a link is one digest without a
/// newline, and a blob has the digest that it is filed under. Gives the number of each.
pub(super) fn check_volume(root: &Path) -> (u64, u64) {
    let (mut links, mut blobs) = (0, 0);
    let mut to_do = vec![root.join("docker/registry/v2/repositories"), root.join("docker/registry/v2/blobs")];
    while let Some(directory) = to_do.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the volume") {
            let path = entry.expect("an entry of the volume").path();
            if path.is_dir() {
                // What an upload has so far is nobody's business but its own.
                to_do.extend((path.file_name() != Some("_uploads".as_ref())).then_some(path));
                continue;
            }
            match path.file_name().and_then(|name| name.to_str()) {
                Some("link") => {
                    let link = fs::read_to_string(&path).expect("a readable link");
                    assert!(
                        link.len() == 71 && link.starts_with("sha256:"),
                        "{} is {link:?}",
                        path.display()
                    );
                    links += 1;
                }
                Some("data") => {
                    let filed_under = directory.file_name().expect("a digest").to_string_lossy();
                    let found = sha256(&fs::read(&path).expect("a readable blob"));
                    assert_eq!(found, format!("sha256:{filed_under}"), "{}", path.display());
                    blobs += 1;
                }
                // A crash may leave a temporary file; it must only never be taken for the thing itself.
                _ => {}
            }
        }
    }
    (links, blobs)
}
