//! Calls of CNI plugins, and their errors (https://www.cni.dev/docs/spec/).

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sys::command::{self, Termination};

/// An error in the form of the specification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginError {
    pub code: u32,
    pub msg: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {}", self.msg, self.code)?;
        match self.details.is_empty() {
            true => f.write_str(")"),
            false => write!(f, "; {})", self.details),
        }
    }
}

impl std::error::Error for PluginError {}

/// The environment of plugins for one interface of one container.
#[derive(Debug, Clone, Default)]
pub struct PluginCall {
    /// The ID of the container.
    pub container: String,
    /// The path of the network namespace; empty if it no longer exists.
    pub netns: String,
    pub ifname: String,
    /// `CNI_ARGS`: `KEY=VALUE` pairs, separated by semicolons.
    pub arguments: String,
    /// `CNI_PATH`: the directories of plugins, separated by colons.
    pub path: String,
}

impl PluginCall {
    /// The path of a plugin.
    pub fn find(&self, name: &str) -> Result<PathBuf> {
        let is_name = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
        let mut directories = self.path.split(':').filter(|_| is_name);
        let found = directories.find_map(|directory| {
            let plugin = Path::new(directory).join(name);
            (!directory.is_empty() && plugin.is_file()).then_some(plugin)
        });
        found.with_context(|| format!("there is no plugin '{name}' in {}", self.path))
    }

    /// Runs a plugin with a configuration on stdin and returns its result, `Null` if it prints none.
    ///
    /// # Errors
    /// The plugin does not exist or has failed; a [`PluginError`] if it printed one.
    pub fn run(&self, name: &str, command: &str, configuration: &Value) -> Result<Value> {
        let plugin = self.find(name)?;
        let input = serde_json::to_vec(configuration).context("writing a configuration")?;
        let environment = [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", &self.container),
            ("CNI_NETNS", &self.netns),
            ("CNI_IFNAME", &self.ifname),
            ("CNI_ARGS", &self.arguments),
            ("CNI_PATH", &self.path),
        ];
        let output = command::filter(&plugin, &environment, input)?;
        let end = Termination::from(output.status);
        if end.success() {
            if output.stdout.iter().all(u8::is_ascii_whitespace) {
                return Ok(Value::Null);
            }
            let answer = serde_json::from_slice(&output.stdout);
            return answer.with_context(|| format!("reading the result of '{name}' for {command}"));
        }
        let failed = || format!("plugin '{name}' failed for {command}");
        match serde_json::from_slice::<PluginError>(&output.stdout) {
            Ok(error) => Err(anyhow!(error).context(failed())),
            Err(_) => {
                let why = command::last_line(&output.stderr);
                Err(anyhow!("it {end}{why}").context(failed()))
            }
        }
    }
}
