// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What a volume is made of, as its graph says.

use std::fmt;

use super::volfile::translators;

/// The makeup of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Makeup {
    /// Bricks, arbiters included.
    pub bricks: usize,
    /// Bricks of a set of replicas, arbiters included. 0: not replicated.
    pub replicas: usize,
    /// Of them, those that hold no data.
    pub arbiters: usize,
    /// Bricks of a dispersed set. 0: not dispersed.
    pub dispersed: usize,
    /// Of them, those that may be missing.
    pub redundancy: usize,
    /// Bytes of a shard. None: an image is one file.
    pub shard: Option<u64>,
    /// The connections to the bricks are encrypted.
    pub tls: bool,
}

/// What Gluster takes if the volume does not say.
const SHARD: u64 = 64 << 20;

impl Makeup {
    /// Reads a volfile.
    pub(super) fn of(volfile: &str) -> Self {
        let mut makeup = Self::default();
        for translator in translators(volfile) {
            let number =
                |key| translator.option(key).and_then(|number| number.parse().ok()).unwrap_or(0);
            match translator.kind {
                "protocol/client" => {
                    makeup.bricks += 1;
                    makeup.tls |= translator.is_encrypted();
                }
                "features/shard" => {
                    makeup.shard = Some(
                        translator.option("shard-block-size").and_then(bytes).unwrap_or(SHARD),
                    );
                }
                "cluster/replicate" => {
                    (makeup.replicas, makeup.arbiters) =
                        (translator.children.len(), number("arbiter-count"));
                }
                "cluster/disperse" => {
                    (makeup.dispersed, makeup.redundancy) =
                        (translator.children.len(), number("redundancy"));
                }
                _ => {}
            }
        }
        makeup
    }
}

/// Bytes as Gluster writes them: `67108864`, `64MB`, `1GB`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit {
        "" | "B" => 0,
        "KB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

impl fmt::Display for Makeup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.replicas.max(self.dispersed).max(1);
        let sets = self.bricks / set;
        match (self.replicas, self.dispersed) {
            (0, 0) if sets == 1 => f.write_str("one brick")?,
            (0, 0) => write!(f, "distributed over {sets} bricks")?,
            _ if sets > 1 => write!(f, "distributed over {sets} sets of ")?,
            _ => {}
        }
        if self.replicas > 0 {
            write!(f, "{} replicas", self.replicas)?;
        } else if self.dispersed > 0 {
            write!(
                f,
                "{} bricks, any {} of which may be missing",
                self.dispersed, self.redundancy
            )?;
        }
        match self.arbiters {
            0 => Ok(()),
            1 => f.write_str(", one of them an arbiter"),
            more => write!(f, ", {more} of them arbiters"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(count: usize, option: &str) -> String {
        let client = |n| format!("volume c{n}\n    type protocol/client\n{option}end-volume\n\n");
        (0..count).map(client).collect()
    }

    #[test]
    fn one_brick_and_several() {
        let one = Makeup::of(&clients(1, ""));
        assert!(!one.tls);
        assert_eq!(one.to_string(), "one brick");
        let two = Makeup::of(&clients(2, "    option transport.socket.ssl-enabled on\n"));
        assert!(two.tls);
        assert_eq!(two.to_string(), "distributed over 2 bricks");
    }

    #[test]
    fn replicas_arbiters_and_dispersed_sets() {
        let set = |kind: &str, options: &str| {
            format!(
                "volume s\n    type cluster/{kind}\n{options}    subvolumes a b c\nend-volume\n"
            )
        };
        let arbiter =
            Makeup::of(&(clients(3, "") + &set("replicate", "    option arbiter-count 1\n")));
        assert_eq!(arbiter.to_string(), "3 replicas, one of them an arbiter");
        let disperse = set("disperse", "    option redundancy 1\n");
        let many = Makeup::of(&(clients(6, "") + &disperse + &disperse));
        assert_eq!(
            many.to_string(),
            "distributed over 2 sets of 3 bricks, any 1 of which may be missing"
        );
    }

    #[test]
    fn shards_and_their_size() {
        let shard = |options: &str| {
            Makeup::of(&format!(
                "volume s\n    type features/shard\n{options}    subvolumes c\nend-volume\n"
            ))
            .shard
        };
        assert_eq!(shard(""), Some(64 << 20));
        assert_eq!(shard("    option shard-block-size 4MB\n"), Some(4 << 20));
        assert_eq!(Makeup::of(&clients(1, "")).shard, None);
    }
}
