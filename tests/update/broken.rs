//! File systems that are full, without free inodes, or read-only.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use nix::mount::{MsFlags, mount, umount};

use crate::needs_root;
use crate::tree::{INSIDE, OLD, OUTSIDE, Outcome, Tree, snapshot};

pub fn trials() -> Vec<Trial> {
    vec![
        needs_root("a_full_disk_leaves_every_copy_whole", full_disk),
        needs_root("a_disk_without_inodes_leaves_every_copy_whole", no_inodes),
        needs_root("a_read_only_disk_loses_nothing", read_only),
        needs_root(
            "a_read_only_disk_with_nothing_to_do_is_fine",
            read_only_settled,
        ),
        needs_root("a_read_only_disk_without_a_unit_directory", read_only_root),
    ]
}

fn mount_tmpfs(on: &Path, options: &str) {
    fs::create_dir_all(on).unwrap();
    mount(
        Some("test"),
        on,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(options),
    )
    .unwrap();
}

fn remount_read_only(path: &Path) {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, path, None::<&str>, flags, None::<&str>).unwrap();
}

/// Old copies of three types, and a fourth type that has none.
fn outdated(tree: &Tree) {
    for nstype in ["a", "b", "c"] {
        tree.conf(nstype);
        tree.unit(&format!("netns-{nstype}@.service"), OLD);
        tree.unit(&format!("netns_outside-{nstype}@.service"), OLD);
    }
    tree.conf("d");
    tree.unit("netns-stale@.service", OLD);
}

/// Checks that each file is old or new, and that there are no others.
fn assert_whole(tree: &Tree, before: &BTreeMap<String, String>, context: &str) -> usize {
    let mut new = 0;
    let after = tree.units();
    for (name, text) in &after {
        let wanted = if name.starts_with("netns_outside") {
            OUTSIDE
        } else {
            INSIDE
        };
        if text == wanted {
            new += 1;
        } else {
            assert_eq!(before.get(name), Some(text), "{context}: {name}");
        }
    }
    for name in before.keys() {
        assert!(
            name.contains("stale") || after.contains_key(name),
            "{context}: {name} is lost"
        );
    }
    new
}

/// Runs on a disk with little free space, from none to enough.
fn limited(options: &str, fill: fn(&Path) -> bool) {
    let mut results = Vec::new();
    for room in 0..12 {
        let tree = Tree::new();
        let disk = tree.path("etc/systemd");
        mount_tmpfs(&disk, options);
        outdated(&tree);
        let before = tree.units();
        let filler = |n: usize| disk.join(format!("filler-{n}"));
        let fillers = (0..).take_while(|n| fill(&filler(*n))).count();
        let _ = fs::remove_file(filler(fillers));
        (0..room).for_each(|n| fs::remove_file(filler(n)).unwrap());

        let outcome = tree.update();
        let context = format!("{options}, room for {room}: {outcome:#?}");
        let new = assert_whole(&tree, &before, &context);
        for line in outcome.stderr.lines() {
            assert!(line.contains("/etc/systemd/system/netns"), "{context}");
        }
        match outcome.status {
            Some(0) => assert_eq!(new, 8, "{context}"),
            Some(1) => assert!(new < 8 && !outcome.stderr.is_empty(), "{context}"),
            _ => panic!("{context}"),
        }
        results.push(new);
        (room..fillers).for_each(|n| fs::remove_file(filler(n)).unwrap());
        tree.update().expect(0);
        assert_eq!(assert_whole(&tree, &before, &context), 8, "{context}");
        umount(&disk).unwrap();
    }
    assert_eq!(results[0], 0, "it was not full: {results:?}");
    assert!(results.contains(&8), "it was always full: {results:?}");
}

fn full_disk() -> Result<(), Failed> {
    // tmpfs allocates whole pages.
    limited("size=256k", |path| fs::write(path, [0; 4096]).is_ok());
    Ok(())
}

fn no_inodes() -> Result<(), Failed> {
    limited("nr_inodes=64", |path| fs::write(path, "").is_ok());
    Ok(())
}

fn read_only() -> Result<(), Failed> {
    for arguments in [&[][..], &["--clean"]] {
        let tree = Tree::new();
        let disk = tree.path("etc/systemd");
        mount_tmpfs(&disk, "");
        outdated(&tree);
        remount_read_only(&disk);
        let before = snapshot(tree.root());
        let outcome = Outcome::of(tree.command().args(arguments)).expect(1);
        assert!(outcome.stdout.is_empty(), "{outcome:#?}");
        // One line for each file: seven copies, and two that are new.
        let lines = if arguments.is_empty() { 9 } else { 7 };
        assert_eq!(outcome.stderr.lines().count(), lines, "{outcome:#?}");
        for line in outcome.stderr.lines() {
            assert!(line.contains("/etc/systemd/system/netns"), "{line}");
            assert!(line.to_lowercase().contains("read-only"), "{line}");
        }
        assert_eq!(snapshot(tree.root()), before);
        umount(&disk).unwrap();
    }
    Ok(())
}

fn read_only_settled() -> Result<(), Failed> {
    let tree = Tree::new();
    let disk = tree.path("etc/systemd");
    mount_tmpfs(&disk, "");
    tree.conf("veth");
    tree.update().expect(0);
    remount_read_only(&disk);
    let outcome = tree.update().expect(0);
    assert!(
        outcome.stdout.is_empty() && outcome.stderr.is_empty(),
        "{outcome:#?}"
    );
    umount(&disk).unwrap();
    Ok(())
}

fn read_only_root() -> Result<(), Failed> {
    let tree = Tree::new();
    let disk = tree.path("etc/systemd");
    mount_tmpfs(&disk, "");
    tree.conf("veth");
    remount_read_only(&disk);
    let outcome = tree.update().expect(1);
    assert!(
        outcome.stderr.contains("/etc/systemd/system: "),
        "{outcome:#?}"
    );
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    umount(&disk).unwrap();
    Ok(())
}
