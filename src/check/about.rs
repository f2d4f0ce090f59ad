//! What a type's script tells of itself, in comments of the form `# netns-KEY: WORDS`.

/// What the script of a type declares. A script may say nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct About {
    /// `netns-variables`: all that a configuration may set; `None` where the script does not say.
    pub variables: Option<Vec<String>>,
    /// `netns-programs`: what it cannot do without.
    pub programs: Vec<String>,
    /// `netns-parents`: the variables that name a link of the host, besides `*_PARENT_IFNAME`.
    pub parents: Vec<String>,
    /// `netns-forwards: yes`: the host passes packets on to and from the namespace.
    pub forwards: bool,
}

impl About {
    /// Reads the declarations of a script. A key may come several times.
    pub fn of(script: &str) -> Self {
        let mut about = Self::default();
        for line in script.lines() {
            let declaration = line.strip_prefix("# netns-");
            let Some((key, words)) = declaration.and_then(|rest| rest.split_once(':')) else {
                continue;
            };
            let words = words.split_whitespace().map(str::to_owned);
            match key {
                "variables" => about.variables.get_or_insert_default().extend(words),
                "programs" => about.programs.extend(words),
                "parents" => about.parents.extend(words),
                "forwards" => about.forwards |= words.into_iter().any(|word| word == "yes"),
                _ => {}
            }
        }
        about
    }

    /// Whether `variable` names a link of the host.
    pub fn is_parent(&self, variable: &str) -> bool {
        variable.ends_with("_PARENT_IFNAME") || self.parents.iter().any(|p| p == variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read_and_other_comments_are_not() {
        let about = About::of(
            "# netns-variables: A B\n# netns-variables: C\n#netns-programs: x\n\
             # netns-programs: ip nft\n# netns-parents: P\n# netns-forwards: yes\n# netns-x\n",
        );
        assert_eq!(about.variables.as_ref().unwrap(), &["A", "B", "C"]);
        assert_eq!(about.programs, ["ip", "nft"]);
        assert!(about.is_parent("P") && about.is_parent("X_PARENT_IFNAME"));
        assert!(about.forwards);
        assert_eq!(About::of("x=1\n"), About::default());
        assert_eq!(
            About::of("# netns-variables: \n").variables,
            Some(Vec::new())
        );
    }
}
