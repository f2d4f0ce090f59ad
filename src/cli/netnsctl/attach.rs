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

/// Have a service run in a network namespace
///
/// Writes a drop-in for it: the service needs the namespace, runs in it, and sees the files of
/// /etc/netns/NSNAME in place of those in /etc. It takes effect when the service is started again.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl attach nginx veth@web --now
         netnsctl attach app@.service wireguard@vpn nft@vpn --strict-dns")]
pub struct Attach {
    /// Restart it at once
    #[arg(long, conflicts_with = "print")]
    now: bool,

    /// Let it ask nobody for names but the name servers of the namespace
    #[arg(long)]
    strict_dns: bool,

    /// Let it run on when the units of the namespace stop or restart
    #[arg(long)]
    keep: bool,

    /// A name server for the namespace; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,

    /// Let it use the /etc/resolv.conf of the host
    #[arg(long, conflicts_with_all = ["dns", "strict_dns"])]
    host_dns: bool,

    /// Only show what would be written
    #[arg(long)]
    print: bool,

    /// Which service; a template such as app@.service stands for all its instances
    service: ServiceName,

    /// The namespace, and a type that it has to have; all that are given are required
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
                "{socket} goes on listening where it does, outside unless it was told otherwise: \
                 {} takes its connections in the namespace",
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
            "{} is attached to the network namespace '{name}'",
            plan.service
        ));
        restart(manager.as_ref(), &plan.service, self.now)
    }
}
