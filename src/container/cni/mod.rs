//! The CNI plugin: ADD, DEL, CHECK, VERSION, STATUS and GC of the specification.

use std::env;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use super::facts::Facts;
use super::interface::{self, NotUp};
use super::plugin::{PluginCall, PluginError};
use super::record::{self, Key, Locked};
use crate::instance::paths::Root;
use crate::namespace::netlink::check_ifname;
use crate::sys::exit::{self, Exit};

pub mod configuration;
mod result;

use configuration::{NetworkConfiguration, VERSIONS};

/// The codes of errors: up to 99 from the specification, from 100 on our own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Code {
    BadVersion = 1,
    Unsupported = 2,
    BadEnvironment = 4,
    InputOutput = 5,
    BadJson = 6,
    BadConfiguration = 7,
    NotAvailable = 50,
    /// A function of the NSTYPE has failed, or anything else.
    Failed = 100,
    /// The interface already exists.
    Exists = 101,
    /// CHECK found a difference.
    Differs = 102,
    /// The plugin was not run as root.
    NotPermitted = 103,
}

/// Adds a code to an error.
trait OrCode<T> {
    fn or_code(self, code: Code) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrCode<T> for Result<T, E> {
    fn or_code(self, code: Code) -> Result<T> {
        self.map_err(|error| error_of(code, &format!("{:#}", error.into())).into())
    }
}

fn error_of(code: Code, msg: &str) -> PluginError {
    PluginError {
        code: code as u32,
        msg: msg.to_owned(),
        details: String::new(),
    }
}

/// Runs the command in `CNI_COMMAND`. Returns whether it succeeded, and the JSON to print: the result or
/// the error.
pub fn answer(root: &Root) -> (bool, String) {
    let mut version = "1.0.0".to_owned();
    match run(root, &mut version) {
        Ok(Value::Null) => (true, String::new()),
        Ok(answer) => (true, answer.to_string()),
        Err(error) => {
            let error = json!(plugin_error(&error));
            let mut answer = json!({"cniVersion": version});
            merge(&mut answer, error);
            (false, answer.to_string())
        }
    }
}

fn merge(object: &mut Value, other: Value) {
    if let (Value::Object(object), Value::Object(other)) = (object, other) {
        object.extend(other);
    }
}

/// An error in the form of the specification.
fn plugin_error(error: &anyhow::Error) -> PluginError {
    let own = error.downcast_ref::<PluginError>();
    let not_up = error.downcast_ref::<NotUp>();
    let code = match exit::code(error) {
        Exit::Config | Exit::Usage => Code::BadConfiguration,
        Exit::NotPermitted => Code::NotPermitted,
        _ => Code::Failed,
    };
    PluginError {
        code: own.map_or(code as u32, |own| own.code),
        // Includes the context; `Display` of a plugin's error adds the code, which is a field here.
        msg: match own {
            Some(own) => format!("{error:#}").replace(&own.to_string(), &own.msg),
            None => format!("{error:#}"),
        },
        details: own
            .map(|own| own.details.clone())
            .or(not_up.map(|not_up| not_up.details.clone()))
            .unwrap_or_default(),
    }
}

fn run(root: &Root, version: &mut String) -> Result<Value> {
    let command = variable("CNI_COMMAND")?;
    let input = super::read_stdin().or_code(Code::InputOutput)?;
    let json = match input.is_empty() && command == "VERSION" {
        // Called by hand, or by a runtime of version 0.2.0.
        true => json!({}),
        false => serde_json::from_slice::<Value>(&input)
            .context("the network configuration on stdin is not JSON")
            .or_code(Code::BadJson)?,
    };
    if !json.is_object() {
        return Err(anyhow!(
            "the network configuration on stdin is not an object"
        ))
        .or_code(Code::BadJson);
    }
    let asked = match &json["cniVersion"] {
        Value::String(asked) => asked.clone(),
        Value::Null if command == "VERSION" => VERSIONS[VERSIONS.len() - 1].to_owned(),
        // The version without this key.
        Value::Null => "0.1.0".to_owned(),
        other => {
            return Err(anyhow!("'cniVersion' {other} is not a string")).or_code(Code::BadJson);
        }
    };
    if command == "VERSION" {
        return Ok(json!({"cniVersion": asked, "supportedVersions": VERSIONS}));
    }
    if !VERSIONS.contains(&asked.as_str()) {
        let message = format!("cniVersion {asked} is not supported");
        let details = format!("supported: {}", VERSIONS.join(", "));
        let mut error = error_of(Code::BadVersion, &message);
        error.details = details;
        return Err(error.into());
    }
    version.clone_from(&asked);
    let configuration = NetworkConfiguration::read(json)?;
    let since = |first: &str, work: fn(&Root, &NetworkConfiguration) -> Result<Value>| {
        let place = |version: &str| VERSIONS.iter().position(|known| *known == version);
        match place(&asked) >= place(first) {
            true => work(root, &configuration),
            false => Err(error_of(
                Code::BadVersion,
                &format!("{command} requires cniVersion {first} or later, not {asked}"),
            )
            .into()),
        }
    };
    match command.as_str() {
        "ADD" => add(root, &configuration),
        "DEL" => delete(root, &configuration),
        "CHECK" => since("0.4.0", check),
        "STATUS" => since("1.1.0", status),
        "GC" => since("1.1.0", collect),
        other => {
            let error = anyhow!(
                "unknown CNI_COMMAND '{other}': use ADD, DEL, CHECK, VERSION, STATUS or GC"
            );
            Err(error).or_code(Code::BadEnvironment)
        }
    }
}

/// The value of an environment variable that must be set.
fn variable(name: &str) -> Result<String> {
    let value = env::var(name).ok().filter(|value| !value.is_empty());
    value
        .with_context(|| format!("the environment variable {name} is not set"))
        .or_code(Code::BadEnvironment)
}

fn key() -> Result<Key> {
    let (container, ifname) = (variable("CNI_CONTAINERID")?, variable("CNI_IFNAME")?);
    let bad = Code::BadEnvironment;
    check_ifname(&ifname).context("CNI_IFNAME").or_code(bad)?;
    Key::new(&container, &ifname)
        .context("CNI_CONTAINERID")
        .or_code(bad)
}

/// A call of the IPAM plugin, with the environment of this plugin.
fn call() -> PluginCall {
    let or_empty = |name| env::var(name).unwrap_or_default();
    PluginCall {
        container: or_empty("CNI_CONTAINERID"),
        netns: or_empty("CNI_NETNS"),
        ifname: or_empty("CNI_IFNAME"),
        arguments: or_empty("CNI_ARGS"),
        path: or_empty("CNI_PATH"),
    }
}

fn add(root: &Root, configuration: &NetworkConfiguration) -> Result<Value> {
    let key = key()?;
    let netns = variable("CNI_NETNS")?;
    interface::namespace(&netns)
        .context("CNI_NETNS")
        .or_code(Code::BadEnvironment)?;
    let mut facts = configuration.facts(&key)?;
    configuration
        .plan
        .instance(&facts, key.ifname())
        .or_code(Code::BadConfiguration)?;
    let locked = Locked::take(root, &key)?;
    if let Some(record) = locked.record()? {
        if interface::is_up(root, &record)? {
            let error = anyhow!(
                "the container already has an interface {}, of network '{}': run DEL before another ADD",
                key.ifname(),
                record.network
            );
            return Err(error).or_code(Code::Exists);
        }
        // A previous ADD was interrupted.
        locked.divert_output()?;
        interface::detach(root, &locked, &record)?;
        configuration.release_addresses(&call())?;
    }
    let added = configuration
        .request_addresses(&call(), &mut facts)
        .and_then(|()| {
            interface::attach(
                root,
                &locked,
                &configuration.plan,
                &facts,
                key.ifname(),
                &netns,
            )
        });
    match added {
        Ok(report) => Ok(result::of(configuration, &report, &facts, &netns)),
        Err(error) => match configuration.release_addresses(&call()) {
            Err(undo) if undo.to_string() != error.to_string() => {
                Err(error.context(format!("{undo:#}, after")))
            }
            _ => Err(error),
        },
    }
}

fn delete(root: &Root, configuration: &NetworkConfiguration) -> Result<Value> {
    let key = key()?;
    let locked = Locked::take(root, &key)?;
    let record = locked.record()?;
    if let Some(record) = record.filter(|record| record.network == configuration.name) {
        locked.divert_output()?;
        interface::detach(root, &locked, &record)?;
    }
    configuration.release_addresses(&call())?;
    Ok(Value::Null)
}

fn check(root: &Root, configuration: &NetworkConfiguration) -> Result<Value> {
    let key = key()?;
    let netns = variable("CNI_NETNS")?;
    let previous = configuration
        .previous()
        .context("'prevResult' is missing")
        .or_code(Code::BadConfiguration)?;
    let locked = Locked::take(root, &key)?;
    let record = locked
        .record()?
        .filter(|record| record.network == configuration.name)
        .with_context(|| {
            format!(
                "the container has no interface {} of this plugin",
                key.ifname()
            )
        })
        .or_code(Code::Differs)?;
    let report =
        interface::check(root, &record, Some(key.ifname()), &netns).or_code(Code::Differs)?;
    result::compare(previous, &report).or_code(Code::Differs)?;
    configuration.delegate("CHECK", &call())?;
    Ok(Value::Null)
}

fn status(root: &Root, configuration: &NetworkConfiguration) -> Result<Value> {
    interface::can_run(root, &configuration.plan.nstype).or_code(Code::NotAvailable)?;
    let delegated = configuration.delegate("STATUS", &call());
    if delegated
        .as_ref()
        .is_err_and(|error| !error.is::<PluginError>())
    {
        return delegated.map(|()| Value::Null).or_code(Code::NotAvailable);
    }
    delegated.map(|()| Value::Null)
}

/// Takes down the interfaces of this network that the runtime does not list.
fn collect(root: &Root, configuration: &NetworkConfiguration) -> Result<Value> {
    let valid = configuration.valid_attachments()?;
    let mut failed = Vec::new();
    for (key, record) in record::all(root)? {
        let ours = record.is_some_and(|record| record.network == configuration.name);
        if !ours || valid.contains(&key) {
            continue;
        }
        let locked = Locked::take(root, &key)?;
        // Another process may have taken it down.
        let Some(record) = locked.record()? else {
            continue;
        };
        let divert = locked.divert_output();
        if let Err(error) = divert.and_then(|()| interface::detach(root, &locked, &record)) {
            failed.push(format!(
                "{} of {}: {error:#}",
                key.ifname(),
                key.container()
            ));
        }
    }
    let delegated = configuration.delegate("GC", &call());
    match failed.is_empty() {
        true => delegated.map(|()| Value::Null),
        false => {
            failed.extend(delegated.err().map(|error| format!("{error:#}")));
            Err(anyhow!("could not take down {}", failed.join("; ")))
        }
    }
}

/// The facts in the environment. `CNI_ARGS` contains the pod's name from Kubernetes and the MAC address
/// from Podman 4.
fn facts_of_environment(key: &Key) -> Facts {
    let arguments = env::var("CNI_ARGS").unwrap_or_default();
    let argument = |key: &str| {
        let mut pairs = arguments.split(';').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(found, _)| *found == key)?;
        Some(value.to_owned())
    };
    Facts {
        id: key.container().to_owned(),
        name: argument("K8S_POD_NAME").unwrap_or_default(),
        mac: argument("MAC"),
        ..Facts::default()
    }
}
