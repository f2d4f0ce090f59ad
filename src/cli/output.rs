//! What several verbs of netnsctl print.

use anyhow::{Context, Result};
use serde::Serialize;

use crate::inventory::Maker;
use crate::sys::log;
use crate::systemd::manager::Manager;
use crate::systemd::service::ServiceName;

/// `value` as JSON: indented, with a newline at the end.
pub fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value).context("writing JSON")?;
    Ok(text + "\n")
}

/// Warns of what could not be read.
pub fn warn_unseen(unseen: &[String]) {
    for what in unseen {
        log::warn(&format!("not seen: {what}"));
    }
}

/// Who created a namespace, in a word or two.
pub fn maker(maker: Maker) -> &'static str {
    match maker {
        Maker::Us => "us",
        Maker::Other => "someone else",
        Maker::Unknown => "?",
    }
}

/// Restarts the service, or prints how to.
pub fn restart(manager: Option<&Manager>, service: &ServiceName, now: bool) -> Result<u8> {
    let pattern = service.pattern();
    match manager {
        None => log::info("systemd does not run here: nothing was reloaded"),
        Some(manager) if now => manager
            .restart(&pattern)
            .with_context(|| format!("{service} has its new settings, and does not start"))?,
        Some(_) => log::info(&format!(
            "to have that take effect: systemctl restart {}",
            shell_words::quote(&pattern)
        )),
    }
    Ok(0)
}
