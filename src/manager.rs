//! The system manager, systemd. That none runs is a value, not an error.

use std::path::PathBuf;

use anyhow::Result;

use crate::command;
use crate::root::Root;

/// The systemd that runs this system.
#[derive(Debug)]
pub struct Manager {
    systemctl: PathBuf,
}

impl Manager {
    /// The running systemd; `None` in a container without it, or in a build root.
    pub fn running(root: &Root) -> Result<Option<Self>> {
        // sd_booted(3)
        if !root.path("/run/systemd/system").is_dir() {
            return Ok(None);
        }
        let systemctl = command::find("systemctl")?;
        Ok(Some(Self { systemctl }))
    }

    /// Has systemd read all unit files again.
    pub fn reload(&self) -> Result<()> {
        self.call("daemon-reload", &[])?;
        Ok(())
    }

    /// Forgets the failures of the units that match a pattern.
    pub fn reset_failed(&self, patterns: &[String]) -> Result<()> {
        self.call("reset-failed", patterns)?;
        Ok(())
    }

    /// The units that match a pattern and are up, coming up or going down.
    pub fn active(&self, patterns: &[String]) -> Result<Vec<String>> {
        let mut arguments = vec![
            "--plain".to_owned(),
            "--no-legend".to_owned(),
            "--full".to_owned(),
            "--state=active,reloading,activating,deactivating".to_owned(),
        ];
        arguments.extend_from_slice(patterns);
        let listing = self.call("list-units", &arguments)?;
        let names = listing
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        Ok(names.map(str::to_owned).collect())
    }

    fn call(&self, verb: &str, arguments: &[String]) -> Result<String> {
        let words: Vec<&str> = std::iter::once(verb)
            .chain(arguments.iter().map(String::as_str))
            .collect();
        command::output(&self.systemctl, &words)
    }
}
