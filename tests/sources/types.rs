//! The type library: script, sample and README of each type agree, and its pages are well-formed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use systemd_netns::check::Declarations;

use crate::repository;

fn types() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository("contrib/types")).unwrap();
    let mut types: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    types.sort();
    assert!(types.len() >= 2);
    types
}

/// All pages in Markdown: the project's, and the README of each type.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut directories = vec![
        root.to_owned(),
        root.join("docs"),
        root.join("contrib/types"),
    ];
    directories.extend(types());
    let files = directories.iter().flat_map(|directory| {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().path())
    });
    files
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect()
}

fn read(nstype: &Path, extension: &str) -> String {
    let name = nstype.file_name().unwrap().to_string_lossy();
    let path = nstype.join(format!("{name}.{extension}"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_variable(word: &str) -> bool {
    let known = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(known)
}

/// `VARIABLE=` or `#VARIABLE=` at the beginning of a line.
fn of_sample(sample: &str) -> BTreeSet<String> {
    let names = sample.lines().filter_map(|line| {
        let (name, _) = line.trim_start_matches('#').split_once('=')?;
        is_variable(name).then(|| name.to_owned())
    });
    names.collect()
}

/// `VARIABLE` in backticks, in the first column of a table.
fn of_readme(readme: &str) -> BTreeSet<String> {
    let cells = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names
        .filter(|name| is_variable(name))
        .map(str::to_owned)
        .collect()
}

#[test]
fn variables_are_the_same_everywhere() {
    for nstype in types() {
        let about = Declarations::of(&read(&nstype, "sh"));
        let declared = about.variables.unwrap_or_else(|| {
            panic!(
                "{}: its script has no line '# netns-variables:'",
                nstype.display()
            )
        });
        let declared: BTreeSet<String> = declared.into_iter().collect();
        let shown = nstype.display();
        assert_eq!(
            declared,
            of_sample(&read(&nstype, "conf")),
            "the sample of {shown}"
        );
        let readme = fs::read_to_string(nstype.join("README.md")).unwrap();
        assert_eq!(declared, of_readme(&readme), "the README of {shown}");
    }
}

/// The cells of a row of a table; a `|` in a code span needs a backslash there, too.
fn cells(row: &str) -> usize {
    row.replace("\\|", "").matches('|').count()
}

#[test]
fn tables_are_well_formed() {
    let mut tables = 0;
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        let mut lines = (1..).zip(page.lines()).peekable();
        while let Some((number, header)) = lines.next() {
            if !header.starts_with('|') {
                continue;
            }
            let at = format!("{}:{number}", path.display());
            let (_, rule) = lines.next().unwrap_or_default();
            assert!(
                rule.starts_with("|---") && rule.chars().all(|c| "|-:".contains(c)),
                "{at}: '{rule}' stands where the line |---| under the header belongs"
            );
            assert_eq!(cells(header), cells(rule), "{at}");
            while let Some((number, row)) = lines.next_if(|(_, line)| line.starts_with('|')) {
                assert_eq!(cells(row), cells(header), "{}:{number}", path.display());
            }
            tables += 1;
        }
    }
    assert!(tables > 10);
}

/// The functions and variables of the library that are not internal, and their files.
fn library() -> BTreeSet<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/types");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "bash") {
            continue;
        }
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let name = line.split(['(', '=', ' ']).next().unwrap_or_default();
            let defines =
                line[name.len()..].starts_with("()") || line[name.len()..].starts_with('=');
            if defines && name.starts_with("netns_") {
                found.insert((file.clone(), name.to_owned()));
            }
        }
    }
    found
}

#[test]
fn the_page_lists_what_the_library_has() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/types/README.md");
    let mut listed = BTreeSet::new();
    let mut file = String::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            file = heading.to_owned();
        }
        let cell = line
            .strip_prefix("| ")
            .and_then(|row| row.split(" |").next());
        let names = cell
            .into_iter()
            .flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let names = names.filter_map(|text| text.split_whitespace().next());
        let names = names.filter(|name| name.starts_with("netns_"));
        listed.extend(names.map(|name| (file.clone(), name.to_owned())));
    }
    assert_eq!(listed, library());
}

#[test]
fn no_type_uses_internals_of_the_library() {
    for nstype in types() {
        let script = read(&nstype, "sh");
        let mut words = script.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let internal = words.find(|word| word.starts_with("_netns_"));
        assert_eq!(internal, None, "{}", nstype.display());
    }
}

#[test]
fn programs_are_declared_and_parents_are_variables() {
    for nstype in types() {
        let about = Declarations::of(&read(&nstype, "sh"));
        assert!(
            !about.programs.is_empty(),
            "{}: no '# netns-programs:'",
            nstype.display()
        );
        let variables = about.variables.unwrap_or_default();
        for parent in about.parents {
            assert!(
                variables.contains(&parent),
                "{}: {parent}",
                nstype.display()
            );
        }
    }
}
