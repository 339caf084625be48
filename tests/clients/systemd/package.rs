//! The package as `config/deb/build` makes it, and one of a higher version.

use std::fs;
use std::path::Path;

use crate::support::{program, program_under_test, run};

/// Names below the directory that they were made in.
pub(super) struct Packages {
    pub(super) first: String,
    pub(super) second: String,
    pub(super) second_version: String,
}

impl Packages {
    #[track_caller]
    pub(super) fn build(directory: &Path) -> Self {
        // An unoptimised program is mostly what a debugger needs.
        let stripped = directory.join("pakhuis");
        run(program("strip", "binutils").arg("-o").arg(&stripped).arg(program_under_test()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/deb/build");
        let made = directory.join("first");
        let mut build = program("sh", "dash");
        // Uncompressed: that takes the guest less time; `files` has it as it is.
        build.env("DPKG_DEB_COMPRESSOR_TYPE", "none").arg(script).arg(stripped).arg(&made);
        run(&mut build);
        let first = fs::read_dir(&made).expect("a directory").next().expect("a package").expect("an entry");
        let first = first.file_name().into_string().expect("UTF-8");
        let second_version = format!("{}+next", env!("CARGO_PKG_VERSION"));
        let second = "next.deb".to_owned();
        higher_version(&made.join(&first), &directory.join(&second), &second_version);
        Self { first: format!("first/{first}"), second, second_version }
    }
}

/// The same with a number of its own, and a changed example of the configuration.
fn higher_version(first: &Path, second: &Path, version: &str) {
    let tree = second.with_extension("tree");
    run(program("dpkg-deb", "dpkg").arg("--raw-extract").arg(first).arg(&tree));
    let change = |name: &str, change: &dyn Fn(String) -> String| {
        let file = tree.join(name);
        fs::write(&file, change(fs::read_to_string(&file).expect("a file"))).expect("a file");
    };
    let field = |version: &str| format!("\nVersion: {version}\n");
    change("DEBIAN/control", &|text| text.replace(&field(env!("CARGO_PKG_VERSION")), &field(version)));
    change("etc/pakhuis/pakhuis.toml", &|text| text + "# Of the next version.\n");
    let mut build = program("dpkg-deb", "dpkg");
    run(build.args(["-Znone", "--root-owner-group", "--build"]).arg(tree).arg(second));
}
