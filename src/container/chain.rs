//! Runs the CNI plugins of a network, as a container runtime does, for NSTYPE cni: ADD in order, each with
//! the result of the previous one; DEL in reverse, even if another one fails.
//!
//! ADD stores the configurations and the result in a state file, so that CHECK and DEL use the same
//! (libcni has a cache for this).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::interface::hash;
use super::plugin::PluginCall;
use super::record::{check_name, is_name, is_name_part};
use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::instance::resolv_conf;
use crate::namespace::NetNs;
use crate::namespace::netlink::check_ifname;
use crate::sys::exit::after_undo;
use crate::sys::file;

/// The interface that the plugins set up.
#[derive(Debug)]
pub struct ChainTarget {
    pub nsname: NsName,
    /// The state file, which exists between ADD and DEL, and has what DEL and CHECK need.
    pub state: PathBuf,
}

/// What ADD needs.
#[derive(Debug)]
pub struct PluginNetwork {
    /// The file with the list of plugins.
    pub configuration: PathBuf,
    /// The directories of plugins, separated by colons.
    pub path: String,
    /// The name of the interface inside.
    pub ifname: String,
    pub runtime: RuntimeConfig,
}

/// The keys of `runtimeConfig`, each for the plugins that declare the capability.
pub type RuntimeConfig = Map<String, Value>;

/// The content of a state file: the arguments and the result of ADD.
#[derive(Debug, Serialize, Deserialize)]
struct ChainState {
    container: String,
    ifname: String,
    path: String,
    plugins: Vec<Value>,
    /// CHECK must not be run: `disableCheck` of the list.
    #[serde(default)]
    no_check: bool,
    /// `Null` until the whole list has succeeded.
    result: Value,
}

impl ChainState {
    fn call(&self, netns: String) -> PluginCall {
        PluginCall {
            container: self.container.clone(),
            netns,
            ifname: self.ifname.clone(),
            // Old plugins refuse unknown arguments without this.
            arguments: "IgnoreUnknown=1".to_owned(),
            path: self.path.clone(),
        }
    }

    /// Calls a plugin with the result of the previous one.
    fn run(
        &self,
        call: &PluginCall,
        command: &str,
        plugin: &Value,
        previous: &Value,
    ) -> Result<Value> {
        let mut configuration = plugin.clone();
        if !previous.is_null() {
            configuration["prevResult"] = previous.clone();
        }
        call.run(kind(plugin)?, command, &configuration)
    }

    /// Runs DEL for all plugins, the last one first, and returns the errors.
    fn delete(&self, netns: String) -> Vec<String> {
        let call = self.call(netns);
        let plugins = self.plugins.iter().rev();
        let results = plugins.map(|plugin| self.run(&call, "DEL", plugin, &self.result));
        results
            .filter_map(Result::err)
            .map(|error| format!("{error:#}"))
            .collect()
    }

    fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).context("writing JSON")?;
        file::write(path, &text, 0o600)
    }

    fn read(path: &Path) -> Result<Option<Self>> {
        let Some(text) = file::read(path)? else {
            return Ok(None);
        };
        let state = serde_json::from_slice(&text);
        state.with_context(|| format!("reading {}", path.display()))
    }
}

/// The configuration of a network, a list of plugins or a single one.
#[derive(Debug)]
struct PluginList {
    /// The configuration of each plugin, with the name and the version of the list, and with the keys
    /// of the runtime that it has a capability for.
    plugins: Vec<Value>,
    no_check: bool,
}

fn read(path: &Path, runtime: &RuntimeConfig) -> Result<PluginList> {
    read_list(path, runtime).with_context(|| path.display().to_string())
}

fn read_list(path: &Path, runtime: &RuntimeConfig) -> Result<PluginList> {
    let text = file::read(path)?.with_context(|| format!("there is no {}", path.display()))?;
    let list: Value = serde_json::from_slice(&text)?;
    let name = list["name"].as_str().context("'name' is missing")?;
    check_name("name", name)?;
    let version = list["cniVersion"]
        .as_str()
        .context("'cniVersion' is missing")?;
    let plugins = match list.get("plugins") {
        Some(plugins) => plugins
            .as_array()
            .context("'plugins' is not an array")?
            .clone(),
        None => vec![list.clone()],
    };
    ensure!(!plugins.is_empty(), "'plugins' is empty");
    let mut unused: Vec<&String> = runtime.keys().collect();
    let complete = |mut plugin: Value| {
        kind(&plugin)?;
        plugin["name"] = name.into();
        plugin["cniVersion"] = version.into();
        // For runtimes only.
        let capabilities = plugin
            .as_object_mut()
            .and_then(|p| p.remove("capabilities"));
        for (key, value) in runtime {
            if capabilities
                .as_ref()
                .is_some_and(|known| known[key] == true)
            {
                plugin["runtimeConfig"][key] = value.clone();
                unused.retain(|unused| *unused != key);
            }
        }
        Ok(plugin)
    };
    let plugins = plugins.into_iter().map(complete).collect::<Result<_>>()?;
    if let Some(key) = unused.first() {
        bail!("no plugin has the capability '{key}'");
    }
    // Version 0.4.0 has a string.
    let no_check = list["disableCheck"] == true || list["disableCheck"] == "true";
    Ok(PluginList { plugins, no_check })
}

fn kind(plugin: &Value) -> Result<&str> {
    plugin["type"].as_str().context("a plugin has no 'type'")
}

/// Checks that the configuration of a network is valid and that its plugins are installed.
pub fn verify(network: &PluginNetwork) -> Result<()> {
    let call = PluginCall {
        path: network.path.clone(),
        ..PluginCall::default()
    };
    let source = || network.configuration.display().to_string();
    for plugin in read(&network.configuration, &network.runtime)?.plugins {
        call.find(kind(&plugin)?).with_context(source)?;
        if let Some(ipam) = plugin["ipam"]["type"].as_str() {
            call.find(ipam).with_context(source)?;
        }
    }
    Ok(())
}

/// Runs ADD for each plugin of a network, and returns the result of the last one.
///
/// # Errors
/// A plugin failed, which the error names. DEL has been run for all plugins.
pub fn add(root: &Root, target: &ChainTarget, network: &PluginNetwork) -> Result<Value> {
    check_ifname(&network.ifname)?;
    let PluginList { plugins, no_check } = read(&network.configuration, &network.runtime)?;
    let mut state = ChainState {
        container: container_id(&target.nsname),
        ifname: network.ifname.clone(),
        path: network.path.clone(),
        plugins,
        no_check,
        result: Value::Null,
    };
    let netns = netns(root, &target.nsname);
    // Release what a crash of the machine has left, such as reserved addresses. Errors are expected.
    state.delete(netns.clone());
    state.write(&target.state)?;
    let call = state.call(netns.clone());
    let mut result = Value::Null;
    for plugin in &state.plugins {
        match state.run(&call, "ADD", plugin, &result) {
            // A plugin that adds nothing may print nothing.
            Ok(Value::Null) => {}
            Ok(added) => result = added,
            Err(error) => return Err(undo(&state, target, netns, error)),
        }
    }
    state.result = result;
    if let Err(error) = state.write(&target.state) {
        return Err(undo(&state, target, netns, error));
    }
    Ok(state.result)
}

fn undo(
    state: &ChainState,
    target: &ChainTarget,
    netns: String,
    error: anyhow::Error,
) -> anyhow::Error {
    let failed = state.delete(netns);
    match failed.is_empty() {
        true => after_undo(error, file::remove(&target.state)),
        false => error.context(format!("could not undo: {}; after", failed.join("; "))),
    }
}

/// Runs DEL for each plugin that ADD ran, in reverse. Does nothing if there is no state file.
///
/// # Errors
/// Plugins failed, all of which the error names. The state file is kept for another attempt.
pub fn delete(root: &Root, target: &ChainTarget) -> Result<()> {
    let Some(state) = ChainState::read(&target.state)? else {
        return Ok(());
    };
    let failed = state.delete(netns(root, &target.nsname));
    if !failed.is_empty() {
        return Err(anyhow!("{}", failed.join("; ")));
    }
    file::remove(&target.state).map(drop)
}

/// Runs CHECK for each plugin, unless the configuration disables it.
///
/// # Errors
/// The network is not up, or a plugin, which the error names, found a difference.
pub fn check(root: &Root, target: &ChainTarget) -> Result<()> {
    let state = ChainState::read(&target.state)?;
    let state = state.with_context(|| format!("'{}' is not up", target.nsname))?;
    let call = state.call(netns(root, &target.nsname));
    for plugin in state.plugins.iter().filter(|_| !state.no_check) {
        state.run(&call, "CHECK", plugin, &state.result)?;
    }
    Ok(())
}

/// The name servers and search domains of a result, as lines of resolv.conf(5).
pub fn resolv_conf(result: &Value) -> String {
    let words = |key: &str| -> Vec<&str> {
        let words = result["dns"][key].as_array().into_iter().flatten();
        words.filter_map(Value::as_str).collect()
    };
    resolv_conf::lines(words("nameservers"), &words("search"))
}

/// The keys of `runtimeConfig` for published ports, addresses and a MAC address.
pub fn runtime(
    ports: &[super::Port],
    addresses: &[ipnet::IpNet],
    mac: Option<&str>,
) -> RuntimeConfig {
    let mut runtime = RuntimeConfig::new();
    if !ports.is_empty() {
        let ports = ports.iter().map(|port| {
            let mut json = json!({
                "hostPort": port.host, "containerPort": port.container, "protocol": port.protocol,
            });
            if let Some(address) = port.address {
                json["hostIP"] = address.to_string().into();
            }
            json
        });
        runtime.insert("portMappings".to_owned(), ports.collect());
    }
    if !addresses.is_empty() {
        let addresses = addresses.iter().map(ToString::to_string);
        runtime.insert("ips".to_owned(), addresses.collect());
    }
    if let Some(mac) = mac {
        runtime.insert("mac".to_owned(), mac.into());
    }
    runtime
}

/// The path of a namespace: its name, otherwise our own mount of it; empty if it no longer exists.
fn netns(root: &Root, name: &NsName) -> String {
    let paths = [root.netns(name), root.pin(name)];
    let is_namespace = |path: &PathBuf| matches!(NetNs::at(path.clone()), Ok(Some(_)));
    let found = paths.into_iter().find(is_namespace);
    found
        .map(|path| path.display().to_string())
        .unwrap_or_default()
}

/// The container ID to use for a namespace: its name if that is a valid ID, otherwise a name with a hash.
fn container_id(name: &NsName) -> String {
    let name = name.as_str();
    if is_name(name) {
        return name.to_owned();
    }
    let same = name.chars().filter(|c| is_name_part(*c));
    format!(
        "netns-{}-{:x}",
        same.collect::<String>(),
        hash(name.as_bytes())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list_of(text: &str, runtime: &RuntimeConfig) -> Result<PluginList> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(&file, text)?;
        read(file.path(), runtime)
    }

    fn plugins_of(text: &str, runtime: &RuntimeConfig) -> Result<Vec<Value>> {
        list_of(text, runtime).map(|list| list.plugins)
    }

    #[test]
    fn plugins_get_the_name_and_the_keys_of_their_capabilities() {
        let runtime = runtime(&[], &[], Some("02:00:00:00:00:01"));
        let list = r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [
            {"type": "a"}, {"type": "b", "capabilities": {"mac": true}}]}"#;
        let plugins = plugins_of(list, &runtime).unwrap();
        assert_eq!(
            plugins[0],
            json!({"cniVersion": "1.0.0", "name": "n", "type": "a"})
        );
        assert_eq!(plugins[1]["runtimeConfig"]["mac"], "02:00:00:00:00:01");
        assert_eq!(plugins[1].get("capabilities"), None);
        let single = r#"{"cniVersion": "0.4.0", "name": "n", "type": "a"}"#;
        assert_eq!(plugins_of(single, &RuntimeConfig::new()).unwrap().len(), 1);
        assert!(plugins_of(single, &runtime).is_err());
        for (word, disabled) in [("true", true), (r#""true""#, true), ("false", false)] {
            let list = single.replace('}', &format!(r#", "disableCheck": {word}}}"#));
            let no_check = list_of(&list, &RuntimeConfig::new()).unwrap().no_check;
            assert_eq!(no_check, disabled);
        }
    }

    #[test]
    fn broken_lists_are_refused() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"cniVersion": "1.0.0", "name": "n", "plugins": []}"#,
            r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [{}]}"#,
            r#"{"cniVersion": "1.0.0", "name": "../n", "type": "a"}"#,
            r#"{"name": "n", "type": "a"}"#,
        ] {
            assert!(plugins_of(bad, &RuntimeConfig::new()).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_namespace_has_a_valid_container_id() {
        let id = |name: &str| container_id(&name.parse().unwrap());
        assert_eq!(id("vm-001"), "vm-001");
        let odd = ["a:b", "a@b", "_ab", "..."].map(id);
        for id in &odd {
            assert!(super::super::record::Key::new(id, "eth0").is_ok(), "{id}");
        }
        assert_ne!(odd[0], odd[1]);
    }
}
