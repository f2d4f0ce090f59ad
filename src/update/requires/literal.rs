//! NETNS_REQUIRES as it stands in a file of bash, read without running that.
//!
//! netnsupdate must not run anybody's code to learn it: a line that begins with `NETNS_REQUIRES=`,
//! `declare NETNS_REQUIRES=` or the like counts, and a value that bash would not have to expand,
//! but for `$NSNAME` as the whole name of a namespace.

use anyhow::{Result, bail};

use super::Need;

const VARIABLE: &str = "NETNS_REQUIRES";

/// The lines that a value may go on for.
const LINES_MAX: usize = 64;

/// What a file of bash says; `None` where it does not speak of it.
///
/// # Errors
/// It says it in a way that cannot be read without running it. The line is named.
pub fn read(text: &str) -> Result<Option<Vec<Need>>> {
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
                "line {number}: {VARIABLE} has to be a plain assignment at the beginning of a \
                 line, for it is read without running the file"
            );
        };
        let mut value = value.to_owned();
        // A value in quotes, or an array, may go on.
        let first = index;
        while !is_whole(&value) {
            if index == lines.len() || index - first == LINES_MAX {
                bail!("line {number}: the value of {VARIABLE} has no end");
            }
            value.push('\n');
            value += lines[index];
            index += 1;
        }
        let words = words(&value).map_err(|error| error.context(format!("line {number}")))?;
        let parsed: Result<Vec<Need>> = words.iter().map(|word| Need::parse(word)).collect();
        needs = Some(parsed.map_err(|error| error.context(format!("line {number}")))?);
    }
    Ok(needs)
}

enum Assignment<'a> {
    Plain(&'a str),
    Other,
}

/// What a line does with the variable; `None` where it does nothing with it.
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
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if before.ends_with(|c: char| word(c) || c == '$' || c == '{') {
        return None;
    }
    (after.starts_with('=') || after.starts_with("+=") || after.starts_with('['))
        .then_some(Assignment::Other)
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
        bail!("{VARIABLE} is read without running the file, and cannot be computed");
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
                bail!("the value of {VARIABLE} has no end");
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
                bail!("after the value of {VARIABLE} only a comment can be");
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
        bail!("after the value of {VARIABLE} only a comment can be");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<String> {
        let needs = read(text).unwrap().unwrap();
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
            "[[ ${NETNS_REQUIRES=} ]]\n",
        ] {
            assert_eq!(read(text).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn what_would_have_to_be_run_is_refused_with_its_line() {
        for (text, part) in [
            ("NETNS_REQUIRES=$(ls)", "cannot be computed"),
            ("NETNS_REQUIRES=`ls`", "cannot be computed"),
            ("NETNS_REQUIRES=\"$OTHER\"", "neither"),
            ("NETNS_REQUIRES=lo@$OTHER", "must be letters, digits"),
            ("NETNS_REQUIRES=lo@x-$NSNAME", "must be letters, digits"),
            ("NETNS_REQUIRES+=lo@x", "plain assignment"),
            ("  NETNS_REQUIRES=lo@x", "plain assignment"),
            ("[[ $X ]] && NETNS_REQUIRES=lo@x", "plain assignment"),
            ("NETNS_REQUIRES=lo@x command", "only a comment"),
            ("NETNS_REQUIRES=lo@x; ls", "only a comment"),
            ("NETNS_REQUIRES=\"lo@x", "no end"),
            ("NETNS_REQUIRES=(lo@x", "no end"),
            ("NETNS_REQUIRES=nothing", "neither"),
            ("NETNS_REQUIRES=netns-a-b@x", "NSTYPE 'a-b'"),
            ("NETNS_REQUIRES=lo@a/b", "file name"),
            ("NETNS_REQUIRES=netns_outside-lo@x", "only a part"),
        ] {
            let error = format!("{:#}", read(&format!("\n{text}\n")).unwrap_err());
            assert!(
                error.contains("line 2") && error.contains(part),
                "{text}: {error}"
            );
        }
    }
}
