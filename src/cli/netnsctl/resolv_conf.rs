use anyhow::Result;
use clap::Args;

use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::instance::resolv_conf::{ResolvConf, is_domain, is_server, lines};
use crate::sys::log;
use crate::sys::user::require_root;

/// Set the name servers of an instance in /etc/netns/NSNAME/resolv.conf
///
/// The type library runs this. Each instance has a section of its own in the file.
#[derive(Debug, Args)]
#[command(
    hide = true,
    after_help = "Example: netnsctl resolv-conf veth@web 192.0.2.53 --search example.com"
)]
pub struct SetResolvConf {
    /// Remove all name servers of the instance from the file
    #[arg(long, conflicts_with_all = ["source", "search", "servers"])]
    remove: bool,

    /// Source of the name servers, such as dhcp4, if the instance has several
    #[arg(long, value_name = "WORD")]
    source: Option<String>,

    /// Domain to search names in (can be repeated)
    #[arg(long, value_name = "DOMAIN")]
    search: Vec<String>,

    /// Instance that the name servers belong to
    #[arg(value_name = "NSTYPE@NSNAME")]
    instance: Instance,

    /// Addresses of name servers
    #[arg(value_name = "ADDRESS")]
    servers: Vec<String>,
}

impl SetResolvConf {
    pub fn run(&self, root: &Root) -> Result<u8> {
        require_root()?;
        let file = ResolvConf::of(root, &self.instance.nsname);
        let mut owner = self.instance.to_string();
        if self.remove {
            file.remove_all(&owner)?;
            return Ok(0);
        }
        if let Some(source) = self.source.as_ref().filter(|source| is_domain(source)) {
            owner = format!("{owner} {source}");
        }
        let servers = valid(&self.servers, is_server, "an IP address");
        let search: Vec<&str> = valid(&self.search, is_domain, "a domain").collect();
        if !file.set(&owner, &lines(servers, &search))? {
            log::warn(&format!(
                "{} was not written by systemd-netns, leaving it alone",
                file.path.display()
            ));
        }
        Ok(0)
    }
}

/// The valid words, with a warning for each other: they may come from the network, where an invalid
/// one must not fail the start.
fn valid<'a>(
    words: &'a [String],
    is_valid: fn(&str) -> bool,
    what: &str,
) -> impl Iterator<Item = &'a str> {
    words.iter().map(String::as_str).filter(move |word| {
        let valid = is_valid(word);
        if !valid {
            log::warn(&format!("ignoring '{word}', which is not {what}"));
        }
        valid
    })
}
