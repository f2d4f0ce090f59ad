//! Configured network namespaces as systemd services.
//!
//! An administrator writes four bash functions for an NSTYPE, and `netns-NSTYPE@NSNAME.service`
//! makes the namespace NSNAME and calls them outside and inside it. The units run `netnsctl create`
//! ([`netns`]) and `netnsinit` ([`init`]), which finds the files of the instance ([`config`]), joins
//! the namespace, has bash run one function ([`script`]) and keeps what `down` will need ([`kept`]).
//! `netnsupdate` ([`update`]) gives every NSTYPE its units. What there is on a host
//! is read as data ([`view`], by [`netlink`]) that `netnsctl` shows ([`ctl`], [`graph`]). Paths come
//! from [`root`], names from [`name`], and every error leaves by [`exit`].

pub mod arguments;
pub mod attach;
pub mod check;
pub mod command;
pub mod config;
pub mod ctl;
pub mod drive;
pub mod exit;
pub mod file;
pub mod graph;
pub mod init;
pub mod kept;
pub mod leftovers;
pub mod manager;
pub mod name;
pub mod netlink;
pub mod netns;
pub mod phase;
pub mod progress;
pub mod publish;
pub mod requires;
pub mod root;
pub mod script;
pub mod service;
pub mod terminal;
pub mod types;
pub mod unit;
pub mod update;
pub mod user;
pub mod view;
