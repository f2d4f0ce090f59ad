use std::ffi::OsString;

use anyhow::{Result, bail};
use clap::Args;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::namespace::{self, NetNs};
use crate::sys::command;
use crate::sys::user::require_root;

/// Run a command in a pod, with its host name
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: that of COMMAND, or 5 if there is no such command.

Example: netnsctl pods exec vm-001-ns03 -- hostname")]
pub struct PodsExec {
    /// Name of the pod
    #[arg(value_name = "NSNAME")]
    pod: NsName,

    /// Command to run, with its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    #[arg(allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl PodsExec {
    pub fn run(&self, root: &Root) -> Result<u8> {
        require_root()?;
        let Self { pod, command } = self;
        let Some(namespace) = NetNs::open(root, pod)? else {
            bail!("there is no pod '{pod}': see 'netnsctl pods list'");
        };
        namespace.enter()?;
        if !namespace::join_hostname(&root.utsns(pod))? {
            namespace::own_hostname(pod.as_str())?;
        }
        namespace::see_only(root, pod)?;
        let [program, arguments @ ..] = command.as_slice() else {
            bail!("no command");
        };
        match command::replace(program, arguments, None)? {}
    }
}
