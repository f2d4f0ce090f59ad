//! systemd: the names and files of units, the system manager, and services.
//!
//! Uses `instance` and `sys`.

pub mod change;
pub mod instances;
pub mod manager;
pub mod service;
pub mod unit;
