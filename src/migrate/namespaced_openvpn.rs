//! Units that run slingamn/namespaced-openvpn (its README).

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::openvpn::OPENVPN;
use super::{MigrationPlan, units};
use crate::instance::paths::Root;

pub fn plan(root: &Root, files: &[PathBuf]) -> Result<MigrationPlan> {
    let mut plan = MigrationPlan::default();
    let found = match files {
        [] => units::with_command(root, is_it)?,
        files => {
            let mut found = Vec::new();
            for path in files {
                let commands = units::commands(path)?
                    .into_iter()
                    .filter(|words| is_it(words));
                found.extend(commands.map(|words| (path.clone(), words)));
            }
            ensure!(
                !found.is_empty(),
                "{}: does not run namespaced-openvpn",
                files[0].display()
            );
            found
        }
    };
    for (unit, words) in found {
        translate(root, &mut plan, &unit, &words)?;
    }
    Ok(plan)
}

fn is_it(words: &[String]) -> bool {
    words
        .iter()
        .take(3)
        .any(|word| word.rsplit('/').next() == Some("namespaced-openvpn"))
}

fn translate(root: &Root, plan: &mut MigrationPlan, unit: &Path, words: &[String]) -> Result<()> {
    let (mut name, mut config, mut directory) = ("protected", None, PathBuf::new());
    let mut dns = None;
    let mut words = words
        .iter()
        .skip_while(|word| word.rsplit('/').next() != Some("namespaced-openvpn"))
        .skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--namespace" => name = words.next().map_or(name, String::as_str),
            "--config" => config = words.next(),
            "--cd" => directory = words.next().map(PathBuf::from).unwrap_or_default(),
            "--dns" => dns = words.next(),
            "--daemon" | "--verb" | "--syslog" | "--log" | "--log-append" | "--writepid" => {}
            option if option.starts_with("--") => plan.note(
                unit,
                &format!("{option} was not translated: add it to the configuration of openvpn"),
            ),
            _ => {}
        }
    }
    let Some(config) = config else {
        plan.note(
            unit,
            "runs namespaced-openvpn without --config: not translated",
        );
        return Ok(());
    };
    let path = directory.join(config);
    if !path.is_absolute() || config.contains('%') {
        plan.note(
            unit,
            &format!(
                "--config {config} is not an absolute path: run 'netnsctl migrate --from openvpn FILE'"
            ),
        );
        return Ok(());
    }
    let mut conf = OPENVPN.translate(root, plan, &root.path(&path), name)?;
    match dns.map(String::as_str) {
        None | Some("push") => {}
        Some(servers)
            if servers
                .split(',')
                .all(|word| word.parse::<std::net::IpAddr>().is_ok()) =>
        {
            conf.set("OPENVPN_DNS", &servers.replace(',', " "))?;
        }
        Some(other) => plan.note(
            unit,
            &format!("--dns {other} was not translated: set OPENVPN_DNS"),
        ),
    }
    let instance = conf.instance.clone();
    let service = unit
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    plan.next.push(format!(
        "systemctl disable --now {}",
        super::quote(&service)?
    ));
    plan.instance(conf);
    plan.services(root, &service, &instance)
}
