//! nftables tables created by type `nat` or a copy of it: `netns-NSTYPE-NSNAME`.

use anyhow::{Context, Result};

use super::Leftover;
use crate::instance::name::{Instance, NsName};
use crate::sys::command;

const FAMILY: &str = "inet";
const PREFIX: &str = "netns-";
/// The mark of a table of nat.sh: others may have a similar name.
const CHAIN: &str = "\tchain published_to_host {";

pub fn find() -> Result<Vec<Leftover>> {
    // Without nft, there are no such tables.
    let Ok(nft) = command::find("nft") else {
        return Ok(Vec::new());
    };
    let list = |words: &[&str]| {
        let listing = command::output(&nft, words);
        listing.context("looking for tables of nftables")
    };
    let mut found = Vec::new();
    for line in list(&["list", "tables", FAMILY])?.lines() {
        let Some((name, instance)) = of_line(line) else {
            continue;
        };
        // Only the listing of the whole table has its handle. It may be gone meanwhile.
        let Ok(listing) = list(&["-a", "list", "table", FAMILY, name]) else {
            continue;
        };
        if !listing.contains(CHAIN) {
            continue;
        }
        found.extend(handle(&listing).map(|handle| Leftover::Table {
            instance,
            name: name.to_owned(),
            handle,
        }));
    }
    Ok(found)
}

/// The name and the instance in a line such as `table inet netns-nat-web`. Types have no hyphen.
fn of_line(line: &str) -> Option<(&str, Instance)> {
    let name = line.strip_prefix("table inet ")?.trim();
    let (nstype, identifier) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let nstype = nstype.parse().ok()?;
    let nsname = nsname(identifier)?;
    Some((name, Instance { nstype, nsname }))
}

/// The handle in the first line of a table, `table inet NAME { # handle 7`.
fn handle(listing: &str) -> Option<u64> {
    let (_, comment) = listing.lines().next()?.split_once("# handle ")?;
    comment.split_whitespace().next()?.parse().ok()
}

/// The namespace of a table: characters that are invalid in nft are written as `/` and hexadecimal
/// bytes (`_nat_identifier` of nat.sh).
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

/// Deletes a table by its handle, which a later table of the same name does not have.
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
        let line = "table inet netns-nat-a/3ab/40c-1";
        let (name, instance) = of_line(line).unwrap();
        assert_eq!(name, "netns-nat-a/3ab/40c-1");
        assert_eq!(instance.to_string(), "nat@a:b@c-1");
        let (_, instance) = of_line("table inet netns-out-b-1").unwrap();
        assert_eq!(instance.to_string(), "out@b-1");
        assert_eq!(handle("table inet x { # handle 7\n}\n"), Some(7));
        assert_eq!(handle("table inet x {\n}\n"), None);
    }

    #[test]
    fn the_tables_of_others_are_not_ours() {
        for line in [
            "table inet filter",
            "table ip netns-nat-web",
            "table inet netns-nat-",
            "table inet netns-nat-a/2",
            "table inet netns-nat-a/zz",
            "table inet netns-web",
            "",
        ] {
            assert_eq!(of_line(line), None, "{line}");
        }
    }
}
