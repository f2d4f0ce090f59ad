//! Configuration of the shell package that this one replaces: functions in `NSTYPE.conf`. It works
//! unchanged, so nothing is written.

use std::path::PathBuf;

use anyhow::Result;

use super::{MigrationPlan, given_or_all, read};
use crate::instance::name::Instance;
use crate::instance::paths::Root;
use crate::instance::sources::defines_a_phase;
use crate::instance::types::Scope;

pub fn plan(root: &Root, files: &[PathBuf]) -> Result<MigrationPlan> {
    let mut plan = MigrationPlan::default();
    let is_conf = |path: &PathBuf| path.extension().is_some_and(|e| e == "conf") && path.is_file();
    for path in given_or_all(files, &root.conf_dir(), is_conf)? {
        let nstype = match Scope::of(&path) {
            Ok(Some(Scope::Type(nstype) | Scope::Instance(Instance { nstype, .. }))) => nstype,
            _ => continue,
        };
        if defines_a_phase(&read(&path)?, &nstype) {
            plan.note(&path, "defines functions of its own and works unchanged; 'netnsctl check' checks it for problems");
            plan.next = vec!["netnsctl check".to_owned()];
        }
    }
    Ok(plan)
}
