//! What the files of the repository must agree on: sources, manual pages, types, licences. Nothing is run as
//! root, and nothing of the system is touched.

mod docs;
mod layers;
mod licences;
mod man;
mod release;
mod types;

use std::path::{Path, PathBuf};

/// A path of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
