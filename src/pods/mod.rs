//! Pods: many namespaces on each of several nodes, with host names and addresses of their own.
//!
//! A node is a machine; its number is what follows the last hyphen of its host name. A pod is a
//! namespace with an instance of NSTYPE `pod`, which reads its settings from the [`record`] that
//! this room writes.

pub mod addresses;
pub mod crew;
pub mod network;
pub mod ping;
pub mod record;
pub mod routes;
pub mod set;
pub mod settings;
