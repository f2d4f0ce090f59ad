//! Services in network namespaces: attached ones, and published ports.
//!
//! Uses `systemd`, `instance` and `sys`.

pub mod attach;
pub mod publish;
