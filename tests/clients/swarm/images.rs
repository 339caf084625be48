//! Images of the test's own, on Debian's static busybox.

use std::fs;

use crate::support::cluster::Node;

/// Builds `name` with `text` at the root of a web server; its full name.
#[track_caller]
pub(super) fn build(node: &Node, name: &str, text: &str) -> String {
    let busybox = "/usr/bin/busybox";
    assert!(fs::exists(busybox).is_ok_and(|there| there), "missing: apt-get install busybox-static");
    let context = tempfile::tempdir_in(node.path()).expect("a directory");
    fs::copy(busybox, context.path().join("busybox")).expect("a copy of busybox");
    fs::write(context.path().join("text"), text).expect("a file");
    // Layers that a pull takes some time for, and that no other image has.
    let filler: Vec<u8> = (0..4_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(context.path().join("filler"), [filler, name.as_bytes().to_vec()].concat()).expect("a file");
    let recipe = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY filler /filler\nCOPY text /www/text\n\
                  ENTRYPOINT [\"/bin/busybox\"]\nCMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n";
    fs::write(context.path().join("Dockerfile"), recipe).expect("a file");
    let name = format!("registry.test:5000/{name}");
    node.docker(&format!("build --quiet --tag {name} {}", context.path().display()));
    name
}

/// Pushes an image and forgets it here, so that what runs has to come from the registry; its digest.
#[track_caller]
pub(super) fn push(node: &Node, name: &str) -> String {
    let said = node.docker(&format!("push {name}"));
    let start = said.rfind("sha256:").unwrap_or_else(|| panic!("no digest in: {said}"));
    node.docker(&format!("rmi {name}"));
    said[start..start + "sha256:".len() + 64].to_owned()
}
