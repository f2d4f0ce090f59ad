//! The configuration: names of types and namespaces, the four phases, files and paths.
//!
//! Uses `sys`.

pub mod name;
pub mod paths;
pub mod phase;
pub mod register;
pub mod resolv_conf;
pub mod sources;
pub mod trust;
pub mod types;
