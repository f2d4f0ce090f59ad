use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::instance::paths::Root;
use crate::migrate::{ConfigFormat, Draft, MigrationPlan, SEARCHED};
use crate::sys::exit::{Exit, OrExit};
use crate::sys::user::require_root;
use crate::sys::{file, log, terminal};

/// Translate the configuration of other programs
///
/// Reads the files of other programs for network namespaces and prints the
/// files of systemd-netns that do the same, with a warning for everything that
/// cannot be translated. Files are written only with --write or --output, no
/// existing file is overwritten, and no unit or namespace is changed.
///
/// Without FILE, reads the files of systemd-named-netns, wg-netns,
/// namespaced-openvpn, the shell package systemd-netns, ifupdown and the helper
/// units in their usual places.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: netnsctl migrate
         netnsctl migrate --write /etc/wireguard/vpn.yaml
         netnsctl migrate --from openvpn /etc/openvpn/client/vpn.conf")]
pub struct Migrate {
    /// Program that the files belong to [default: from the file names]
    #[arg(long, value_name = "PROGRAM")]
    from: Option<ConfigFormat>,

    /// Write the files
    #[arg(long)]
    write: bool,

    /// Write the files below this directory, as in etc/conf.d/netns
    #[arg(long, value_name = "DIR", conflicts_with = "write")]
    output: Option<PathBuf>,

    /// Files to translate
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Migrate {
    pub fn run(&self, root: &Root) -> Result<u8> {
        if self.write {
            require_root()?;
        }
        let plan = self.plan(root).or_exit(Exit::Config)?;
        plan.check().or_exit(Exit::Config)?;
        for note in &plan.notes {
            log::warn(note);
        }
        ensure!(
            !plan.drafts.is_empty() || !plan.notes.is_empty(),
            "found nothing to migrate: give the files as arguments"
        );
        if self.write || self.output.is_some() {
            let drafts = self.placed(root, &plan.drafts)?;
            for path in write(&drafts)? {
                log::info(&format!("created {}", path.display()));
            }
        } else {
            for draft in &plan.drafts {
                terminal::print(&shown(draft))?;
            }
        }
        if !plan.next.is_empty() {
            let written = self.write || self.output.is_some();
            let first = if written {
                "Next:"
            } else {
                "Nothing was written. After 'netnsctl migrate --write', run:"
            };
            let mut text = format!("{first}\n    netnsupdate\n");
            for command in &plan.next {
                text += &format!("    {}\n", terminal::clean(command));
            }
            terminal::print(&text)?;
        }
        Ok(0)
    }

    fn plan(&self, root: &Root) -> Result<MigrationPlan> {
        let mut plan = MigrationPlan::default();
        if self.files.is_empty() {
            let formats = self.from.map(|from| vec![from]);
            for format in formats.unwrap_or_else(|| SEARCHED.to_vec()) {
                plan.extend(format.plan(root, &[])?);
            }
            return Ok(plan);
        }
        let mut groups: Vec<(ConfigFormat, Vec<PathBuf>)> = Vec::new();
        for path in &self.files {
            ensure!(path.is_file(), "{} is not a file", path.display());
            let path = std::path::absolute(path)?;
            let format = self.from.or_else(|| ConfigFormat::of_name(&path));
            let Some(format) = format else {
                bail!(
                    "{}: cannot tell from its name which program it belongs to: use --from",
                    path.display()
                );
            };
            // The files of one program may belong together.
            match groups.iter_mut().find(|(other, _)| *other == format) {
                Some((_, files)) => files.push(path),
                None => groups.push((format, vec![path])),
            }
        }
        for (format, files) in groups {
            plan.extend(format.plan(root, &files)?);
        }
        Ok(plan)
    }

    /// The drafts to write, with their paths, without those that exist already.
    ///
    /// # Errors
    /// A file exists with different content.
    fn placed<'a>(&self, root: &Root, drafts: &'a [Draft]) -> Result<Vec<(PathBuf, &'a Draft)>> {
        let mut placed = Vec::new();
        for draft in drafts {
            let path = match &self.output {
                Some(directory) => directory.join(draft.path.strip_prefix(root.path("/"))?),
                None => draft.path.clone(),
            };
            if fs::symlink_metadata(&path).is_err() {
                placed.push((path, draft));
            } else if file::read(&path)?.as_deref() != Some(draft.text.as_bytes()) {
                bail!("{} already exists: nothing was written", path.display());
            }
        }
        Ok(placed)
    }
}

/// The text of a file to print, without its secrets.
fn shown(draft: &Draft) -> String {
    let mut text = format!("{}:\n", draft.path.display());
    for line in draft.text.lines() {
        let line = match line.split_once(" = ") {
            Some((key @ ("PrivateKey" | "PresharedKey"), _)) if draft.secret => {
                format!("{key} = (hidden)")
            }
            _ => line.to_owned(),
        };
        text += &format!("    {}\n", terminal::clean(&line));
    }
    text + "\n"
}

/// Writes all files, or none if one fails. Returns their paths.
fn write<'a>(drafts: &'a [(PathBuf, &Draft)]) -> Result<Vec<&'a Path>> {
    let mut written: Vec<&Path> = Vec::new();
    for (path, draft) in drafts {
        let (mode, directory) = if draft.secret {
            (0o600, 0o700)
        } else {
            (0o644, 0o755)
        };
        let parent = path.parent().context("a file has a directory")?;
        let result = file::make_directory(parent, directory)
            .and_then(|()| file::write_new(path, draft.text.as_bytes(), mode));
        if let Err(error) = result {
            for path in written {
                file::remove(path)?;
            }
            return Err(error.context("nothing was written"));
        }
        written.push(path);
    }
    Ok(written)
}
