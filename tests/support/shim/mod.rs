//! A disk under the real binary that fails as it is told to: a library loaded before the C library.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What is written to the plan of a disk that is well.
const WELL: &str = "well\n";

/// Where the plan of one server is.
pub struct Disk {
    plan: PathBuf,
}

fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/shim/shim.c");
        let name = format!("shim-{}.so", std::process::id());
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"];
        let built = Command::new("cc").args(flags).arg(&to).arg(source).arg("-ldl").status();
        let built = built.expect("cc runs");
        assert!(built.success(), "cc could not build the shim");
        to
    })
}

impl Disk {
    /// Puts a server's data folder on such a disk.
    pub fn under(folder: &Path, command: &mut Command) -> Disk {
        let disk = Disk { plan: folder.join("plan") };
        disk.well();
        command.env("LD_PRELOAD", library());
        command.env("ARMSPAN_SHIM_DIR", folder.join("data"));
        command.env("ARMSPAN_SHIM_PLAN", &disk.plan);
        disk
    }

    /// From now on it fails so; see the words in `shim.c`.
    pub fn fails(&self, how: &str) {
        let beside = self.plan.with_extension("new");
        std::fs::write(&beside, format!("{how}\n")).expect("a plan");
        std::fs::rename(beside, &self.plan).expect("a plan");
    }

    /// From now on it does what it is asked to.
    pub fn well(&self) {
        self.fails(WELL);
    }
}
