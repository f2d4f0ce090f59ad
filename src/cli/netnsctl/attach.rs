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
use crate::systemd::manager::Manager;
use crate::systemd::service::ServiceName;

/// Run a service in a network namespace
///
/// Writes a drop-in for the service, with which it requires the namespace, runs in it, and sees the
/// files of /etc/netns/NSNAME in place of those of /etc. The change takes effect when the service
/// is restarted.
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

    /// Keep the service running when the namespace's units stop or restart
    #[arg(long)]
    keep: bool,

    /// Name server for the namespace (may be repeated)
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,

    /// Use the host's /etc/resolv.conf
    #[arg(long, conflicts_with_all = ["dns", "strict_dns"])]
    host_dns: bool,

    /// Print what would be written, but write nothing
    #[arg(long)]
    print: bool,

    /// Name of the service; a template, such as app@.service, stands for all its instances
    service: ServiceName,

    /// Type and network namespace; the service requires all that are given
    #[arg(required = true, value_name = "NSTYPE@NSNAME")]
    instances: Vec<Instance>,
}

impl Attach {
    pub fn run(&self, root: &Root) -> Result<u8> {
        let manager = Manager::running(root)?;
        let request = AttachRequest {
            service: &self.service,
            instances: &self.instances,
            strict_dns: self.strict_dns,
            keep: self.keep,
            host_dns: self.host_dns,
            dns: &self.dns,
        };
        if !self.print {
            require_root()?;
        }
        let plan = Attachment::new(root, manager.as_ref(), &request)?;
        for remark in &plan.remarks {
            log::warn(remark);
        }
        for socket in &plan.sockets {
            log::warn(&format!(
                "{socket} still listens where it did, by default on the host; {} accepts its \
                 connections inside the namespace",
                plan.service
            ));
        }
        if self.print {
            terminal::print(&plan.show())?;
            return Ok(0);
        }
        for remark in plan.apply(manager.as_ref())? {
            log::warn(&remark);
        }
        let name = &self.instances[0].nsname;
        log::info(&format!(
            "attached {} to network namespace '{name}'",
            plan.service
        ));
        restart(manager.as_ref(), &plan.service, self.now)
    }
}
