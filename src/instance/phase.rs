//! The four phases in the life of an instance.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::instance::name::NsType;

/// Whether to set up or take down the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
}

/// The network namespace that a function runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The namespace of the caller: that of PID 1, under systemd.
    Outside,
    /// The named namespace, `/run/netns/NSNAME`.
    Inside,
}

/// One of the four phases of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    pub direction: Direction,
    pub side: Side,
}

impl Phase {
    pub const UP_OUTSIDE: Phase = Phase::new(Direction::Up, Side::Outside);
    pub const UP_INSIDE: Phase = Phase::new(Direction::Up, Side::Inside);
    pub const DOWN_INSIDE: Phase = Phase::new(Direction::Down, Side::Inside);
    pub const DOWN_OUTSIDE: Phase = Phase::new(Direction::Down, Side::Outside);

    /// All phases, in order.
    pub const LIFE: [Phase; 4] = [
        Phase::UP_OUTSIDE,
        Phase::UP_INSIDE,
        Phase::DOWN_INSIDE,
        Phase::DOWN_OUTSIDE,
    ];

    const fn new(direction: Direction, side: Side) -> Self {
        Self { direction, side }
    }

    /// The bash function that an administrator writes for this phase of `nstype`.
    pub fn function(&self, nstype: &NsType) -> String {
        format!("configure_{nstype}_{}_{}", self.direction, self.side)
    }
}

impl Direction {
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }
}

impl Side {
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Outside => "outside",
            Side::Inside => "inside",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.direction, self.side)
    }
}

/// A word that is not a phase.
#[derive(Debug, PartialEq, Eq)]
pub struct BadWord {
    word: String,
    expected: &'static str,
}

impl fmt::Display for BadWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not {}", self.word, self.expected)
    }
}

impl std::error::Error for BadWord {}

impl FromStr for Direction {
    type Err = BadWord;

    fn from_str(word: &str) -> Result<Self, BadWord> {
        match word {
            "up" => Ok(Direction::Up),
            "down" => Ok(Direction::Down),
            _ => Err(BadWord {
                word: word.to_owned(),
                expected: "up or down",
            }),
        }
    }
}

impl FromStr for Side {
    type Err = BadWord;

    fn from_str(word: &str) -> Result<Self, BadWord> {
        match word {
            "outside" => Ok(Side::Outside),
            "inside" => Ok(Side::Inside),
            _ => Err(BadWord {
                word: word.to_owned(),
                expected: "outside or inside",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_after_type_and_phase() {
        let veth: NsType = "veth".parse().unwrap();
        let names = Phase::LIFE.map(|phase| phase.function(&veth));
        assert_eq!(
            names,
            [
                "configure_veth_up_outside",
                "configure_veth_up_inside",
                "configure_veth_down_inside",
                "configure_veth_down_outside",
            ]
        );
    }

    #[test]
    fn words_are_exact() {
        for word in ["", "Up", "upside", "in", "OUTSIDE"] {
            assert!(word.parse::<Direction>().is_err(), "{word}");
            assert!(word.parse::<Side>().is_err(), "{word}");
        }
        assert_eq!("down".parse(), Ok(Direction::Down));
        assert_eq!("inside".parse(), Ok(Side::Inside));
        assert_eq!(
            "upside".parse::<Side>().unwrap_err().to_string(),
            "'upside' is not outside or inside"
        );
    }
}
