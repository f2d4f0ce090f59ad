use anyhow::Result;
use clap::Args;

use crate::instance::name::NsName;
use crate::instance::paths::Root;
use crate::sys::command;

/// Save the nftables rules of a network namespace for NSTYPE nft
///
/// Writes them to /etc/conf.d/netns/nft-NSNAME.rules, as netns-nft-save does.
#[derive(Debug, Args)]
#[command(after_help = "Example: netnsctl nft-save web")]
pub struct NftSave {
    /// Name of the network namespace
    #[arg(value_name = "NSNAME")]
    name: NsName,
}

impl NftSave {
    pub fn run(&self, _root: &Root) -> Result<u8> {
        let program = command::ours("netns-nft-save")?;
        match command::replace(program.as_os_str(), &[self.name.as_str().into()], None)? {}
    }
}
