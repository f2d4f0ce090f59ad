//! The layers of `src/`, the order in which they may use each other, and the names of types.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::repository;

/// A layer may use those that come after it, and itself.
const LAYERS: [&str; 15] = [
    "bin",
    "cli",
    "pods",
    "container",
    "lifecycle",
    "check",
    "inventory",
    "migrate",
    "service",
    "update",
    "phase",
    "systemd",
    "namespace",
    "instance",
    "sys",
];

/// The directory in which each file is a verb.
const VERBS: [&str; 2] = ["cli", "netnsctl"];

/// A module's or an item's path from the root of the crate, without `crate`.
type Names = Vec<String>;

/// What is wrong with the layout of `src`, a line for each fault.
fn faults(src: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for path in entries(src) {
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() && !LAYERS.contains(&&*name) {
            faults.push(format!("{name}/ is not in the list of layers"));
        }
        if !path.is_dir() && name != "lib.rs" {
            faults.push(format!("{name} is in no layer"));
        }
    }
    let mut types = BTreeMap::new();
    for layer in LAYERS {
        let files = sources(&src.join(layer));
        if files.is_empty() {
            faults.push(format!("{layer}/ has no sources"));
        }
        let mut used_layers = BTreeSet::new();
        // Programs have no module.
        if layer != "bin" && !begins_with_doc(&src.join(layer).join("mod.rs")) {
            faults.push(format!("{layer}/mod.rs does not begin with a //! comment"));
        }
        for file in files {
            let names = module(file.strip_prefix(src).unwrap());
            let mut uses = used_by(&file, &names);
            uses.retain(|used| *used != names);
            used_layers.extend(uses.iter().filter_map(|used| used.first().cloned()));
            uses.sort();
            uses.dedup();
            for name in types_in(&file) {
                if let Some(other) = types.insert(name.clone(), file.clone()) {
                    let files = [other, file.clone()].map(|file| file.display().to_string());
                    faults.push(format!("two types are named {name}: {}", files.join(", ")));
                }
            }
            let file = file.strip_prefix(src).unwrap().display();
            let broken = uses.iter().filter_map(|used| forbidden(&names, used));
            faults.extend(broken.map(|fault| format!("{file}: {fault}")));
        }
        used_layers.remove(layer);
        let named = named_as_used(&src.join(layer).join("mod.rs"));
        if named.is_some_and(|named| named != used_layers) {
            let used: Vec<String> = used_layers.into_iter().collect();
            faults.push(format!("{layer}/mod.rs: uses {}", used.join(", ")));
        }
    }
    faults
}

/// The names of the types that a file defines outside of functions and modules.
fn types_in(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let name = |line: &str| {
        let line = line.strip_prefix("pub(super) ").unwrap_or(line);
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let (keyword, rest) = line.split_once(' ')?;
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric())?;
        ["struct", "enum", "trait", "type"]
            .contains(&keyword)
            .then(|| rest[..end].to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// Why a module may not use a path, if it may not.
fn forbidden(module: &Names, used: &Names) -> Option<String> {
    let (from, to) = (module.first()?, used.first()?);
    let place = |layer: &String| LAYERS.iter().position(|known| known == layer);
    let shown = used.join("::");
    let Some(there) = place(to) else {
        return Some(format!("{shown} is in no layer of the list"));
    };
    if there < place(from)? {
        return Some(format!("{from} may not use {shown}: {to} comes before it"));
    }
    let verb = |names: &Names| {
        let inside = names.len() > 2 && names[..2] == VERBS;
        inside.then(|| names[2].clone())
    };
    match (verb(module), verb(used)) {
        (Some(one), Some(other)) if one != other => {
            Some(format!("verb {one} may not use its sibling {shown}"))
        }
        _ => None,
    }
}

/// The path of the module in a file, given relative to `src`.
fn module(file: &Path) -> Names {
    let path = file.with_extension("");
    let names = path.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "mod").collect()
}

/// The paths that a file names from the root of the crate.
fn used_by(file: &Path, module: &Names) -> Vec<Names> {
    let text = fs::read_to_string(file).unwrap();
    let tokens: TokenStream = text
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut found = Vec::new();
    collect(tokens, module, &mut found);
    found
}

fn collect(tokens: TokenStream, module: &Names, found: &mut Vec<Names>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = &tokens[..];
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (TokenTree::Ident(word), [TokenTree::Ident(name), TokenTree::Group(body), ..])
                if word == "mod" && body.delimiter() == Delimiter::Brace =>
            {
                let inner = [&module[..], &[name.to_string()]].concat();
                collect(body.stream(), &inner, found);
                rest = &after[2..];
            }
            (TokenTree::Ident(word), _) => {
                if let (Some(root), Some(path)) = (root(&word.to_string(), module), tail(after)) {
                    follow(path, root, found);
                }
                while let Some([_, end @ ..]) = tail(rest) {
                    rest = end;
                }
            }
            (TokenTree::Group(group), _) => collect(group.stream(), module, found),
            _ => {}
        }
    }
}

/// Where a path that begins with this word starts, if it is one of those that lead through the crate.
fn root(word: &str, module: &Names) -> Option<Names> {
    match word {
        // A program's own root, which is not that of the library.
        "crate" if module[0] == "bin" => Some(module.clone()),
        "crate" | "systemd_netns" => Some(Vec::new()),
        "self" => Some(module.clone()),
        "super" => Some(module[..module.len() - 1].to_vec()),
        _ => None,
    }
}

/// What follows `::`.
fn tail(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    let colon =
        |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':');
    match tokens {
        [one, two, rest @ ..] if colon(one) && colon(two) => Some(rest),
        _ => None,
    }
}

/// Follows a path, and each branch of `{…}` in it, to its ends.
fn follow(tokens: &[TokenTree], mut names: Names, found: &mut Vec<Names>) {
    match tokens {
        [TokenTree::Ident(word), rest @ ..] => {
            match word.to_string().as_str() {
                "super" => drop(names.pop()),
                "self" => {}
                name => names.push(name.to_owned()),
            }
            match tail(rest) {
                Some(rest) => follow(rest, names, found),
                None => found.push(names),
            }
        }
        [TokenTree::Group(group), ..] => {
            let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
            let comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
            for branch in tokens.split(comma) {
                follow(branch, names.clone(), found);
            }
        }
        // All that is there, or type arguments.
        _ => found.push(names),
    }
}

/// The layers that the paragraph `Uses …` at the beginning of a file names, if it has one.
fn named_as_used(file: &Path) -> Option<BTreeSet<String>> {
    let text = fs::read_to_string(file).ok()?;
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let paragraph = lines.skip_while(|line| !line.starts_with(" Uses "));
    let paragraph: String = paragraph.take_while(|line| !line.is_empty()).collect();
    let words = paragraph.split('`').skip(1).step_by(2);
    (!paragraph.is_empty()).then(|| words.map(str::to_owned).collect())
}

fn begins_with_doc(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.starts_with("//! "))
}

/// What a directory holds, in order.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The Rust files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let (directories, mut files): (Vec<_>, Vec<_>) = entries(directory)
        .into_iter()
        .partition(|path| path.is_dir());
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.extend(directories.iter().flat_map(|path| sources(path)));
    files
}

#[test]
fn layers_use_only_those_below_them() {
    let faults = faults(&repository("src"));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The faults of a correct tree in which one file is replaced.
fn faults_with(path: &str, text: &str) -> Vec<String> {
    let src = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = src.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("\\n", "\n")).unwrap();
    };
    for layer in LAYERS {
        write(&format!("{layer}/mod.rs"), "//! What is in it.\n");
    }
    write("lib.rs", "pub mod cli;");
    write("bin/mod.rs", "fn main() { systemd_netns::cli::run() }");
    write("cli/netnsctl/list.rs", "use crate::sys::file;");
    write(
        "cli/netnsctl/up/mod.rs",
        "mod wait; use super::super::output;",
    );
    write(path, text);
    faults(src.path())
}

/// The columns of a table.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let lines = table.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| line.split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn what_is_allowed_is_no_fault() {
    let allowed = r#"
        update/a.rs             | use crate::{phase::x, sys::{self, file}, update::b};
        update/a.rs             | mod tests { use super::super::b; use super::*; }
        update/a.rs             | pub(crate) fn f() -> crate::instance::Name { todo!() }
        sys/a.rs                | // use crate::cli\nconst A: &str = "crate::cli"; fn f<'a>(_: &'a str) {}
        bin/x.rs                | mod y { } use crate::y::z;
        cli/netnsctl/mod.rs     | use self::list::List; mod list;
        cli/netnsctl/up/wait.rs | use super::Up; use crate::cli::netnsctl::up::Wait;
    "#;
    for row in rows(allowed) {
        assert_eq!(faults_with(row[0], row[1]), [""; 0], "{row:?}");
    }
}

#[test]
fn each_fault_is_found() {
    let broken = "
        sys/a.rs              | use crate::instance;                | sys may not use instance:
        sys/a.rs              | use {crate::instance::x, std::io};  | instance::x:
        sys/a.rs              | use crate::{sys::b, cli::{self}};   | cli:
        sys/a.rs              | fn f() { g!(crate::cli::x(1)) }     | cli::x:
        sys/a.rs              | use super::super::cli::x;           | cli::x:
        sys/a.rs              | mod c { use super::super::{super::cli::*}; } | cli:
        systemd/a.rs          | use crate::phase::x as y;           | systemd may not use phase::x:
        cli/a.rs              | use systemd_netns::bin;             | cli may not use bin:
        bin/x.rs              | use systemd_netns::old::x;          | old::x is in no layer
        sys/a.rs              | use crate::config::x;               | config::x is in no layer
        cli/netnsctl/down.rs  | use super::list::x;                 | down may not use its sibling
        cli/netnsctl/down.rs  | use crate::cli::netnsctl::{up, down}; | netnsctl::up
        cli/netnsctl/up/w.rs  | use super::super::list;             | verb up may not use
        sys/a.rs              | pub enum A {}\\nstruct A;            | two types are named A:
        update/mod.rs         | //! A.\\n//!\\n//! Uses `sys`.\\nuse crate::phase; | update/mod.rs: uses phase
        cars/mod.rs           | //! Cars.                           | cars/ is not in the list
        old.rs                |                                     | old.rs is in no layer
        sys/mod.rs            | pub mod file;                       | sys/mod.rs does not begin
    ";
    for row in rows(broken) {
        let faults = faults_with(row[0], row[1]);
        assert!(
            faults.len() == 1 && faults[0].contains(row[2]),
            "{row:?}: {faults:#?}"
        );
    }
    // A layer that was removed must be removed from the list.
    let empty = faults(tempfile::tempdir().unwrap().path());
    assert!(
        empty.contains(&"sys/ has no sources".to_owned()),
        "{empty:#?}"
    );
}
