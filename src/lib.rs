//! Configured network namespaces as systemd services.
//!
//! An administrator writes four bash functions for an NSTYPE, and `netns-NSTYPE@NSNAME.service`
//! creates the namespace NSNAME and calls them outside and inside it. The modules are layers:
//! each uses only those above it in this list.

pub mod sys;

pub mod instance;

pub mod namespace;
pub mod systemd;

pub mod migrate;
pub mod phase;
pub mod service;
pub mod update;

pub mod check;
pub mod inventory;
pub mod lifecycle;

pub mod container;
pub mod pods;

pub mod cli;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
