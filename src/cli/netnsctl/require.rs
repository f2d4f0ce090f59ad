use std::fs;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::attach::needs_root;
use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::service::attach::check_type;
use crate::sys::change::Change;
use crate::sys::file::Missing;
use crate::sys::log;
use crate::systemd::manager::Manager;
use crate::systemd::service;
use crate::update;
use crate::update::requires::{self, DROP_IN_OF_CTL, Need, OF_CTL};

/// Have a network namespace set up only after another, and with it
///
/// When the other stops or restarts, so does the first. The same as NETNS_REQUIRES in a file of
/// the instance, which netnsupdate puts in force.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl require veth@browser macvlan@store netns_name@db
         netnsctl require veth@browser netns_name@db --remove")]
pub struct Require {
    /// Do not require it any more
    #[arg(long)]
    remove: bool,

    /// What requires
    #[arg(value_name = "NSTYPE@NSNAME")]
    instance: Instance,

    /// What is required: NSTYPE@NSNAME, netns_name@NSNAME, or any unit in full
    #[arg(required = true, value_name = "REQUIRED", value_parser = Need::parse)]
    needs: Vec<Need>,
}

impl Require {
    pub fn run(&self, root: &Root) -> Result<u8> {
        needs_root(root)?;
        service::check_instance(&self.instance.nsname)?;
        if !self.remove {
            check_type(root, &self.instance)?;
            for need in &self.needs {
                if let Need::Type(nstype, requires::Name::Other(nsname)) = need {
                    let (nstype, nsname) = (nstype.clone(), nsname.clone());
                    check_type(root, &Instance { nstype, nsname })?;
                }
            }
        }
        let Instance { nstype, nsname } = &self.instance;
        let directory = requires::drop_in_dir(root, nstype, Some(nsname));
        let path = directory.join(DROP_IN_OF_CTL);
        let reading = || format!("reading {}", path.display());
        let old = fs::read_to_string(&path)
            .missing_ok()
            .with_context(reading)?;
        if old.as_ref().is_some_and(|old| !old.starts_with(OF_CTL)) {
            bail!("{} is not ours, and is left alone", path.display());
        }
        let mut all = old.as_deref().map(requires::needs_of).unwrap_or_default();
        for need in &self.needs {
            match (all.iter().position(|other| other == need), self.remove) {
                (Some(index), true) => {
                    all.remove(index);
                }
                (None, true) => bail!(
                    "{} does not require {} by 'netnsctl require': 'systemctl cat {}' shows what it does",
                    self.instance,
                    need.unit(),
                    crate::systemd::unit::Part::Outside.unit(nstype, nsname)
                ),
                (None, false) => all.push(need.clone()),
                (Some(_), false) => {}
            }
        }
        if !self.remove {
            if let Some(cycle) = update::cycle_with(root, &self.instance, &all)? {
                bail!("that would go round in a circle: {}", cycle.join(" -> "));
            }
        }
        let text = (!all.is_empty()).then(|| requires::drop_in(OF_CTL, &all));
        let files = [(path, text)];
        let change = Change::of(&files)?;
        let manager = Manager::running(root)?;
        let made = change.make().and_then(|()| match &manager {
            Some(manager) => manager.reload(),
            None => Ok(()),
        });
        if let Err(error) = made {
            change.take_back()?;
            return Err(error);
        }
        if all.is_empty() {
            let _ = fs::remove_dir(&directory);
        }
        for need in &self.needs {
            let does = if self.remove {
                "requires no more"
            } else {
                "requires"
            };
            log::info(&format!("{} {does} {}", self.instance, need.unit()));
        }
        Ok(0)
    }
}
