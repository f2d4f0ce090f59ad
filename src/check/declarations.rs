//! What a type's script declares, in comments of the form `# netns-KEY: WORDS`.

use std::path::PathBuf;

/// The declarations of a type's script, each of which is optional.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Declarations {
    /// `netns-variables`: the variables that a configuration may set; `None` if not declared.
    pub variables: Option<Vec<String>>,
    /// `netns-programs`: the programs that the type requires.
    pub programs: Vec<String>,
    /// `netns-parents`: the variables that name a link of the host, besides `*_PARENT_IFNAME`.
    pub parents: Vec<String>,
    /// `netns-reads`: directories with files that the type reads and only root can read.
    pub reads: Vec<PathBuf>,
    /// `netns-container: FACT=VARIABLE`: which fact about the interface of a container is passed in
    /// which variable.
    pub container: Vec<(String, String)>,
    /// `netns-forwards: yes`: the host forwards packets to and from the namespace.
    pub forwards: bool,
}

impl Declarations {
    /// Reads the declarations in the text of a script. A key may be repeated.
    pub fn of(script: &str) -> Self {
        let mut declared = Self::default();
        for line in script.lines() {
            let declaration = line.strip_prefix("# netns-");
            let Some((key, words)) = declaration.and_then(|rest| rest.split_once(':')) else {
                continue;
            };
            let words = words.split_whitespace().map(str::to_owned);
            match key {
                "variables" => declared.variables.get_or_insert_default().extend(words),
                "programs" => declared.programs.extend(words),
                "reads" => declared.reads.extend(words.map(PathBuf::from)),
                "container" => declared.container.extend(words.filter_map(|word| {
                    let (fact, variable) = word.split_once('=')?;
                    Some((fact.to_owned(), variable.to_owned()))
                })),
                "parents" => declared.parents.extend(words),
                "forwards" => declared.forwards |= words.into_iter().any(|word| word == "yes"),
                _ => {}
            }
        }
        declared
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
        let declared = Declarations::of(
            "# netns-variables: A B\n# netns-variables: C\n#netns-programs: x\n\
             # netns-programs: ip nft\n# netns-parents: P\n# netns-reads: /r\n# netns-forwards: yes\n# netns-x\n\
             # netns-container: IFNAME=A\n",
        );
        assert_eq!(declared.variables.as_ref().unwrap(), &["A", "B", "C"]);
        assert_eq!(declared.programs, ["ip", "nft"]);
        assert!(declared.is_parent("P") && declared.is_parent("X_PARENT_IFNAME"));
        assert!(declared.forwards);
        assert_eq!(declared.container, [("IFNAME".into(), "A".into())]);
        assert_eq!(Declarations::of("x=1\n"), Declarations::default());
        assert_eq!(
            Declarations::of("# netns-variables: \n").variables,
            Some(Vec::new())
        );
    }
}
