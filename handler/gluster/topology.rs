// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The topology of a volume, as the volfile of a client tells it.

use std::fmt;

use super::volfile::{Translator, Volfile, parse_size, translators};

/// How a volume is put together. Of several sets of bricks, the last one's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Topology {
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
    /// The connections to the bricks are encrypted, all of them.
    pub tls: bool,
    /// A mandatory lock would bring the client down: replicas of which one is an arbiter, or that
    /// are not three (10.3, `afr_lk_transaction`). An advisory one does not, and the volume option
    /// makes it mandatory all the same.
    pub advisory_locks: bool,
}

/// Bytes of a shard where the volume does not say (`features.shard-block-size`).
const DEFAULT_SHARD: u64 = 64 << 20;

impl Topology {
    /// Reads a volfile.
    pub(super) fn of(volfile: &Volfile) -> Self {
        let clients = volfile.clients();
        let mut topology = Self {
            bricks: clients.len(),
            tls: !clients.is_empty() && clients.iter().all(Translator::is_encrypted),
            ..Self::default()
        };
        for translator in translators(volfile.text()) {
            let number =
                |key| translator.option(key).and_then(|number| number.parse().ok()).unwrap_or(0);
            let children = translator.children.len();
            match translator.kind {
                "features/shard" => {
                    let size = translator.option("shard-block-size").and_then(parse_size);
                    topology.shard = Some(size.unwrap_or(DEFAULT_SHARD));
                }
                "cluster/replicate" => {
                    (topology.replicas, topology.arbiters) = (children, number("arbiter-count"));
                    topology.advisory_locks |= children != 3
                        || ["arbiter-count", "thin-arbiter"]
                            .iter()
                            .any(|key| translator.option(key).is_some());
                }
                "cluster/disperse" => {
                    (topology.dispersed, topology.redundancy) = (children, number("redundancy"));
                }
                _ => {}
            }
        }
        topology
    }

    /// Whether an image is cut into files of their own, which its lock does not cover.
    pub(super) fn is_sharded(self) -> bool {
        self.shard.is_some()
    }

    pub(super) fn is_dispersed(self) -> bool {
        self.dispersed > 0
    }

    /// Whether there is more than one copy of each byte, or redundancy: a client then takes locks
    /// of its own for a write.
    pub(super) fn has_redundancy(self) -> bool {
        self.replicas > 0 || self.is_dispersed()
    }
}

impl fmt::Display for Topology {
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

    fn of(text: &str) -> Topology {
        Topology::of(&Volfile::local(text.to_owned()))
    }

    fn clients(count: usize, option: &str) -> String {
        let client = |n| format!("volume c{n}\n    type protocol/client\n{option}end-volume\n\n");
        (0..count).map(client).collect()
    }

    /// A translator over some of them.
    fn set(kind: &str, options: &str, children: &str) -> String {
        format!("volume s\n    type {kind}\n{options}    subvolumes {children}\nend-volume\n")
    }

    #[test]
    fn one_brick_and_several() {
        let one = of(&clients(1, ""));
        assert!(!one.tls);
        assert_eq!(one.to_string(), "one brick");
        let two = of(&clients(2, "    option transport.socket.ssl-enabled on\n"));
        assert!(two.tls);
        assert_eq!(two.to_string(), "distributed over 2 bricks");
    }

    #[test]
    fn replicas_arbiters_and_dispersed_sets() {
        let arbiter = set("cluster/replicate", "    option arbiter-count 1\n", "a b c");
        let arbiter = of(&(clients(3, "") + &arbiter));
        assert_eq!(arbiter.to_string(), "3 replicas, one of them an arbiter");
        let disperse = set("cluster/disperse", "    option redundancy 1\n", "a b c");
        let many = of(&(clients(6, "") + &disperse + &disperse));
        assert_eq!(
            many.to_string(),
            "distributed over 2 sets of 3 bricks, any 1 of which may be missing"
        );
    }

    #[test]
    fn shards_and_their_size() {
        let shard = |options: &str| of(&set("features/shard", options, "c")).shard;
        assert_eq!(shard(""), Some(64 << 20));
        assert_eq!(shard("    option shard-block-size 4MB\n"), Some(4 << 20));
        assert_eq!(of(&clients(1, "")).shard, None);
    }

    #[test]
    fn a_volfile_tells_how_its_files_can_be_locked() {
        let seen = |text: &str| {
            let topology = of(text);
            (topology.is_sharded(), topology.has_redundancy(), topology.advisory_locks)
        };
        let replicate = |options: &str, children: &str| set("cluster/replicate", options, children);
        assert_eq!(seen(&clients(1, "")), (false, false, false));
        assert_eq!(seen(&replicate("", "a b c")), (false, true, false));
        assert_eq!(seen(&replicate("", "a b")), (false, true, true));
        assert_eq!(seen(&replicate("    option arbiter-count 1\n", "a b c")), (false, true, true));
        assert_eq!(seen(&set("cluster/disperse", "", "a b c")), (false, true, false));
        assert_eq!(seen(&set("features/shard", "", "d")), (true, false, false));
    }
}
