use std::net::IpAddr;

use anyhow::Result;
use clap::Args;

use crate::cli::output::restart;
use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::service::attach::{AttachRequest, Attachment};
use crate::sys::log;
use crate::sys::terminal;
use crate::sys::user::require_root;
use crate::systemd::change::Units;
use crate::systemd::manager::Manager;
use crate::systemd::service::ServiceName;

/// Run a service in a network namespace
///
/// Writes a drop-in with which the service requires the namespace, runs in it, and sees the files in
/// /etc/netns/NSNAME instead of those in /etc. It takes effect when the service is restarted.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl attach nginx veth@web --now
         netnsctl attach app@.service wireguard@vpn nft@vpn --strict-dns")]
pub struct Attach {
    /// Restart the service now
    #[arg(long, conflicts_with = "print")]
    now: bool,

    /// Resolve names only through the namespace's name servers
    #[arg(long)]
    strict_dns: bool,

    /// Keep the service running when the namespace stops or restarts
    #[arg(long)]
    keep: bool,

    /// Add a name server to the namespace (can be repeated)
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,

    /// Use the /etc/resolv.conf of the host
    #[arg(long, conflicts_with_all = ["dns", "strict_dns"])]
    host_dns: bool,

    /// Print the drop-in instead of writing it
    #[arg(long)]
    print: bool,

    /// Service unit; a template such as app@.service stands for all its instances
    service: ServiceName,

    /// Types of the namespace, all of which the service requires
    #[arg(required = true, value_name = "NSTYPE@NSNAME")]
    instances: Vec<Instance>,
}

impl Attach {
    pub fn run(&self, root: &Root) -> Result<u8> {
        if !self.print {
            require_root()?;
        }
        let manager = Manager::running(root)?;
        let request = AttachRequest {
            service: &self.service,
            instances: &self.instances,
            strict_dns: self.strict_dns,
            keep: self.keep,
            host_dns: self.host_dns,
            dns: &self.dns,
        };
        let units = match self.print {
            true => None,
            false => Some(Units::lock(root, manager.as_ref())?),
        };
        let attachment = Attachment::new(root, manager.as_ref(), &request)?;
        let service = &attachment.service;
        for remark in &attachment.remarks {
            log::warn(remark);
        }
        for socket in &attachment.sockets {
            log::warn(&format!(
                "{socket} still listens outside the namespace and passes its connections to \
                 {service} inside"
            ));
        }
        let Some(units) = units else {
            terminal::print(&attachment.shown)?;
            return Ok(0);
        };
        if let Some(remark) = attachment.apply(&units)? {
            log::warn(&remark);
        }
        // Other changes of units need not wait for the restart.
        drop(units);
        let name = &self.instances[0].nsname;
        log::info(&format!("attached {service} to network namespace '{name}'"));
        restart(manager.as_ref(), service, self.now)
    }
}
