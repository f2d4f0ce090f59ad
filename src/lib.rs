//! Configured network namespaces as systemd services.
//!
//! An administrator writes four bash functions for an NSTYPE, and `netns-NSTYPE@NSNAME.service`
//! creates the namespace NSNAME and calls them outside and inside it. The modules are rooms on
//! floors: each uses only what stands above it in this list, and no two use each other.

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
