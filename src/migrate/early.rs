//! Configuration of the shell package that this one replaces: functions in `NSTYPE.conf`. It works
//! unchanged, so nothing is written.

use std::path::PathBuf;

use anyhow::Result;

use super::{MigrationPlan, read, stem};
use crate::instance::name::NsType;
use crate::instance::paths::Root;
use crate::sys::file;

pub fn plan(root: &Root, files: &[PathBuf]) -> Result<MigrationPlan> {
    let mut plan = MigrationPlan::default();
    let mut files = files.to_vec();
    if files.is_empty() {
        files = file::entries(&root.conf_dir())?;
        files.retain(|path| {
            path.is_file()
                && path
                    .extension()
                    .is_some_and(|extension| extension == "conf")
        });
    }
    for path in files {
        let nstype = stem(&path).split('-').next().unwrap_or_default();
        let Ok(nstype) = nstype.parse::<NsType>() else {
            continue;
        };
        if read(&path)?.contains(&format!("configure_{nstype}_")) {
            plan.note(&path, "defines functions of its own and works unchanged; 'netnsctl check' checks it for problems");
            plan.next = vec!["netnsctl check".to_owned()];
        }
    }
    Ok(plan)
}
