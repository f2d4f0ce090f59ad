//! Pods: many namespaces on each of several nodes, with host names and addresses of their own.
//!
//! A node is a machine; its number follows the last hyphen of its host name. A pod is a namespace with
//! an instance of NSTYPE `pod`, which reads its settings from the [`record`] that is written here.
//!
//! Uses `systemd`, `namespace`, `instance` and `sys`.

pub mod addresses;
pub mod network;
pub mod ping;
mod plan;
pub mod record;
pub mod routes;
pub mod set;
pub mod settings;
mod workers;
