//! Configurations of VPN clients, which one of our types reads unchanged.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Conf, MigrationPlan, given_or_all, read, stem};
use crate::instance::paths::Root;

/// A kind of client.
pub struct Client {
    pub nstype: &'static str,
    /// Where its units and our type look for NAME.conf.
    pub directory: &'static str,
    /// The template of its units.
    pub unit: &'static str,
    /// Adds notes about what our type ignores in a text. Returns whether there are hooks. Fails if the text is
    /// not for this client.
    pub scan: fn(&mut MigrationPlan, &Path, &str) -> Result<bool>,
}

impl Client {
    /// Translates files, or those in its directory if none is named.
    pub fn plan(&self, root: &Root, files: &[PathBuf]) -> Result<MigrationPlan> {
        let mut plan = MigrationPlan::default();
        let is_conf = |path: &PathBuf| path.extension().is_some_and(|found| found == "conf");
        for path in given_or_all(files, &root.path(self.directory), is_conf)? {
            let conf = self.translate(root, &mut plan, &path, stem(&path))?;
            if path == self.usual(root, stem(&path)) {
                let nsname = &conf.instance.nsname;
                plan.next
                    .push(format!("systemctl disable --now {}@{nsname}", self.unit));
            }
            plan.instance(conf);
        }
        Ok(plan)
    }

    /// The configuration of an instance that uses such a file.
    pub fn translate(
        &self,
        root: &Root,
        plan: &mut MigrationPlan,
        path: &Path,
        nsname: &str,
    ) -> Result<Conf> {
        let source = || path.display().to_string();
        let mut conf = Conf::new(root, self.nstype, nsname, path).with_context(source)?;
        let hooks = (self.scan)(plan, path, &read(path)?).with_context(source)?;
        let prefix = self.nstype.to_uppercase();
        if path != self.usual(root, nsname) {
            let path = std::path::absolute(path)?;
            conf.set(&format!("{prefix}_CONFIG"), &path.to_string_lossy())?;
        }
        if hooks {
            conf.set(&format!("{prefix}_HOOKS"), "ignore")?;
        }
        Ok(conf)
    }

    /// The file that our type reads by default.
    fn usual(&self, root: &Root, nsname: &str) -> PathBuf {
        root.path(self.directory).join(format!("{nsname}.conf"))
    }
}
