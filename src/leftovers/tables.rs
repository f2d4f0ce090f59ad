//! Tables of nftables that NSTYPE nat has made, `netns-nat-NSNAME`.

use anyhow::{Context, Result};

use super::Leftover;
use crate::command;
use crate::name::{Instance, NsName};

const FAMILY: &str = "inet";
const PREFIX: &str = "netns-nat-";

pub fn find() -> Result<Vec<Leftover>> {
    // Without nft, there cannot be such tables.
    let Ok(nft) = command::find("nft") else {
        return Ok(Vec::new());
    };
    let listing = command::output(&nft, &["-a", "list", "tables", FAMILY]);
    let listing = listing.context("tables of nftables")?;
    Ok(listing.lines().filter_map(table).collect())
}

/// A line such as `table inet netns-nat-web # handle 7`.
fn table(line: &str) -> Option<Leftover> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["table", FAMILY, name, "#", "handle", handle] = words.as_slice() else {
        return None;
    };
    let instance = Instance {
        nstype: "nat".parse().ok()?,
        nsname: nsname(name.strip_prefix(PREFIX)?)?,
    };
    Some(Leftover::Table {
        instance,
        name: (*name).to_owned(),
        handle: handle.parse().ok()?,
    })
}

/// The namespace of a table: characters that no name of nft can have are `/` and their bytes in
/// hexadecimal (`_nat_identifier` of nat.sh).
fn nsname(identifier: &str) -> Option<NsName> {
    let mut bytes = Vec::new();
    let mut rest = identifier.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'/' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()?.parse().ok()
}

/// Deletes a table by its handle, which no later table of that name has.
pub fn delete(handle: u64) -> Result<()> {
    let handle = handle.to_string();
    let words = ["delete", "table", FAMILY, "handle", &handle];
    command::output(&command::find("nft")?, &words).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_its_instance() {
        let line = "table inet netns-nat-a/20/c3/bc-1 # handle 7";
        let Some(Leftover::Table {
            instance, handle, ..
        }) = table(line)
        else {
            panic!("it is one of ours");
        };
        assert_eq!((instance.to_string().as_str(), handle), ("nat@a ü-1", 7));
    }

    #[test]
    fn the_tables_of_others_are_not_ours() {
        for line in [
            "table inet filter # handle 1",
            "table ip netns-nat-web # handle 1",
            "table inet netns-nat- # handle 1",
            "table inet netns-nat-a/2 # handle 1",
            "table inet netns-web # handle 1",
            "",
        ] {
            assert!(table(line).is_none(), "{line}");
        }
    }
}
