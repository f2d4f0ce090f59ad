//! Checks that the tests cover each page and each block of the book, and that links refer to existing files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::repository;

/// The first words of command lines.
const COMMANDS: [&str; 9] = [
    "netnsctl ",
    "netnsupdate",
    "systemctl ",
    "journalctl ",
    "ip ",
    "apt ",
    "make ",
    "curl ",
    "podman ",
];

/// Commands in a block that fail if the block has no effect.
const CHECKS: [&str; 5] = ["grep ", "curl -sf", "ping -", "\n! ", "test "];

fn markdown(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let mut pages: Vec<PathBuf> = directories.iter().flat_map(|path| markdown(path)).collect();
    pages.extend(
        files
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "md")),
    );
    pages
}

/// The pages of the book by their paths from the root of the repository, and their texts.
fn pages() -> Vec<(String, String)> {
    let root = repository("");
    let mut pages = markdown(&repository("docs"));
    pages.push(repository("README.md"));
    let read = |path: PathBuf| {
        let name = path
            .strip_prefix(&root)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        (name, fs::read_to_string(&path).unwrap())
    };
    let pages: Vec<_> = pages.into_iter().map(read).collect();
    assert!(pages.len() > 5);
    pages
}

/// A fenced block: the line where it begins, the word after the fence, its lines, and what follows it.
struct Block<'a> {
    line: usize,
    language: &'a str,
    text: String,
    not_run: bool,
    checked: bool,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let lines: Vec<&str> = page.lines().collect();
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let begin = at;
        at += 1;
        let Some(language) = lines[begin].strip_prefix("```") else {
            continue;
        };
        while lines.get(at).is_some_and(|line| *line != "```") {
            at += 1;
        }
        assert!(
            at < lines.len(),
            "the block at line {} has no end",
            begin + 1
        );
        let before = lines[..begin].iter().rev().find(|line| !line.is_empty());
        // Between a block and its check, there may be text, but no other block of commands.
        let next = lines[at + 1..]
            .iter()
            .find(|line| **line == "```sh" || line.starts_with("<!-- test"));
        blocks.push(Block {
            line: begin + 1,
            language,
            text: format!("\n{}\n", lines[begin + 1..at].join("\n")),
            not_run: before.is_some_and(|line| line.starts_with("<!-- not run: ")),
            checked: next.is_some_and(|line| line.starts_with("<!-- test")),
        });
        at += 1;
    }
    blocks
}

/// The first line of a block that is a command.
fn command_of<'a>(block: &'a Block) -> Option<&'a str> {
    let is_command = |line: &&str| COMMANDS.iter().any(|command| line.starts_with(command));
    block.text.lines().find(is_command)
}

/// The sources of the tests on booted machines.
fn tests() -> String {
    let cases = fs::read_dir(repository("tests/system/cases")).unwrap();
    cases
        .map(|case| fs::read_to_string(case.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn every_page_with_commands_is_run() {
    let tests = tests();
    for (name, text) in pages() {
        let runs = |block: &Block| block.language == "sh" || command_of(block).is_some();
        let runs = blocks(&text).iter().any(runs);
        assert!(
            !runs || tests.contains(&name),
            "{name} has commands, and no test in tests/system/cases runs it: see docs.rs there"
        );
    }
}

#[test]
fn every_block_of_commands_is_run_and_checked() {
    let runner = fs::read_to_string(repository("tests/system/cases/docs.rs")).unwrap();
    let mut run = 0;
    for (name, text) in pages() {
        if !runner.contains(&format!("\"{name}\"")) {
            continue;
        }
        for block in blocks(&text) {
            let at = format!("{name}:{}", block.line);
            if block.language != "sh" {
                assert_eq!(
                    command_of(&block),
                    None,
                    "{at}: a block of commands begins with ```sh"
                );
                continue;
            }
            let checks = CHECKS.iter().any(|check| block.text.contains(check));
            assert!(
                block.checked || checks || block.not_run,
                "{at}: nothing checks what this block has done: add <!-- test ... --> after it"
            );
            run += usize::from(!block.not_run);
        }
    }
    assert!(run > 20, "{run} blocks are run");
}

#[test]
fn links_lead_to_files() {
    let mut links = 0;
    for (name, text) in pages() {
        let directory = repository(&name);
        let directory = directory.parent().unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = link.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            assert!(
                directory.join(path).exists(),
                "{name}: {link} leads nowhere"
            );
            links += 1;
        }
    }
    assert!(links > 20);
}

#[test]
fn what_is_forgotten_is_seen() {
    let page = "```sh\na\n```\ntext\n<!-- test\nb\n-->\n\n<!-- not run: x -->\n```sh\nc\n```\n```\nip a\n```\n```sh\nd\n```\n";
    let found: Vec<_> = blocks(page)
        .iter()
        .map(|b| (b.line, b.language, b.checked, b.not_run))
        .collect();
    let expected = [
        (1, "sh", true, false),
        (10, "sh", false, true),
        (13, "", false, false),
        (16, "sh", false, false),
    ];
    assert_eq!(found, expected);
}
