//! The helpers of the guests, compiled here.

use std::path::{Path, PathBuf};

use crate::support::{program, run};

/// The two helpers in C of User Mode Linux, compiled.
pub(super) struct Helpers {
    /// Raises the interrupt that a guest missed; see `uml_wakeup.c`.
    pub(super) wakeup: PathBuf,
    /// Preloaded into a guest; see `uml_readv.c`.
    pub(super) readv: PathBuf,
}

impl Helpers {
    pub(super) fn compile(directory: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nfs");
        let helpers = Self { wakeup: directory.join("uml_wakeup"), readv: directory.join("uml_readv.so") };
        let compile = |flags: &[&str], name: &str, made: &Path| {
            let mut command = program("gcc", "gcc");
            run(command
                .args(["-O2", "-Wall", "-Werror"])
                .args(flags)
                .arg("-o")
                .arg(made)
                .arg(source.join(name)));
        };
        compile(&[], "uml_wakeup.c", &helpers.wakeup);
        compile(&["-shared", "-fPIC"], "uml_readv.c", &helpers.readv);
        helpers
    }
}
