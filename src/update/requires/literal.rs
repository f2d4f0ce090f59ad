//! Reads NETNS_REQUIRES from a bash file without running it.
//!
//! netnsupdate must not run configuration files. It reads lines that begin with `NETNS_REQUIRES=`,
//! `declare NETNS_REQUIRES=` or the like, whose value needs no expansion except `$NSNAME` as the
//! whole name of a namespace.

use anyhow::{Context, Result, bail};

use super::Need;
use crate::instance::sources::is_identifier_part;

const VARIABLE: &str = "NETNS_REQUIRES";

/// The maximum number of lines of a value.
const LINES_MAX: usize = 64;

/// The requirements in a bash file, and the line number. `None` if it does not set the variable.
///
/// # Errors
/// The value cannot be read without running the file. The error begins with the line number.
pub fn read(text: &str) -> Result<Option<(usize, Vec<Need>)>> {
    if !text.contains(VARIABLE) {
        return Ok(None);
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut needs = None;
    let mut index = 0;
    while index < lines.len() {
        let number = index + 1;
        let line = lines[index];
        index += 1;
        let Some(assignment) = assignment(line) else {
            continue;
        };
        let Assignment::Plain(value) = assignment else {
            bail!(
                "{number}: {VARIABLE} must be a plain assignment at the beginning of a line: it is \
                 read without running the file"
            );
        };
        let mut value = value.to_owned();
        // A quoted value or an array may continue on the next line.
        let first = index;
        while !is_whole(&value) {
            if index == lines.len() || index - first == LINES_MAX {
                bail!("{number}: the value of {VARIABLE} is not terminated");
            }
            value.push('\n');
            value += lines[index];
            index += 1;
        }
        let parse = |words: Vec<String>| words.iter().map(|word| Need::parse(word)).collect();
        let parsed = words(&value).and_then(parse);
        needs = Some((number, parsed.with_context(|| number.to_string())?));
    }
    Ok(needs)
}

enum Assignment<'a> {
    Plain(&'a str),
    Other,
}

/// How a line uses the variable. `None` if it does not.
fn assignment(line: &str) -> Option<Assignment<'_>> {
    let code = line.trim_start();
    if code.starts_with('#') {
        return None;
    }
    let mut rest = line;
    for word in [
        "declare ",
        "typeset ",
        "export ",
        "readonly ",
        "-x ",
        "-g ",
        "-r ",
        "-a ",
    ] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    if let Some(value) = rest
        .strip_prefix(VARIABLE)
        .and_then(|rest| rest.strip_prefix('='))
    {
        return Some(Assignment::Plain(value));
    }
    let (before, after) = code.split_once(VARIABLE)?;
    let word = is_identifier_part;
    if before.ends_with("${") {
        return [":=", "="]
            .iter()
            .any(|operator| after.starts_with(operator))
            .then_some(Assignment::Other);
    }
    if before.ends_with(|c: char| word(c) || c == '$') {
        return None;
    }
    let first = code.split_whitespace().next().unwrap_or_default();
    let sets = [
        "unset",
        "read",
        "mapfile",
        "readarray",
        "printf",
        "eval",
        "for",
    ]
    .contains(&first)
        && !after.starts_with(word);
    let assigns = ["=", "+=", "["]
        .iter()
        .any(|operator| after.starts_with(operator));
    (sets || assigns).then_some(Assignment::Other)
}

/// Whether quotes and the parenthesis of an array are closed.
fn is_whole(value: &str) -> bool {
    if value.trim_start().starts_with('(') {
        let code = value
            .lines()
            .map(|line| line.split('#').next().unwrap_or(line));
        return code.collect::<String>().contains(')');
    }
    shell_words::split(value).is_ok()
}

fn words(value: &str) -> Result<Vec<String>> {
    if value.contains(['`', '\\', '*', '?', '<', '>', '|', '&']) || value.contains("$(") {
        bail!("{VARIABLE} cannot be computed: it is read without running the file");
    }
    let value = value.trim();
    let list = match value.strip_prefix('(') {
        Some(array) => {
            let without_comments: Vec<&str> = array
                .lines()
                .map(|line| line.split('#').next().unwrap_or(line))
                .collect();
            let joined = without_comments.join(" ");
            let Some((inner, rest)) = joined.split_once(')') else {
                bail!("the value of {VARIABLE} is not terminated");
            };
            check_rest(rest)?;
            shell_words::split(inner)?
        }
        None => {
            let quoted = value.starts_with(['"', '\'']);
            let mut split = shell_words::split(value)?.into_iter();
            let first = split.next().unwrap_or_default();
            if let Some(rest) = split.next() {
                check_rest(&rest)?;
            }
            if !quoted && first.contains([';', '(']) {
                bail!("after the value of {VARIABLE} only a comment is allowed");
            }
            vec![first]
        }
    };
    let words = list.iter().flat_map(|word| word.split_whitespace());
    let words: Vec<String> = words.map(str::to_owned).collect();
    Ok(words)
}

fn check_rest(rest: &str) -> Result<()> {
    if !rest.trim().is_empty() && !rest.trim().starts_with('#') {
        bail!("after the value of {VARIABLE} only a comment is allowed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<String> {
        let (_, needs) = read(text).unwrap().unwrap();
        needs.iter().map(Need::unit).collect()
    }

    #[test]
    fn plain_assignments_are_read() {
        let both = [
            "netns-macvlan@nstor.service",
            "netns_name@nsbrowser.service",
        ];
        for text in [
            "NETNS_REQUIRES=\"netns-macvlan@nstor netns_name@nsbrowser\"\n",
            "X=1\nNETNS_REQUIRES='macvlan@nstor netns_name@nsbrowser.service' # why\n",
            "declare NETNS_REQUIRES=\"macvlan@nstor\n  netns_name@nsbrowser\"\nY=2\n",
            "NETNS_REQUIRES=(macvlan@nstor\n  # a comment\n  netns_name@nsbrowser)\n",
            "NETNS_REQUIRES=lo@x\nexport NETNS_REQUIRES=\"netns-macvlan@nstor.service netns_name@nsbrowser\"",
        ] {
            assert_eq!(units(text), both, "{text}");
        }
        assert_eq!(
            units("NETNS_REQUIRES=\"lo@$NSNAME\""),
            ["netns-lo@%i.service"]
        );
        assert_eq!(
            units("NETNS_REQUIRES=lo@${NSNAME}"),
            ["netns-lo@%i.service"]
        );
        assert_eq!(units("NETNS_REQUIRES=ovs.service"), ["ovs.service"]);
        assert_eq!(
            units("NETNS_REQUIRES=wg-quick@wg0.service"),
            ["wg-quick@wg0.service"]
        );
        assert!(units("NETNS_REQUIRES=\n").is_empty());
        assert!(units("NETNS_REQUIRES=\"\"\n").is_empty());
    }

    #[test]
    fn other_lines_do_not_count() {
        for text in [
            "",
            "# NETNS_REQUIRES=lo@x\n",
            "MY_NETNS_REQUIRES=lo@x\n",
            "echo \"$NETNS_REQUIRES\"\n",
            "[[ ${NETNS_REQUIRES-} ]]\n",
            "echo NETNS_REQUIRES\n",
        ] {
            assert_eq!(read(text).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn a_computed_value_is_refused_with_its_line() {
        for (text, part) in [
            ("NETNS_REQUIRES=$(ls)", "cannot be computed"),
            ("NETNS_REQUIRES=`ls`", "cannot be computed"),
            ("NETNS_REQUIRES=\"$OTHER\"", "neither"),
            ("NETNS_REQUIRES=lo@$OTHER", "must be letters, digits"),
            ("NETNS_REQUIRES=lo@x-$NSNAME", "must be letters, digits"),
            ("NETNS_REQUIRES+=lo@x", "plain assignment"),
            (": ${NETNS_REQUIRES:=lo@x}", "plain assignment"),
            ("read -r NETNS_REQUIRES <x", "plain assignment"),
            ("printf -v NETNS_REQUIRES lo@x", "plain assignment"),
            ("  NETNS_REQUIRES=lo@x", "plain assignment"),
            ("[[ $X ]] && NETNS_REQUIRES=lo@x", "plain assignment"),
            ("NETNS_REQUIRES=lo@x command", "only a comment"),
            ("NETNS_REQUIRES=lo@x; ls", "only a comment"),
            ("NETNS_REQUIRES=\"lo@x", "not terminated"),
            ("NETNS_REQUIRES=(lo@x", "not terminated"),
            ("NETNS_REQUIRES=nothing", "neither"),
            ("NETNS_REQUIRES=netns-a-b@x", "NSTYPE 'a-b'"),
            ("NETNS_REQUIRES=lo@a/b", "file name"),
            ("NETNS_REQUIRES=netns_outside-lo@x", "only one part"),
        ] {
            let error = format!("{:#}", read(&format!("\n{text}\n")).unwrap_err());
            assert!(
                error.starts_with("2: ") && error.contains(part),
                "{text}: {error}"
            );
        }
    }
}
